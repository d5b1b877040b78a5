"""The annotations of a data set in one form, from its json file, its segmentation maps or its records."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.data import Metadata
from detectron2.structures import BoxMode

from ..data import load_dataset, panoptic_to_detection
from ..data.preflight import read_instances
from ..data.records import with_image_sizes
from ..errors import DataError

Record = dict[str, Any]


@dataclass(frozen=True)
class Annotated:
    """Images, and what is annotated in them.

    Attributes:
        source: the file or data set, for messages.
        images: with the data set's own ``id``.
        annotations: COCO's, but ``category_id`` is a class number, and any entry may be missing or wrong.
        category_ids: from the class numbers of the things, ascending, to the data set's own category ids.
        names: of all classes, by class number; None where the data set does not tell.
    """

    source: str
    images: Sequence[Record]
    annotations: Sequence[Record]
    category_ids: Mapping[int, Hashable]
    names: Sequence[str] | None


def read_annotated(dataset_name: str, metadata: Metadata, masks: bool) -> Annotated:
    """Read the things of a registered data set.

    They come from ``json_file`` of the metadata; where there is none from ``panoptic_json`` and its maps; and
    else from the data set's records, which are loaded for it each time.

    What Detectron2's loader leaves out of a json file, objects whose polygons all have fewer than three
    points and single polygons of that kind, is left out, and so are objects of listed categories that are
    not numbered as things.

    Args:
        metadata: of the data set.
        masks: whether masks are read from segmentation maps.

    Raises:
        DataError: the annotations cannot be used; names the file and the annotation.
    """
    json_file, panoptic_json = metadata.get("json_file", None), metadata.get("panoptic_json", None)
    if json_file:
        annotated = _of_content(json_file, read_instances(json_file), metadata)
    elif panoptic_json:
        if metadata.get("thing_dataset_id_to_contiguous_id", None) is None:
            load_dataset(dataset_name)  # which enters the classes
        content = panoptic_to_detection(panoptic_json, metadata.panoptic_root, masks)
        annotated = _of_content(panoptic_json, content, metadata)
    else:
        annotated = _of_records(f"data set {dataset_name!r}", load_dataset(dataset_name), metadata)
    highest = max(annotated.category_ids, default=-1)
    if annotated.names is not None and len(annotated.names) <= highest:
        raise DataError(
            f"data set {dataset_name!r}: thing_classes of its metadata has {len(annotated.names)} names, but "
            f"thing_dataset_id_to_contiguous_id numbers a class {highest}. Name every class by its number"
        )
    return annotated


def _of_content(source: str, content: Any, metadata: Metadata) -> Annotated:
    """Read what an instance annotation file holds."""
    listed = {category["id"]: category["name"] for category in content["categories"]}
    names = metadata.get("thing_classes", None)
    numbers = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if numbers is None and names is not None:
        numbers = {number: number for number in range(len(names))}
    if numbers is None:  # the data set was not loaded yet: so is Detectron2's loader going to number them
        numbers = {own: number for number, own in enumerate(sorted(listed))}
        names = [listed[own] for own in numbers]
    annotations = []
    for annotation in content.get("annotations", ()):  # images to be tested are published without any
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, list) and segmentation:
            segmentation = _polygons_as_loaded(segmentation)
            if not segmentation:
                continue
        if annotation["category_id"] in numbers:
            entry = {"category_id": numbers[annotation["category_id"]], "segmentation": segmentation}
            annotations.append({**annotation, **entry})
    return Annotated(source, content["images"], annotations, _own_ids(numbers), names)


def _of_records(source: str, records: Sequence[Record], metadata: Metadata) -> Annotated:
    """Read records in Detectron2's format."""
    images, annotations = [], []
    for record in with_image_sizes(list(records), ""):
        image = {key: record.get(key) for key in ("file_name", "height", "width")}
        if "image_id" not in record:
            raise DataError(f"{source}: the record of {image['file_name']} has no 'image_id'. Give it one.")
        images.append({"id": record["image_id"], **image})
        for position, annotation in enumerate(record.get("annotations", ())):
            segmentation = annotation.get("segmentation")
            if isinstance(segmentation, list):
                segmentation = _polygons_as_loaded(segmentation)
            box = BoxMode.convert(
                [float(v) for v in annotation["bbox"]], annotation["bbox_mode"], BoxMode.XYWH_ABS
            )
            entry = {"id": position, "image_id": record["image_id"], "bbox": box}
            annotations.append({**annotation, **entry, "segmentation": segmentation})
    names = metadata.get("thing_classes", None)
    numbers = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if numbers is None:
        highest = max((annotation["category_id"] for annotation in annotations), default=-1)
        numbers = {number: number for number in range(highest + 1 if names is None else len(names))}
    category_ids = _own_ids(numbers)
    for annotation in annotations:
        if annotation["category_id"] not in category_ids:
            raise DataError(
                f"{source}: annotation {annotation['id']} (counted from 0) of image "
                f"{annotation['image_id']!r} has class {annotation['category_id']!r}, but the metadata have "
                f"the classes {', '.join(map(str, category_ids))}. Correct thing_classes, or the annotation."
            )
    return Annotated(source, images, annotations, category_ids, names)


def _polygons_as_loaded(segmentation: list[Any]) -> list[Any]:
    """The polygons of three points and more."""
    return [polygon for polygon in segmentation if len(polygon) % 2 == 0 and len(polygon) >= 6]


def _own_ids(numbers: Mapping[Any, int]) -> dict[int, Hashable]:
    """From class numbers, ascending, to the data set's ids; of several the first."""
    own_ids: dict[int, Hashable] = {}
    for own, number in numbers.items():
        own_ids.setdefault(number, own)
    return dict(sorted(own_ids.items()))
