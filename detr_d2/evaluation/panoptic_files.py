"""COCO's panoptic files: ground truth to compare with, and predictions as the COCO server takes them."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.data import Metadata
from detectron2.utils.file_io import PathManager
from PIL import Image

from ..data.panoptic_json import read_panoptic_json
from ..data.segment_map import read_segment_ids
from ..errors import DataError
from .own_ids import own_image
from .panoptic_quality import PanopticQuality, SegmentError

Segments = Sequence[Mapping[str, Any]]


class PanopticGroundTruth:
    """The ``panoptic_json`` and ``panoptic_root`` of a data set's metadata.

    Maps are read one at a time, when they are compared.

    Attributes:
        content: what the json file holds.
        image_ids: of the images that have annotations, in the file's order.
        categories: COCO's record of each category, by its id.
    """

    def __init__(self, dataset_name: str, metadata: Metadata):
        """
        Raises:
            DataError: the metadata or the json file lack something; names what.
            OSError: the json file cannot be opened.
        """
        for key in ("panoptic_json", "panoptic_root"):
            if not metadata.get(key, None):
                raise DataError(
                    f"Data set {dataset_name!r} has no panoptic ground truth: set {key} of its metadata, or "
                    "switch MODEL.DETR.TEST.PANOPTIC_ON off."
                )
        self.json_file, self._root = metadata.panoptic_json, metadata.panoptic_root
        self.content = read_panoptic_json(self.json_file)
        self.categories = {category["id"]: category for category in self.content["categories"]}
        for category in self.categories.values():
            if "isthing" not in category:
                raise DataError(f"{self.json_file}: category {category['id']} has no 'isthing' (1 or 0)")
        self._annotations = {a["image_id"]: a for a in self.content["annotations"]}
        self.image_ids = list(self._annotations)

    def new_quality(self) -> PanopticQuality:
        """An empty sum over images, of this data set's categories."""
        return PanopticQuality({i: bool(c["isthing"]) for i, c in self.categories.items()})

    def annotation(self, image_id: Hashable) -> dict[str, Any]:
        """The annotation of an image.

        Raises:
            DataError: it has none.
        """
        return self._annotations[own_image(self._annotations, image_id, self.json_file)]

    def read_map(self, annotation: Mapping[str, Any]) -> np.ndarray:
        """The map of an image, as :func:`~detr_d2.data.segment_map.read_segment_ids` reads it."""
        return read_segment_ids(self._map_file(annotation))

    def _map_file(self, annotation: Mapping[str, Any]) -> str:
        return os.path.join(self._root, annotation["file_name"])

    def compare(
        self,
        quality: PanopticQuality,
        annotation: Mapping[str, Any],
        pred_map: np.ndarray,
        pred_segments: Segments,
    ) -> None:
        """Add an image to ``quality``.

        Args:
            annotation: of the image, of :meth:`annotation`.
            pred_map: (H, W) integer segment ids, 0 for void, or (H, W, 3) their colors.
            pred_segments: ``id`` and ``category_id``, of the data set, of each segment.

        Raises:
            DataError: the image's map is missing or of another size, or ids and lists of segments do not
                agree; names the file.
        """
        image_id, map_file = annotation["image_id"], self._map_file(annotation)
        gt_map = read_segment_ids(map_file)
        if gt_map.shape[:2] != pred_map.shape[:2]:
            raise DataError(
                f"Segmentation map {map_file} is {gt_map.shape[1]} x {gt_map.shape[0]} pixels, but the "
                f"prediction for image {image_id} is {pred_map.shape[1]} x {pred_map.shape[0]}, the size of "
                "the image file. Check that they belong together."
            )
        try:
            quality.add(gt_map, annotation["segments_info"], pred_map, pred_segments)
        except SegmentError as error:
            raise DataError(f"Image {image_id} ({map_file} with {self.json_file}): {error}") from error


def write_map(folder: str, file_name: str, ids: np.ndarray) -> None:
    """Write one predicted map as a png file.

    Args:
        folder: made where it does not exist.
        file_name: in the folder, or in one below it.
        ids: (H, W) integer segment ids from 0 to 256^3 - 1.

    Raises:
        DataError: the file would be elsewhere.
    """
    if os.path.isabs(file_name) or ".." in file_name.split("/"):
        raise DataError(
            f"The annotations name a segmentation map {file_name}, which lies outside panoptic_root: name it "
            "by its path from there"
        )
    colors = np.ascontiguousarray(ids, dtype="<u4").view(np.uint8).reshape(*ids.shape, 4)[..., :3]
    path = os.path.join(folder, file_name)
    PathManager.mkdirs(os.path.dirname(path))
    with PathManager.open(path, "wb") as file:
        Image.fromarray(colors.copy()).save(file, format="PNG")
