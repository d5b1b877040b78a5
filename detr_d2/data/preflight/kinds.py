"""Every kind of problem that the preflight knows: how severe it is, what it is, what to do."""

from __future__ import annotations

from enum import Enum
from functools import partial
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


_error, _warning, _note = (partial(Kind, severity) for severity in Severity)

KINDS: dict[str, Kind] = {
    # The annotation file as a whole
    "unknown-data-set": _error("data set is not registered", ""),
    "no-annotation-file": _error("annotation file cannot be read", "{remedy}"),
    "outline": _error(
        "parts of COCO's outline are missing or of another type",
        "COCO's format is an object with the lists 'images', 'annotations' and 'categories'.",
    ),
    "record": _error("records lack an entry, or are no objects", "Add the entries."),
    "no-images": _error("data set holds no image", "Check the file."),
    # Files of other formats than COCO's
    "bad-label": _error("labels cannot be read", "Correct or remove them."),
    "no-labels": _error(
        "images, all of the split, have no label file",
        "Check the folder of the labels: of images/a.jpg it is labels/a.txt.",
    ),
    "no-label-file": _note("images have no label file and count as images without objects", ""),
    "unannotated-image": _note("images have no file of annotations and are left out", ""),
    "shape-left-out": _warning(
        "shapes have no area and are left out", "Draw polygons, rectangles or circles."
    ),
    "bad-mask-file": _error(
        "files of masks cannot be used", "Their size is that of their image, and each belongs to one."
    ),
    "same-stem": _error(
        "files have the name of another but for the suffix, which says what belongs to them",
        "Rename or remove them.",
    ),
    "empty-mask-file": _warning("files of masks have no pixel and are left out", "Draw or remove them."),
    "split-elsewhere": _warning("splits are named that are not there", ""),
    "file-left-out": _warning(
        "annotation files are left out, because their names say no split", "Name them for one, or move them."
    ),
    "counted-from-0": _note(
        "files of boxes that are counted from 0: one has a 0", "Nothing. Pascal VOC counts pixels from 1."
    ),
    # Ids
    "bad-id": _error("ids are neither numbers nor text", "Use integers from 1 on."),
    "mixed-ids": _error(
        "kinds of ids differ in type, so that they cannot be compared", "Write all ids as integers."
    ),
    "repeated-image-id": _error(
        "images have the id of another image", "Ids must be unique; number the images of merged files anew."
    ),
    "repeated-annotation-id": _error(
        "annotations have the id of another one", "Ids must be unique; number them anew."
    ),
    "repeated-category-id": _error("categories have the id of another one", "Ids must be unique."),
    "unlisted-image": _error(
        "annotations name an image that is not listed in 'images'", "Remove them, or list the images."
    ),
    "unlisted-category": _error(
        "objects have a category that is not listed in 'categories'", "Add it, or correct the objects."
    ),
    # Classes
    "bad-name": _error("categories have no name, or one that is no text", "Name them."),
    "repeated-name": _warning(
        "categories have the name of another one", "Classes are told apart by name: rename them."
    ),
    "too-many-classes": _error(
        "classes in the data set, more than MODEL.DETR.NUM_CLASSES ({have})",
        "Set MODEL.DETR.NUM_CLASSES to {need}{empty}.",
    ),
    "other-classes": _error(
        "classes are not among those that the model is trained on",
        "The model has: {model}. This data set has: {here}. Names must agree; their order need not.",
    ),
    "class-order": _note(
        "classes have another number than the model's and are matched by name",
        "Nothing. The data set's numbers become the model's: {mapping}.",
    ),
    "other-kind": _error(
        "classes are things here and stuff in the data set that the model is trained on, or the reverse",
        "Correct 'isthing'.",
    ),
    "class-without-objects": _note("classes have no object", "Nothing, if that is meant."),
    "shared-class-numbers": _error(
        "class numbers are of a thing and of a stuff class",
        "Use the data set without '_separated', whose things and stuff are numbered together.",
    ),
    # Images
    "missing-image": _error(
        "image files do not exist", "Check their folder ({root}), or remove them from the annotations."
    ),
    "unreadable-image": _error("image files cannot be read", ""),
    "bad-size": _error(
        "images have a width or height that no image can have", "Write the size of the image file, in pixels."
    ),
    "other-size": _error(
        "image files have another size than the annotations say",
        "Correct the sizes, or annotate the files as they are.",
    ),
    "exif-size": _error(
        "image files have the annotated width and height exchanged by their EXIF orientation",
        "Images are turned as EXIF says: annotate the turned image, or remove the EXIF entry from the files.",
    ),
    "no-image-id": _error("records that are evaluated have no 'image_id'", "Give each image one of its own."),
    "repeated-file": _warning("images name the file of another one", "Remove one of them."),
    # Objects
    "bad-box": _error(
        "objects have a 'bbox' that is not four finite numbers",
        "Write x, y, width and height in pixels, or remove the object.",
    ),
    "bad-crowd": _error("objects have an 'iscrowd' other than 0 and 1", "Write 0 or 1."),
    "bad-keypoints": _error(
        "objects have 'keypoints' that are not a list of numbers", "Correct or remove them."
    ),
    "ignore": _error(
        "objects have 'ignore' set, which Detectron2 does not support", "Remove it, or use 'iscrowd'."
    ),
    "bad-segmentation": _error(
        "objects have a segmentation that cannot be used", "Correct it, or remove it where boxes do."
    ),
    "useless-mask": _warning(
        "objects have a mask that cannot be used", "Their boxes are used; correct or remove the masks."
    ),
    "bad-polygon": _warning(
        "polygons, beside good ones, have fewer than three points or impossible coordinates",
        "These polygons are left out.",
    ),
    "no-good-polygon": _warning("objects have no polygon that can be used", "These objects are left out."),
    "no-mask": _warning(
        "objects have no segmentation, which MODEL.MASK_ON trains on", "These objects are left out."
    ),
    "no-masks": _error(
        "objects, all of the data set, have no segmentation, which MODEL.MASK_ON needs",
        "Use a data set with masks, or set MODEL.MASK_ON False.",
    ),
    "all-crowd": _error(
        "objects, all of the data set, are crowds, which are neither trained on nor scored",
        "Set 'iscrowd' 0 (some tools write 1 for every mask in RLE).",
    ),
    "many-crowds": _warning(
        "objects are crowds, which are neither trained on nor scored", "Check 'iscrowd'."
    ),
    "no-area": _warning(
        "boxes have no area; training skips them", "Correct or remove them: they can lower AP."
    ),
    "outside": _warning(
        "boxes lie outside their image; training skips them", "Correct or remove them: they can lower AP."
    ),
    "beyond": _warning(
        "boxes reach beyond their image and are clipped in training",
        "Correct them: what lies beyond the image lowers AP.",
    ),
    "box-shares": _warning(
        "boxes, all of the data set, lie within 0...1, as if they were shares of the image",
        "Write x, y, width and height in pixels.",
    ),
    "box-corners": _warning(
        "boxes, all of the data set, would lie within their images as corners (x0, y0, x1, y1)",
        "COCO's are x, y, width and height, in pixels.",
    ),
    "no-objects": _warning("images, all of the data set, have no object", "Check the annotations."),
    # Images by their content, over all splits
    "shared-image": _error(
        "images are also in another split, byte for byte",
        "Keep them in one: figures of images that were trained on say nothing.",
    ),
    "shared-like-image": _warning(
        "images show nearly what one of another split does",
        "Keep them in one split: they make evaluation look better than it is.",
    ),
    "copied-image": _warning("images are another one of their split, byte for byte", "Remove them."),
    "like-image": _note(
        "images show nearly what another one of their split does", "Nothing, if that is meant."
    ),
    "not-compared": _note(
        "images, all of the data set, were compared byte for byte alone", "Nothing: they are many."
    ),
    # Limits
    "more-than-queries": _warning(
        "images have more objects (up to {most}) than MODEL.DETR.NUM_OBJECT_QUERIES ({limit})",
        "The model cannot find all of them: raise it.",
    ),
    "more-than-detections": _warning(
        "images have more objects of a class (up to {most}) than TEST.DETECTIONS_PER_IMAGE ({limit})",
        "AP counts no more detections of a class in an image, so it stays below 100: raise it.",
    ),
    # Panoptic
    "bad-isthing": _error(
        "categories do not say whether they are things",
        "Write 'isthing' 1 for things, which can be counted, or 0 for stuff.",
    ),
    "unnumbered-category": _error(
        "segments have a category that the data set's metadata do not number",
        "Add it to thing_dataset_id_to_contiguous_id or stuff_dataset_id_to_contiguous_id.",
    ),
    "repeated-annotation": _error(
        "images have more than one annotation", "Keep one, with all segments of the image."
    ),
    "image-without-annotation": _warning(
        "images have no annotation and are left out", "Add annotations; 'segments_info' may be empty."
    ),
    "bad-segment-id": _error(
        "segments have an id that no color stands for",
        "Ids are integers from 1 to 16777215, R + 256 G + 256^2 B; 0 stands for pixels without a segment.",
    ),
    "repeated-segment-id": _error(
        "segments have the id of another one of their image", "Ids must be unique within an image."
    ),
    "all-crowd-segments": _warning(
        "segments, all of the data set, are crowds, which are trained on but not scored", "Check 'iscrowd'."
    ),
    "several-crowds": _warning(
        "images have several crowd segments of one class",
        "Panoptic quality passes over predictions on the last one alone: join them.",
    ),
    "map-elsewhere": _error(
        "segmentation maps lie outside the folder of the maps",
        "Name them by their path from there; predicted maps get the same names.",
    ),
    "repeated-map": _warning(
        "annotations name the segmentation map of another one", "Check 'file_name' of the annotations."
    ),
    "missing-map": _error(
        "segmentation maps do not exist", "Check their folder ({root}), or remove their annotations."
    ),
    "bad-map": _error("segmentation maps cannot be used", "Replace the files."),
    "map-size": _error(
        "segmentation maps have another size than the annotations say of their image",
        "Check that they belong together; resize maps by nearest neighbors alone.",
    ),
    "map-ids": _error(
        "segmentation maps do not hold the segments that their annotations list",
        "Correct maps or annotations.",
    ),
    "maps-sampled": _note(
        "segmentation maps, spread over all, were compared with their segments",
        "Nothing: the others are compared when they are read.",
    ),
}
