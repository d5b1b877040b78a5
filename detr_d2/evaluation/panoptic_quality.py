"""Panoptic quality of predicted segmentation maps (Kirillov et al., "Panoptic Segmentation", CVPR 2019).

    PQ = (sum of the IoU of the matches) / (TP + FP / 2 + FN / 2) = SQ * RQ

    SQ = (sum of the IoU of the matches) / TP
    RQ = TP / (TP + FP / 2 + FN / 2)

of each category over all images, then averaged over categories, with the rules for crowds and void pixels
of COCO's ``panopticapi``. Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# The id of pixels that belong to no segment.
VOID = 0
# Segment ids are colors of three bytes, so they are below this.
OFFSET = 256**3

# A match has more than this IoU, and so has no rival.
_MATCH_IOU = 0.5
# A prediction without a match is passed over where more than this share of it is void or crowd.
_IGNORED_SHARE = 0.5


class SegmentError(ValueError):
    """A segmentation map and the list of its segments do not belong together."""


class Overlaps(NamedTuple):
    """Areas of the intersections of two segmentation maps, in pixels; pairs that do not meet are left out.

    All are (K,) int64.
    """

    gt_ids: np.ndarray
    pred_ids: np.ndarray
    areas: np.ndarray


def measure_overlaps(gt_map: np.ndarray, pred_map: np.ndarray) -> Overlaps:
    """How many pixels each ground-truth segment shares with each predicted one, void included.

    Args:
        gt_map, pred_map: each (H, W) integer segment ids, or (H, W, 3) uint8 colors that encode them as
            R + 256 G + 256^2 B.

    Raises:
        SegmentError: the maps have different sizes or no pixels, or an id is negative or above 256^3 - 1.
    """
    size = gt_map.shape[:2]
    if size != pred_map.shape[:2] or len(size) != 2 or 0 in size:
        raise SegmentError(
            f"the ground truth has the shape {gt_map.shape} and the prediction {pred_map.shape}; both must "
            "be of one height and width"
        )
    starts = np.concatenate([[0], np.flatnonzero(_changes(gt_map) | _changes(pred_map)) + 1])
    lengths = np.diff(starts, append=size[0] * size[1])
    gt_ids, pred_ids = _ids_at(gt_map, starts, "ground truth"), _ids_at(pred_map, starts, "prediction")
    pairs, pair_of_run = np.unique(gt_ids * OFFSET + pred_ids, return_inverse=True)
    areas = np.bincount(pair_of_run, lengths, minlength=len(pairs)).astype(np.int64)
    return Overlaps(pairs // OFFSET, pairs % OFFSET, areas)


def _changes(segment_map: np.ndarray) -> np.ndarray:
    """(HW - 1,) bool: whether a pixel differs from the one before it, row after row."""
    channels = segment_map.shape[2] if segment_map.ndim == 3 else 1
    values = segment_map.reshape(-1)
    changes = values[channels:] != values[:-channels]
    if channels == 1:
        return changes
    return changes[0::3] | changes[1::3] | changes[2::3]


def _ids_at(segment_map: np.ndarray, positions: np.ndarray, what: str) -> np.ndarray:
    """(N,) int64: the ids of some pixels."""
    values = segment_map.reshape(-1)
    if segment_map.ndim == 3:
        return sum(values[3 * positions + i].astype(np.int64) << 8 * i for i in range(3))
    ids = values[positions].astype(np.int64)
    if ids.min() < 0 or ids.max() >= OFFSET:
        raise SegmentError(f"the {what} has ids from {ids.min()} to {ids.max()}, beyond three bytes")
    return ids


class Quality(NamedTuple):
    """Averages over categories, from 0 to 1; NaN where there are no categories to average over."""

    pq: float
    sq: float
    rq: float
    num_categories: int


class CategoryQuality(NamedTuple):
    """Of one category, from 0 to 1; all zero where it is neither in the ground truth nor predicted."""

    pq: float
    sq: float
    rq: float
    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class PanopticScores:
    """What :meth:`PanopticQuality.scores` gives; categories without TP, FP and FN are in no average."""

    all: Quality
    things: Quality
    stuff: Quality
    per_category: dict[int, CategoryQuality]


class PanopticQuality:
    """Sums up images, in any order and number of parts, and gives their panoptic quality.

    Parts, such as those of several processes, are joined by :meth:`merge`.
    """

    def __init__(self, isthing: Mapping[int, bool]):
        """
        Args:
            isthing: whether a category is a thing, by its id in the data set.
        """
        self._positions = {category: position for position, category in enumerate(isthing)}
        self._isthing = np.array([bool(thing) for thing in isthing.values()], dtype=bool)
        count = len(isthing)
        self.iou = np.zeros(count)
        self.tp, self.fp, self.fn = (np.zeros(count, dtype=np.int64) for _ in range(3))

    def add(
        self,
        gt_map: np.ndarray,
        gt_segments: Sequence[Mapping[str, Any]],
        pred_map: np.ndarray,
        pred_segments: Sequence[Mapping[str, Any]],
    ) -> None:
        """Count the matches and errors of one image.

        Args:
            gt_map, pred_map: ids, 0 for void, or colors, as :func:`measure_overlaps` takes them.
            gt_segments: ``id`` and ``category_id`` of each segment of ``gt_map``; ``iscrowd``, if it is not
                0; and its ``area`` in pixels, which is counted where it is not given.
            pred_segments: ``id`` and ``category_id`` of each segment of ``pred_map``.

        Raises:
            SegmentError: the maps have different sizes, a map's ids are not those of its segments, or a
                category is unknown. Nothing of the image is counted then.
        """
        gt_ids, pred_ids, overlaps = measure_overlaps(gt_map, pred_map)
        gt = _Segments.read(gt_segments, gt_ids, overlaps, self._positions, "ground truth")
        pred = _Segments.read(pred_segments, pred_ids, overlaps, self._positions, "prediction")
        rows, columns = gt.rows, pred.rows
        gt_areas = gt.areas.copy()
        gt_areas[1:] = [s.get("area", area) for s, area in zip(gt_segments, gt.areas[1:], strict=True)]

        # Row 0 is void. A prediction's void pixels count neither for nor against it.
        void = np.zeros(len(pred.areas))
        void[columns[rows == 0]] = overlaps[rows == 0]
        candidates = (rows > 0) & (columns > 0) & ~gt.iscrowd[rows]
        candidates &= gt.categories[rows] == pred.categories[columns]
        r, c, shared = rows[candidates], columns[candidates], overlaps[candidates]
        iou = shared / (pred.areas[c] + gt_areas[r] - shared - void[c])
        matches = iou > _MATCH_IOU
        r, c, iou = r[matches], c[matches], iou[matches]

        count = len(self._positions)
        missed = ~gt.iscrowd
        missed[r] = False
        missed[0] = False

        # Of several crowds of a category panopticapi looks at the last one listed.
        crowd_of_category = np.full(count, -1)
        crowd_of_category[gt.categories[gt.iscrowd]] = np.flatnonzero(gt.iscrowd)
        in_crowd = (rows > 0) & (columns > 0) & (crowd_of_category[pred.categories[columns]] == rows)
        ignored = void + np.bincount(columns[in_crowd], overlaps[in_crowd], minlength=len(void))
        wrong = ignored <= _IGNORED_SHARE * pred.areas
        wrong[c] = False
        wrong[0] = False

        self.iou += np.bincount(gt.categories[r], iou, minlength=count)
        self.tp += np.bincount(gt.categories[r], minlength=count)
        self.fp += np.bincount(pred.categories[wrong], minlength=count)
        self.fn += np.bincount(gt.categories[missed], minlength=count)

    def merge(self, other: PanopticQuality) -> None:
        """Add the images that ``other`` has summed up.

        Raises:
            ValueError: it is of other categories.
        """
        if self._positions != other._positions:
            raise ValueError("panoptic qualities of different categories cannot be merged")
        self.iou += other.iou
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn

    def scores(self) -> PanopticScores:
        """The qualities of all images so far."""
        halves = self.tp + 0.5 * (self.fp + self.fn)
        seen = halves > 0
        pq = np.divide(self.iou, halves, out=np.zeros(len(seen)), where=seen)
        sq = np.divide(self.iou, self.tp, out=np.zeros(len(seen)), where=self.tp > 0)
        rq = np.divide(self.tp, halves, out=np.zeros(len(seen)), where=seen)

        def average(of: np.ndarray) -> Quality:
            count = int(of.sum())
            if not count:
                return Quality(float("nan"), float("nan"), float("nan"), 0)
            return Quality(float(pq[of].mean()), float(sq[of].mean()), float(rq[of].mean()), count)

        columns = [values.tolist() for values in (pq, sq, rq, self.tp, self.fp, self.fn)]
        return PanopticScores(
            all=average(seen),
            things=average(seen & self._isthing),
            stuff=average(seen & ~self._isthing),
            per_category={
                category: CategoryQuality(*row)
                for category, row in zip(self._positions, zip(*columns, strict=True), strict=True)
            },
        )


class _Segments(NamedTuple):
    """The S segments of a map, with void as row 0 before them."""

    areas: np.ndarray  # (S + 1,) float64, pixels of the map
    categories: np.ndarray  # (S + 1,) int64, positions of the categories; void has position 0
    iscrowd: np.ndarray  # (S + 1,) bool
    rows: np.ndarray  # (K,) int64, of the overlaps

    @classmethod
    def read(
        cls,
        segments: Sequence[Mapping[str, Any]],
        overlap_ids: np.ndarray,
        overlap_areas: np.ndarray,
        positions: Mapping[int, int],
        what: str,
    ) -> _Segments:
        """Bring a list of segments and the overlaps of their map together.

        Args:
            overlap_ids, overlap_areas: (K,) the map's id of each overlap, and its pixels.
            positions: of the known categories.
            what: whose segments, for messages.

        Raises:
            SegmentError: the ids are not those of the map, or a category is unknown.
        """
        row_of = {VOID: 0}
        categories = [0]
        for row, segment in enumerate(segments, start=1):
            number, category = segment["id"], segment["category_id"]
            if number in row_of:
                raise SegmentError(f"the {what} lists segment {number} twice (0 stands for void)")
            if category not in positions:
                raise SegmentError(f"segment {number} of the {what} has the unknown category {category}")
            row_of[number] = row
            categories.append(positions[category])
        strays = set(overlap_ids.tolist()) - row_of.keys()
        if strays:
            raise SegmentError(f"the {what} has pixels of segment {min(strays)}, which is not listed")
        rows = np.array([row_of[number] for number in overlap_ids.tolist()], dtype=np.int64)
        areas = np.bincount(rows, overlap_areas, minlength=len(row_of))
        for number, row in row_of.items():
            if row > 0 and areas[row] == 0:
                raise SegmentError(f"the {what} lists segment {number}, which has no pixels")
        iscrowd = np.array([False, *(bool(segment.get("iscrowd", 0)) for segment in segments)])
        return cls(areas, np.array(categories, dtype=np.int64), iscrowd, rows)
