"""Annotations and predictions of an image, side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from detectron2.data import Metadata

from ..classes import match_classes
from ..data.masks import rasterize
from ..data.segment_map import read_listed_ids
from ..evaluation.panoptic_quality import PanopticQuality
from ..visualization import (
    PanelSample,
    PanopticSample,
    detections_from_instances,
    detections_from_record,
    summarize,
)

Record = dict[str, Any]


def detection_sample(
    score_threshold: float, record: Record, image: np.ndarray, result: dict[str, Any]
) -> PanelSample:
    """A record's boxes beside a model's on its RGB image; with masks on both sides where both have them."""
    predictions = detections_from_instances(result["instances"], score_threshold)
    masks = None
    if predictions.masks is not None:
        size = record["height"], record["width"]
        with suppress(ValueError):  # there are no annotations, or one has no mask
            masks = np.stack([rasterize(a.get("segmentation"), *size) for a in record.get("annotations", ())])
    truth = detections_from_record(record, masks)
    return PanelSample(image, os.path.basename(record["file_name"]), truth, predictions)


def panoptic_sample(record: Record, image: np.ndarray, result: dict[str, Any]) -> PanopticSample:
    """A record's segments beside a model's, which are counted as panoptic quality counts them.

    Raises:
        DataError: an image or map cannot be read, or the map does not fit its segments; names the file.
    """
    file, segments = record["pan_seg_file_name"], record["segments_info"]
    listed = [segment["id"] for segment in segments]
    truth = read_listed_ids(file, listed, *image.shape[:2]).astype(np.int64), segments
    prediction = result["panoptic_seg"][0].numpy(), result["panoptic_seg"][1]
    quality = PanopticQuality({s["category_id"]: s["isthing"] for s in (*segments, *prediction[1])})
    quality.add(*truth, *prediction)
    found, missed, wrong = (int(counts.sum()) for counts in (quality.tp, quality.fn, quality.fp))
    summary = summarize("segment", found, found + missed, wrong)
    return PanopticSample(image, os.path.basename(record["file_name"]), truth, prediction, summary)


def in_numbers_of(
    metadata: Metadata, result: dict[str, Any], class_names: Sequence[str], what: str
) -> dict[str, Any]:
    """A result with the class numbers of a data set, which are found by name.

    Args:
        metadata: of the data set.
        result: of :class:`~detr_d2.predict.ImagePredictor`. What is of a class that the data set has not is
            left out.
        class_names: of the model, by its numbers; where they or those of the data set are not known the
            numbers stay.
        what: the data set, for messages.

    Raises:
        DataError: the model lacks a class of the data set.
    """
    names = metadata.get("thing_classes", None)
    if not class_names or names is None:
        return result
    things = metadata.get("thing_dataset_id_to_contiguous_id", None)
    wanted = None if things is None or "panoptic_seg" in result else things.values()
    numbers = match_classes(class_names, names, wanted, what)
    renumbered = dict(result)
    if "instances" in result:
        instances = result["instances"]
        known = torch.tensor([n in numbers for n in instances.pred_classes.tolist()], dtype=torch.bool)
        renumbered["instances"] = instances[known]
        classes = [numbers[n] for n in renumbered["instances"].pred_classes.tolist()]
        renumbered["instances"].pred_classes = torch.tensor(classes, dtype=torch.int64)
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        kept = [
            {**s, "category_id": numbers[s["category_id"]]} for s in segments if s["category_id"] in numbers
        ]
        void = ~torch.isin(ids, torch.tensor([s["id"] for s in kept], dtype=ids.dtype))
        renumbered["panoptic_seg"] = ids.masked_fill(void, 0), kept
    return renumbered
