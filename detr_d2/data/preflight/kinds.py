"""Every kind of problem that the preflight knows: how severe it is, what it is, what to do."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """What a finding does: an error stops, the others are said once, with their count."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Kind(NamedTuple):
    """Texts may have places, such as ``{limit}``, that :meth:`~.findings.Report.add` fills."""

    severity: Severity
    what: str
    remedy: str


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

KINDS: dict[str, Kind] = {
    # The annotation file as a whole
    "unknown-data-set": Kind(
        _E,
        "data set is not registered",
        "",
    ),
    "no-annotation-file": Kind(_E, "annotation file cannot be read", "{remedy}"),
    "not-loadable": Kind(_E, "data set cannot be loaded", "Correct what it is loaded from."),
    "outline": Kind(
        _E,
        "parts of COCO's outline are missing or of another type",
        "COCO's format is an object with the lists 'images', 'annotations' and 'categories'.",
    ),
    "record": Kind(_E, "records lack an entry, or are no objects", "Add the entries."),
    "no-images": Kind(_E, "data set holds no image", "Check the file."),
    # Ids
    "bad-id": Kind(_E, "ids are neither numbers nor text", "Use integers from 1 on."),
    "mixed-ids": Kind(
        _E, "kinds of ids differ in type, so that they cannot be compared", "Write all ids as integers."
    ),
    "repeated-image-id": Kind(
        _E,
        "images have the id of another image",
        "Ids must be unique; number the images of merged files anew.",
    ),
    "repeated-annotation-id": Kind(
        _E, "annotations have the id of another one", "Ids must be unique; number them anew."
    ),
    "repeated-category-id": Kind(_E, "categories have the id of another one", "Ids must be unique."),
    "unlisted-image": Kind(
        _E,
        "annotations name an image that is not listed in 'images'",
        "Remove them, or list the images.",
    ),
    "unlisted-category": Kind(
        _E, "objects have a category that is not listed in 'categories'", "Add it, or correct the objects."
    ),
    # Classes
    "bad-name": Kind(_E, "categories have no name, or one that is no text", "Name them."),
    "repeated-name": Kind(
        _W, "categories have the name of another one", "Classes are told apart by name: rename them."
    ),
    "too-many-classes": Kind(
        _E,
        "classes in the data set, more than MODEL.DETR.NUM_CLASSES ({have})",
        "Set MODEL.DETR.NUM_CLASSES to {need}{empty}.",
    ),
    "other-classes": Kind(
        _E,
        "classes are not among those that the model is trained on",
        "The model has: {model}. This data set has: {here}. Names must agree; their order need not.",
    ),
    "class-order": Kind(
        _N,
        "classes have another number than the model's and are matched by name",
        "Nothing. The data set's numbers become the model's: {mapping}.",
    ),
    "other-kind": Kind(
        _E,
        "classes are things here and stuff in the data set that the model is trained on, or the reverse",
        "Correct 'isthing'.",
    ),
    "class-without-objects": Kind(_N, "classes have no object", "Nothing, if that is meant."),
    "shared-class-numbers": Kind(
        _E,
        "class numbers are of a thing and of a stuff class",
        "Use the data set without '_separated', whose things and stuff are numbered together.",
    ),
    # Images
    "missing-image": Kind(
        _E, "image files do not exist", "Check their folder ({root}), or remove them from the annotations."
    ),
    "unreadable-image": Kind(_E, "image files cannot be read", ""),
    "bad-size": Kind(
        _E,
        "images have a width or height that no image can have",
        "Write the size of the image file, in pixels.",
    ),
    "other-size": Kind(
        _E,
        "image files have another size than the annotations say",
        "Correct the sizes, or annotate the files as they are.",
    ),
    "exif-size": Kind(
        _E,
        "image files have the annotated width and height exchanged by their EXIF orientation",
        "Images are turned as EXIF says: annotate the turned image, or remove the EXIF entry from the files.",
    ),
    "no-image-id": Kind(
        _E, "records that are evaluated have no 'image_id'", "Give each image one of its own."
    ),
    "repeated-file": Kind(_W, "images name the file of another one", "Remove one of them."),
    # Objects
    "bad-box": Kind(
        _E,
        "objects have a 'bbox' that is not four finite numbers",
        "Write x, y, width and height in pixels, or remove the object.",
    ),
    "bad-crowd": Kind(_E, "objects have an 'iscrowd' other than 0 and 1", "Write 0 or 1."),
    "bad-keypoints": Kind(
        _E, "objects have 'keypoints' that are not a list of numbers", "Correct or remove them."
    ),
    "ignore": Kind(
        _E, "objects have 'ignore' set, which Detectron2 does not support", "Remove it, or use 'iscrowd'."
    ),
    "bad-segmentation": Kind(
        _E, "objects have a segmentation that cannot be used", "Correct it, or remove it where boxes do."
    ),
    "useless-mask": Kind(
        _W, "objects have a mask that cannot be used", "Their boxes are used; correct or remove the masks."
    ),
    "bad-polygon": Kind(
        _W,
        "polygons, beside good ones, have fewer than three points or impossible coordinates",
        "These polygons are left out.",
    ),
    "no-good-polygon": Kind(_W, "objects have no polygon that can be used", "These objects are left out."),
    "no-mask": Kind(
        _W, "objects have no segmentation, which MODEL.MASK_ON trains on", "These objects are left out."
    ),
    "no-masks": Kind(
        _E,
        "objects, all of the data set, have no segmentation, which MODEL.MASK_ON needs",
        "Use a data set with masks, or set MODEL.MASK_ON False.",
    ),
    "all-crowd": Kind(
        _E,
        "objects, all of the data set, are crowds, which are neither trained on nor scored",
        "Set 'iscrowd' 0 (some tools write 1 for every mask in RLE).",
    ),
    "many-crowds": Kind(
        _W, "objects are crowds, which are neither trained on nor scored", "Check 'iscrowd'."
    ),
    "no-area": Kind(
        _W, "boxes have no area; training skips them", "Correct or remove them: they can lower AP."
    ),
    "outside": Kind(
        _W, "boxes lie outside their image; training skips them", "Correct or remove them: they can lower AP."
    ),
    "beyond": Kind(
        _W,
        "boxes reach beyond their image and are clipped in training",
        "Correct them: what lies beyond the image lowers AP.",
    ),
    "box-shares": Kind(
        _W,
        "boxes, all of the data set, lie within 0...1, as if they were shares of the image",
        "Write x, y, width and height in pixels.",
    ),
    "box-corners": Kind(
        _W,
        "boxes, all of the data set, would lie within their images as corners (x0, y0, x1, y1)",
        "COCO's are x, y, width and height, in pixels.",
    ),
    "no-objects": Kind(_W, "images, all of the data set, have no object", "Check the annotations."),
    # Limits
    "more-than-queries": Kind(
        _W,
        "images have more objects (up to {most}) than MODEL.DETR.NUM_OBJECT_QUERIES ({limit})",
        "The model cannot find all of them: raise it.",
    ),
    "more-than-detections": Kind(
        _W,
        "images have more objects of a class (up to {most}) than TEST.DETECTIONS_PER_IMAGE ({limit})",
        "AP counts no more detections of a class in an image, so it stays below 100: raise it.",
    ),
    # Panoptic
    "bad-isthing": Kind(
        _E,
        "categories do not say whether they are things",
        "Write 'isthing' 1 for things, which can be counted, or 0 for stuff.",
    ),
    "unnumbered-category": Kind(
        _E,
        "segments have a category that the data set's metadata do not number",
        "Add it to thing_dataset_id_to_contiguous_id or stuff_dataset_id_to_contiguous_id.",
    ),
    "repeated-annotation": Kind(
        _E, "images have more than one annotation", "Keep one, with all segments of the image."
    ),
    "image-without-annotation": Kind(
        _W, "images have no annotation and are left out", "Add annotations; 'segments_info' may be empty."
    ),
    "bad-segment-id": Kind(
        _E,
        "segments have an id that no colour stands for",
        "Ids are integers from 1 to 16777215, R + 256 G + 256^2 B; 0 stands for pixels without a segment.",
    ),
    "repeated-segment-id": Kind(
        _E, "segments have the id of another one of their image", "Ids must be unique within an image."
    ),
    "all-crowd-segments": Kind(
        _W,
        "segments, all of the data set, are crowds, which are trained on but not scored",
        "Check 'iscrowd'.",
    ),
    "several-crowds": Kind(
        _W,
        "images have several crowd segments of one class",
        "Panoptic quality passes over predictions on the last one alone: join them.",
    ),
    "map-elsewhere": Kind(
        _E,
        "segmentation maps lie outside the folder of the maps",
        "Name them by their path from there; predicted maps get the same names.",
    ),
    "repeated-map": Kind(
        _W, "annotations name the segmentation map of another one", "Check 'file_name' of the annotations."
    ),
    "missing-map": Kind(
        _E, "segmentation maps do not exist", "Check their folder ({root}), or remove their annotations."
    ),
    "bad-map": Kind(_E, "segmentation maps cannot be used", "Replace the files."),
    "map-size": Kind(
        _E,
        "segmentation maps have another size than the annotations say of their image",
        "Check that they belong together; resize maps by nearest neighbours alone.",
    ),
    "map-ids": Kind(
        _E,
        "segmentation maps do not hold the segments that their annotations list",
        "Correct maps or annotations.",
    ),
    "maps-sampled": Kind(
        _N,
        "segmentation maps, spread over all, were compared with their segments",
        "Nothing: the others are compared when they are read.",
    ),
}
