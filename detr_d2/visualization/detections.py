"""The objects that are drawn: read from data-set records and from a model's ``Instances``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.structures import Boxes, BoxMode, Instances, pairwise_ioa, pairwise_iou

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """N boxes of one image.

    Attributes:
        boxes: (N, 4) corners (x0, y0, x1, y1) in pixels of the original image.
        classes: (N,) contiguous class indices.
        crowd: (N,) True for annotations that stand for a group of objects.
        scores: (N,) in [0, 1], or None for ground truth.
        masks: N masks (H, W), pixels of the original image, which may be made as they are asked for; or None
            where only boxes are known.
        tracks: (N,) ids of the objects of a video, negative where an object has none; None elsewhere.
    """

    boxes: FloatArray
    classes: IntArray
    crowd: BoolArray
    scores: FloatArray | None = None
    masks: BoolArray | Sequence[BoolArray] | None = None
    tracks: IntArray | None = None

    def __len__(self) -> int:
        return len(self.boxes)


def detections_from_record(record: Mapping[str, Any], masks: BoolArray | None = None) -> Detections:
    """Read the annotated boxes of a record in Detectron2's data-set format.

    A record without ``annotations`` gives no boxes.

    Args:
        record: its ``annotations`` are read, which :func:`~detr_d2.data.load_dataset` has checked.
        masks: (N, H, W) of the annotations, to be drawn with the boxes.
    """
    annotations = record.get("annotations") or []
    boxes = [BoxMode.convert(list(a["bbox"]), a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    return Detections(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array([a["category_id"] for a in annotations], dtype=np.int64),
        np.array([a.get("iscrowd", 0) for a in annotations], dtype=np.bool_),
        masks=masks,
    )


def detections_from_instances(instances: Instances, score_threshold: float) -> Detections:
    """Keep the predictions at or above a score, best first.

    Args:
        instances: ``pred_boxes``, ``scores``, ``pred_classes`` and maybe ``pred_masks`` and ``track_ids`` of
            one image, on any device.
        score_threshold: in [0, 1].
    """
    kept = instances[instances.scores >= score_threshold]
    kept = kept[kept.scores.argsort(descending=True, stable=True)]
    masks = kept.pred_masks if kept.has("pred_masks") else None
    return Detections(
        kept.pred_boxes.tensor.double().numpy(force=True),
        kept.pred_classes.numpy(force=True),
        np.zeros(len(kept), dtype=np.bool_),
        kept.scores.double().numpy(force=True),
        masks.numpy(force=True) if isinstance(masks, torch.Tensor) else masks,
        kept.track_ids.numpy(force=True) if kept.has("track_ids") else None,
    )


def match_detections(
    truth: Detections, predictions: Detections, iou_threshold: float = 0.5
) -> tuple[BoolArray, BoolArray]:
    """Say which objects were found and which predictions found one, as COCO's evaluation does.

    In order of score each prediction takes the free object of its class with the largest IoU, if that
    is at least ``iou_threshold``. Predictions that found nothing but lie inside a crowd region of their
    class (by at least ``iou_threshold`` of their area) count as right; crowd regions count as found.

    Args:
        truth: N objects.
        predictions: M predictions, best first.
        iou_threshold: in (0, 1].

    Returns:
        (N,) found, (M,) right.
    """
    found, right = truth.crowd.copy(), np.zeros(len(predictions), dtype=np.bool_)
    if not len(truth) or not len(predictions):
        return found, right
    boxes = Boxes(torch.from_numpy(truth.boxes)), Boxes(torch.from_numpy(predictions.boxes))
    iou = pairwise_iou(*boxes).numpy()  # N x M
    inside = pairwise_ioa(*boxes).numpy()  # N x M, over the prediction's area
    same_class = truth.classes[:, None] == predictions.classes[None, :]
    for column in range(len(predictions)):
        free = same_class[:, column] & ~found
        overlaps = np.where(free, iou[:, column], -1.0)
        best = int(overlaps.argmax())
        if overlaps[best] >= iou_threshold:
            found[best] = right[column] = True
        else:
            crowd = same_class[:, column] & truth.crowd
            right[column] = bool((inside[crowd, column] >= iou_threshold).any())
    return found, right
