"""Boxes for pictures: reading records and predictions, and matching them."""

import numpy as np
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from detr_d2.visualization import (
    Detections,
    detections_from_instances,
    detections_from_record,
    match_detections,
)


def make(boxes: list[list[float]], classes: list[int], crowd: list[bool] | None = None) -> Detections:
    return Detections(
        boxes=np.asarray(boxes, dtype=np.float64).reshape(-1, 4),
        classes=np.asarray(classes, dtype=np.int64),
        crowd=np.asarray(crowd if crowd is not None else [False] * len(classes), dtype=np.bool_),
    )


def test_boxes_of_a_record_become_corners_whatever_their_mode() -> None:
    record = {
        "file_name": "a.jpg",
        "annotations": [
            {"bbox": [10, 20, 30, 40], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 2},
            {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 1},
        ],
    }
    detections = detections_from_record(record)
    assert detections.boxes.tolist() == [[10, 20, 40, 60], [1, 2, 3, 4]]
    assert detections.classes.tolist() == [2, 0]
    assert detections.crowd.tolist() == [False, True]
    assert detections.scores is None


def test_record_without_annotations_has_no_boxes() -> None:
    assert detections_from_record({"file_name": "a.jpg"}).boxes.shape == (0, 4)
    assert detections_from_record({"file_name": "a.jpg", "annotations": []}).boxes.shape == (0, 4)


def test_predictions_at_or_above_the_threshold_are_kept_best_first() -> None:
    instances = Instances((50, 50))
    instances.pred_boxes = Boxes(torch.arange(16.0).reshape(4, 4))
    instances.scores = torch.tensor([0.25, 0.9, 0.5, 0.75])
    instances.pred_classes = torch.tensor([3, 2, 1, 0])
    kept = detections_from_instances(instances, 0.5)
    assert kept.scores is not None
    assert kept.scores.tolist() == [0.8999999761581421, 0.75, 0.5]
    assert kept.classes.tolist() == [2, 0, 1]
    assert kept.boxes[:, 0].tolist() == [4, 12, 8]
    assert kept.masks is None
    instances.pred_masks = torch.arange(4)[:, None, None].expand(4, 50, 50) == 3
    masks = detections_from_instances(instances, 0.5).masks
    assert masks is not None
    assert masks.all((1, 2)).tolist() == [False, True, False]


def test_an_object_is_found_once_and_by_its_own_class_only() -> None:
    truth = make([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])
    # Right; a second one on the same object; the wrong class; right class, IoU 100 / 400.
    predictions = make([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 40, 40], [20, 20, 30, 30]], [0, 0, 0, 1])
    found, right = match_detections(truth, predictions)
    assert found.tolist() == [True, False]
    assert right.tolist() == [True, False, False, False]


def test_an_iou_of_one_half_is_enough() -> None:
    truth = make([[0, 0, 10, 10]], [0])
    assert match_detections(truth, make([[0, 0, 10, 5]], [0]))[1].tolist() == [True]
    assert match_detections(truth, make([[0, 0, 10, 4.9]], [0]))[1].tolist() == [False]


def test_predictions_inside_a_crowd_are_not_wrong() -> None:
    truth = make([[0, 0, 100, 100]], [0], crowd=[True])
    predictions = make([[0, 0, 10, 10], [50, 50, 60, 60], [95, 95, 115, 115], [0, 0, 10, 10]], [0, 0, 0, 1])
    found, right = match_detections(truth, predictions)
    assert found.tolist() == [True]
    assert right.tolist() == [True, True, False, False]


def test_nothing_matches_nothing() -> None:
    box = make([[0, 0, 10, 10]], [0])
    assert [side.tolist() for side in match_detections(make([], []), box)] == [[], [False]]
    assert [side.tolist() for side in match_detections(box, make([], []))] == [[False], []]
