"""Which prediction found which object, matched as by COCO's evaluation: to tell why AP is what it is.

Ground truth and predictions are annotations in COCO's form whose images and categories are integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_util

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Record = Mapping[str, Any]

NONE = -1  # in place of an index
_RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's


@dataclass(frozen=True)
class ImageOverlaps:
    """The boxes of one image: p predictions, best first, and t objects, crowds left out.

    Attributes:
        image: its number.
        predictions: (p,) their indices.
        objects: (t,) their indices.
        iou: (p, t).
    """

    image: int
    predictions: IntArray
    objects: IntArray
    iou: FloatArray


@dataclass(frozen=True)
class Matching:
    """What became of P predictions and T objects at one IoU threshold.

    Attributes:
        threshold: the least IoU of a match.
        classes: (P,) categories of the predictions.
        scores: (P,).
        found: (P,) index of the object that a prediction found, or ``NONE``.
        counted: (P,) False for predictions that AP passes over: those in a crowd region of their class, and
            those of an image and class beyond the limit.
        object_classes: (T,) categories of the objects.
        crowd: (T,) objects that stand for a group and are not looked for.
        finder: (T,) index of the prediction that found an object, or ``NONE``.
        images: one entry for each image with a prediction or an object, in the order of their numbers.
    """

    threshold: float
    classes: IntArray
    scores: FloatArray
    found: IntArray
    counted: BoolArray
    object_classes: IntArray
    crowd: BoolArray
    finder: IntArray
    images: Sequence[ImageOverlaps]

    @property
    def order(self) -> IntArray:
        """Indices of the counted predictions, best first; equal scores in the order of the images."""
        listed = np.concatenate([np.zeros(0, dtype=np.int64), *(image.predictions for image in self.images)])
        listed = listed[self.counted[listed]]
        return listed[np.argsort(-self.scores[listed], kind="stable")]


def match_predictions(
    truth: Sequence[Record], predictions: Sequence[Record], threshold: float = 0.5, max_dets: int = 100
) -> Matching:
    """Match boxes as pycocotools does.

    In order of score each prediction takes the free object of its class and image with the largest IoU, if
    that is at least the threshold. One that finds none but lies, by at least that share of its area, in a
    crowd region of its class does not count.

    Args:
        truth: ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and, if it is not 0, ``iscrowd``.
        predictions: the same, with a ``score``. Those of images without an object are errors too.
        threshold: in (0, 1].
        max_dets: predictions of one class in an image that count, the best ones.
    """
    images, classes, boxes = _columns(predictions)
    object_images, object_classes, object_boxes = _columns(truth)
    scores = np.array([x["score"] for x in predictions], dtype=np.float64)
    crowd = np.array([bool(x.get("iscrowd", 0)) for x in truth], dtype=np.bool_)
    found, finder = (np.full(len(x), NONE, dtype=np.int64) for x in (predictions, truth))
    counted = np.ones(len(predictions), dtype=np.bool_)
    least = min(threshold, 1 - 1e-10)  # pycocotools' way not to ask for more than an IoU can be
    overlaps: list[ImageOverlaps] = []
    for image, ours, theirs in _by_image(images, object_images):
        ours = ours[np.argsort(-scores[ours], kind="stable")]
        counted[ours[_rank_in_class(classes[ours]) >= max_dets]] = False
        regions, objects = theirs[crowd[theirs]], theirs[~crowd[theirs]]
        iou = _iou(boxes[ours], object_boxes[objects], crowd=False)
        same = classes[ours][:, None] == object_classes[objects]
        close = np.where(same, iou, 0.0) >= least
        for row in np.flatnonzero(close.any(axis=1) & counted[ours]):
            free = np.flatnonzero(close[row] & (finder[objects] == NONE))
            if len(free):  # of equal ones the last, as pycocotools
                best = free[len(free) - 1 - int(iou[row, free][::-1].argmax())]
                found[ours[row]], finder[objects[best]] = objects[best], ours[row]
        inside = _iou(boxes[ours], object_boxes[regions], crowd=True) >= least
        inside &= classes[ours][:, None] == object_classes[regions]
        counted[ours[inside.any(axis=1) & (found[ours] == NONE)]] = False
        overlaps.append(ImageOverlaps(image, ours, objects, iou))
    return Matching(threshold, classes, scores, found, counted, object_classes, crowd, finder, overlaps)


def average_precision(right: BoolArray, num_objects: int) -> float:
    """COCO's average precision of one class: the mean precision at 101 recalls.

    Args:
        right: (N,) whether each counted prediction found an object, best prediction first.
        num_objects: objects to find, at least 1.
    """
    hits = np.cumsum(right)
    recall = hits / num_objects
    precision = hits / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or a higher one
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())


def best_threshold(matching: Matching) -> tuple[float, float, float]:
    """The score from which predictions have the highest F1, of all classes together.

    Returns:
        The score, the precision and the recall of the predictions that have at least it; all 0 where no
        prediction finds an object.
    """
    order = matching.order
    if not (matching.found[order] != NONE).any():
        return 0.0, 0.0, 0.0
    scores, hits = matching.scores[order], np.cumsum(matching.found[order] != NONE)
    taken, objects = np.arange(1, len(order) + 1), int((~matching.crowd).sum())
    f1 = 2 * hits / (taken + objects)
    f1[:-1][scores[:-1] == scores[1:]] = -1.0  # equal scores are taken together
    best = int(f1.argmax())
    return float(scores[best]), float(hits[best] / taken[best]), float(hits[best] / objects)


def _columns(records: Sequence[Record]) -> tuple[IntArray, IntArray, FloatArray]:
    """(N,) images, (N,) categories and (N, 4) boxes."""
    images, classes = (np.array([x[k] for x in records], dtype=np.int64) for k in ("image_id", "category_id"))
    return images, classes, np.array([x["bbox"] for x in records], dtype=np.float64).reshape(-1, 4)


def _by_image(ours: IntArray, theirs: IntArray) -> list[tuple[int, IntArray, IntArray]]:
    """The number of each image that any is of, with the indices of both."""
    numbers = np.unique(np.concatenate([ours, theirs]))
    parts = []
    for images in (ours, theirs):
        order = np.argsort(images, kind="stable")
        parts.append(np.split(order, np.searchsorted(images[order], numbers[1:])))
    return list(zip(numbers.tolist(), *parts, strict=True)) if len(numbers) else []


def _rank_in_class(classes: IntArray) -> IntArray:
    """(N,) how many entries of the same class come before each."""
    order = np.argsort(classes, kind="stable")
    _, starts, counts = np.unique(classes[order], return_index=True, return_counts=True)
    ranks = np.empty(len(classes), dtype=np.int64)
    ranks[order] = np.arange(len(classes)) - np.repeat(starts, counts)
    return ranks


def _iou(boxes: FloatArray, others: FloatArray, crowd: bool) -> FloatArray:
    """(p, t) IoU, or with ``crowd`` the share of each of the first boxes."""
    if not len(boxes) or not len(others):
        return np.zeros((len(boxes), len(others)))
    return np.asarray(mask_util.iou(boxes, others, [int(crowd)] * len(others)), dtype=np.float64)
