"""Masks of objects: read from any format as bitmaps of the original image, then augmented as bitmaps.

Polygons, RLE and bitmaps of the same pixels thereby give the same targets, whatever the augmentation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from fvcore.transforms.transform import Transform
from pycocotools import mask as mask_util

# COCO's compressed RLE: each character holds 5 bits of a number, a sixth says that more follow.
_FIRST_CHARACTER, _MORE, _SIGN, _DIGIT = 48, 0x20, 0x10, 0x1F
_MOST_CHARACTERS = 8


def segmentation_problem(segmentation: Any, height: int, width: int) -> str:
    """What keeps the segmentation of an annotation from being used, as far as its form tells.

    Args:
        segmentation: a list of polygons, COCO's RLE (compressed or not), or an (H, W) array.
        height, width: of the image, in pixels.

    Returns:
        The problem in words, beginning with "its", or "".
    """
    if isinstance(segmentation, dict):
        if "size" not in segmentation or "counts" not in segmentation:
            return f"its RLE needs the entries 'size' and 'counts', got {', '.join(map(repr, segmentation))}"
        if list(segmentation["size"]) != [height, width]:
            return (
                f"its RLE has the size (height, width) = {tuple(segmentation['size'])}, but the image has "
                f"{(height, width)}"
            )
        return ""
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != (height, width):
            return f"its bitmask has the shape {segmentation.shape}, but the image has {(height, width)}"
        return ""
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str) or not len(segmentation):
        return f"its segmentation must be polygons, RLE or a bitmask, got {segmentation!r:.60}"
    for polygon in segmentation:
        if not isinstance(polygon, Sequence | np.ndarray) or isinstance(polygon, str):
            return f"its segmentation must be a list of polygons, each a list of numbers; got {polygon!r:.60}"
        if len(polygon) < 6 or len(polygon) % 2:
            return (
                f"its polygon {list(polygon)!r:.60} must have x and y of at least three points, but has "
                f"{len(polygon)} numbers"
            )
    return ""


def rasterise(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The pixels of an annotation's segmentation.

    Args:
        segmentation: a list of polygons (filled and united as COCO's own tools do it), COCO's RLE
            (compressed or not), or an (H, W) array that is not 0 on the object.
        height, width: of the image, in pixels.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: it cannot be used; the message says why, beginning with "its".
    """
    problem = segmentation_problem(segmentation, height, width)
    if problem:
        raise ValueError(problem)
    if isinstance(segmentation, np.ndarray):
        return segmentation != 0
    if isinstance(segmentation, dict):
        return _decode(_run_lengths(segmentation["counts"]), height, width)
    try:
        polygons = [np.asarray(polygon, dtype=np.float64) for polygon in segmentation]
    except (TypeError, ValueError) as error:
        raise ValueError(f"its polygons must hold numbers alone, got {segmentation!r:.60}") from error
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("its polygons have coordinates that are not finite numbers")
    united = mask_util.merge(mask_util.frPyObjects(polygons, height, width))
    return _decode(_run_lengths(united["counts"]), height, width)


def _decode(lengths: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) bool from lengths of runs of 0 and 1 by turns, column by column.

    pycocotools would leave memory as it happened to be where the runs end before the image does.
    """
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(
            f"its RLE counts must add up to the image's {height} x {width} = {height * width} pixels, but "
            f"add up to {lengths.sum()}"
        )
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _run_lengths(counts: Any) -> np.ndarray:
    """The run lengths of an RLE, (n,) int64, from a list of numbers or COCO's compressed text.

    Raises:
        ValueError: they are neither.
    """
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    if not isinstance(counts, bytes):
        lengths = np.asarray(counts)
        if lengths.ndim != 1 or (lengths.size and lengths.dtype.kind not in "iu"):
            raise ValueError(f"its RLE counts must be text or a list of integers, got {counts!r:.60}")
        return lengths.astype(np.int64)
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - _FIRST_CHARACTER
    ends = np.flatnonzero(~codes & _MORE)
    if not len(codes):
        return codes
    starts = np.concatenate([[0], ends[:-1] + 1])
    broken = (codes < 0).any() or (codes >= 64).any() or not len(ends) or ends[-1] != len(codes) - 1
    if broken or (ends - starts >= _MOST_CHARACTERS).any():
        raise ValueError(f"its RLE counts are damaged: {counts!r:.60}")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((codes & _DIGIT) << shifts, starts)
    numbers -= ((codes[ends] & _SIGN) > 0) * (np.int64(1) << (shifts[ends] + 5))
    # From the fourth number on, each is the difference to the last but one.
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers


def transform_masks(masks: np.ndarray, transforms: Transform) -> np.ndarray:
    """Augment masks as Detectron2 augments segmentations, by nearest neighbours.

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
