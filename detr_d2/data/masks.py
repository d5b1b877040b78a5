"""Masks of objects: read from any format as bitmaps of the original image, then augmented as bitmaps.

Polygons, RLE and bitmaps of the same pixels thereby give the same targets, whatever the augmentation.

Nothing reaches pycocotools' C code unchecked: what no image can have makes it exhaust memory or crash.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fvcore.transforms.transform import Transform
from pycocotools import mask as mask_util

from .rle import is_integer, run_lengths, shown

# The longest run that a compressed RLE of pycocotools has room for; the largest photographs have half of it.
_MOST_PIXELS = 2**29

# pycocotools walks along outlines in fifths of pixels and keeps 16 bytes for each step.
_STEPS_A_PIXEL = 5

# Coordinates may be this many times the longer side of the image.
_FARTHEST = 10

_LISTS = (list, tuple, np.ndarray)


class Faults(NamedTuple):
    """What is wrong with a segmentation.

    Attributes:
        why: the first fault in words, beginning with "its"; "" where there is none.
        bad_parts: polygons that are left out beside good ones, or bad ones where none is good.
        unusable: whether nothing of it can be used, so that :func:`rasterize` raises.
    """

    why: str = ""
    bad_parts: int = 0
    unusable: bool = False


def segmentation_faults(segmentation: Any, height: int, width: int) -> Faults:
    """Look for what keeps a segmentation, or polygons of it, from being used; quick, for it draws nothing.

    Args:
        segmentation: as for :func:`rasterize`, or anything else.
        height, width: of the image, in pixels.
    """
    try:
        height, width = _whole_size(height, width)
        if isinstance(segmentation, np.ndarray):
            _check_bitmask(segmentation, height, width)
        elif isinstance(segmentation, dict):
            run_lengths(segmentation, height, width)
        else:
            good, bad = split_polygons(segmentation, height, width)
            if bad:
                return Faults(_why_bad(bad[0], height, width), len(bad), not good)
    except ValueError as error:
        return Faults(str(error), unusable=True)
    return Faults()


def rasterize(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The pixels of an annotation's segmentation, those of pycocotools.

    Args:
        segmentation: one of

            - a list of polygons [x0, y0, x1, y1, ...], which are filled and united; those that
              :func:`split_polygons` calls bad are passed over. One polygon may stand without the outer
              list, or as a list of points [x, y];
            - COCO's RLE, a dict with ``size`` and ``counts`` (a list of integers, or compressed);
            - an (H, W) array of numbers that is not 0 on the object.
        height, width: of the image, in pixels.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: nothing of it can be used; the message says why, beginning with "its".
    """
    height, width = _whole_size(height, width)
    if isinstance(segmentation, np.ndarray):
        return _check_bitmask(segmentation, height, width)
    rle = segmentation if isinstance(segmentation, dict) else _draw(segmentation, height, width)
    lengths = run_lengths(rle, height, width)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def encode(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A segmentation as COCO's compressed RLE, which json can hold.

    Args:
        segmentation: as for :func:`rasterize`.
        height, width: of the image, in pixels.

    Returns:
        ``size`` [height, width] and ``counts``, text.

    Raises:
        ValueError: as :func:`rasterize`.
    """
    height, width = _whole_size(height, width)
    if isinstance(segmentation, np.ndarray):
        bitmask = _check_bitmask(segmentation, height, width)
        rle = mask_util.encode(np.asfortranarray(bitmask.view(np.uint8)))
    elif isinstance(segmentation, dict):
        runs = {"size": [height, width], "counts": run_lengths(segmentation, height, width)}
        rle = mask_util.frPyObjects(runs, height, width)
    else:
        rle = _draw(segmentation, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def are_sound_polygons(segmentation: Any, height: int, width: int) -> bool:
    """Whether a segmentation is a list of polygons that surely have no fault; quick, as nearly all are so.

    Args:
        segmentation: anything.
        height, width: of the image, in pixels.
    """
    if type(segmentation) is not list or not segmentation:
        return False
    farthest, steps = _FARTHEST * max(height, width), 0.0
    try:
        for polygon in segmentation:
            norm = math.hypot(*polygon)  # no coordinate is larger; far quicker than to look at each
            size = len(polygon)
            if type(polygon) is not list or size < 6 or size % 2 or not norm <= farthest:  # it may be NaN
                return False
            # An edge is not longer than its two ends are far from the origin, together.
            steps += 2 * _STEPS_A_PIXEL * math.sqrt(size) * norm + size
    except (TypeError, OverflowError):
        return False
    return steps <= _most_steps(height, width)


def split_polygons(segmentation: Any, height: int, width: int) -> tuple[Sequence[Sequence[float]], list[Any]]:
    """The good polygons of a segmentation, each flat, and the bad ones as they are.

    A good one has x and y of at least three points, all of them numbers that are at most ten times the
    image's longer side: objects may reach beyond the image, as far as that.

    Args:
        segmentation: a list of polygons, or one polygon, flat or as points [x, y].
        height, width: of the image, in pixels.

    Raises:
        ValueError: it is no such list, it is empty, or the outlines are together longer than those of any
            object, 0.4 times the number of the image's pixels and 200,000.
    """
    if not isinstance(segmentation, (list, tuple)) or not segmentation:
        raise ValueError(f"its segmentation must be polygons, RLE or a bitmask, got {shown(segmentation)}")
    if are_sound_polygons(segmentation, height, width):
        return segmentation, []
    farthest = _FARTHEST * max(height, width)
    good: list[Sequence[float]] = []
    bad: list[Any] = []
    for polygon in _as_polygons(segmentation):
        (good if _is_polygon(polygon, farthest) else bad).append(polygon)
    most = _most_steps(height, width)
    if sum(map(_count_steps, good)) > most:
        raise ValueError(
            f"its polygons' outlines are longer than {most // _STEPS_A_PIXEL} pixels, more than any object's "
            f"in an image of {height} x {width}"
        )
    return good, bad


def _as_polygons(segmentation: Sequence[Any]) -> Sequence[Any]:
    """The polygons of a list, which may itself be the one polygon, flat or as three or more points.

    A polygon of one point has no meaning, so that pairs of numbers can only be points.
    """
    first = segmentation[0]
    if isinstance(first, int | float | np.number):
        return [segmentation]
    if len(segmentation) >= 3 and all(_is_list(point) and len(point) == 2 for point in segmentation):
        return [[number for point in segmentation for number in point]]
    return segmentation


def _is_list(value: Any) -> bool:
    return isinstance(value, _LISTS) and getattr(value, "ndim", 1) == 1


def _is_polygon(polygon: Any, farthest: int) -> bool:
    """Whether a value is x and y of three points or more, none of them farther than that."""
    if not _is_list(polygon) or len(polygon) < 6 or len(polygon) % 2:
        return False
    try:
        finite = math.isfinite(math.hypot(*polygon))
    except (TypeError, ValueError, OverflowError):
        return False
    return finite and -farthest <= min(polygon) and max(polygon) <= farthest


def _most_steps(height: int, width: int) -> int:
    """The most steps along the outlines of an object: many times what any has."""
    return 2 * height * width + 1_000_000


def _why_bad(polygon: Any, height: int, width: int) -> str:
    """What is wrong with a bad polygon."""
    if not _is_list(polygon):
        return f"its segmentation must be a list of polygons, which {shown(polygon)} is not"
    if len(polygon) < 6 or len(polygon) % 2:
        return (
            f"its polygon {shown(polygon)} must have x and y of at least three points, but has "
            f"{len(polygon)} numbers"
        )
    return (
        f"its polygon {shown(polygon)} must hold finite numbers of at most "
        f"{_FARTHEST * max(height, width)}, which is {_FARTHEST} times the image's longer side"
    )


def _count_steps(polygon: Sequence[float]) -> float:
    """The steps along the outline of a good polygon, or a few more."""
    points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    edges = np.abs(points[1:] - points[:-1]).max(axis=1).sum() + np.abs(points[0] - points[-1]).max()
    return float(_STEPS_A_PIXEL * edges) + len(polygon)


def _draw(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """The good polygons of a segmentation, united, as pycocotools' compressed RLE."""
    good, bad = split_polygons(segmentation, height, width)
    if not good:
        raise ValueError(_why_bad(bad[0], height, width))
    polygons = [np.array(polygon, dtype=np.float64) for polygon in good]
    return mask_util.merge(mask_util.frPyObjects(polygons, height, width))


def _check_bitmask(bitmask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where an array is not 0: (height, width) bool."""
    if bitmask.shape != (height, width):
        raise ValueError(f"its bitmask has the shape {bitmask.shape}, but the image has {height, width}")
    if bitmask.dtype.kind not in "biuf" or not np.isfinite(bitmask).all():
        raise ValueError(f"its bitmask must hold finite numbers, got {bitmask.dtype}")
    return bitmask != 0


def _whole_size(height: Any, width: Any) -> tuple[int, int]:
    """The size of an image, in pixels, which must be one that an image can have."""
    for length in (height, width):
        if not is_integer(length) and not (isinstance(length, float) and length.is_integer()):
            raise ValueError(f"its image's size (height, width) is {shown((height, width))}")
    if not (height > 0 and width > 0 and height * width < _MOST_PIXELS):
        raise ValueError(f"its image's size (height, width) {shown((height, width))} is none of an image")
    return int(height), int(width)


def transform_masks(masks: np.ndarray, transforms: Transform) -> np.ndarray:
    """Augment masks as Detectron2 augments segmentations, by nearest neighbors.

    Eight masks at a time travel as the bits of one image: a segmentation's values are moved, never mixed.

    Args:
        masks: (N, H, W) bool, N at least 1.
        transforms: of the image.

    Returns:
        (N, H', W') bool at the size of the augmented image.
    """
    # np.packbits and np.unpackbits do the same, many times slower along the first axis.
    planes = np.zeros((-(-len(masks) // 8), *masks.shape[1:]), dtype=np.uint8)
    for n, mask in enumerate(masks):
        planes[n // 8] |= mask.view(np.uint8) << (n % 8)
    moved = [transforms.apply_segmentation(plane) for plane in planes]
    augmented = np.empty((len(masks), *moved[0].shape), dtype=bool)
    for n in range(len(masks)):
        augmented[n] = moved[n // 8] & (1 << n % 8)
    return augmented


def boxes_of_masks(masks: np.ndarray) -> np.ndarray:
    """Boxes as published DETR makes them of panoptic segments: from the first to the last pixel.

    The last pixel's own extent is not added, so what is one pixel wide or high has no area.

    Args:
        masks: (N, H, W) bool; an empty mask has the box (0, 0, 0, 0).

    Returns:
        (N, 4) float64: x0, y0, x1, y1.
    """
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1], rows[-1]
    return boxes
