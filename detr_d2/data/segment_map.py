"""Segmentation maps: COCO's panoptic png files, whose colours are segment ids."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .images import read_image

# The id of pixels that belong to no segment.
VOID = 0


def read_segment_ids(file_name: str) -> np.ndarray:
    """The segment ids, R + 256 G + 256^2 B, of a segmentation map.

    Returns:
        (H, W) uint32.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    colours = read_image(file_name, "RGB", what="Segmentation map")
    padded = np.zeros((*colours.shape[:2], 4), dtype=np.uint8)
    padded[..., :3] = colours
    return padded.view("<u4")[..., 0]


def read_segment_masks(file_name: str, segment_ids: Sequence[int], height: int, width: int) -> np.ndarray:
    """The pixels of each segment.

    Args:
        file_name: of the segmentation map.
        segment_ids: all ids that the annotations list for the image.
        height, width: of the image, in pixels.

    Returns:
        (N, height, width) bool, in the order of ``segment_ids``; disjoint, and none is empty.

    Raises:
        DataError: the map is missing, cannot be decoded or has another size, or the ids in it are not
            those listed.
    """
    ids = read_segment_ids(file_name)
    if ids.shape != (height, width):
        raise DataError(
            f"Segmentation map {file_name} is {ids.shape[1]} x {ids.shape[0]} pixels, but its image is "
            f"{width} x {height}. Check that they belong together."
        )
    valid = all(isinstance(number, int | np.integer) and VOID < number < 256**3 for number in segment_ids)
    if not valid or len(set(segment_ids)) != len(segment_ids):
        raise DataError(
            f"The annotations of segmentation map {file_name} list the segment ids {_some(segment_ids)}: "
            f"each must be an integer from 1 to {256**3 - 1}, listed once. {VOID} stands for pixels without "
            "a segment."
        )
    listed = np.array(segment_ids, dtype=ids.dtype)
    masks = ids == listed[:, None, None]
    counts = np.array([np.count_nonzero(mask) for mask in masks], dtype=np.int64)
    if not counts.all():
        raise DataError(
            f"Segmentation map {file_name} has no pixel of segment {_some(listed[counts == 0])}, which its "
            "annotations list. Remove such segments from the annotations, or replace the map."
        )
    if counts.sum() + np.count_nonzero(ids == VOID) != ids.size:
        strays = np.setdiff1d(ids, [VOID, *segment_ids])
        raise DataError(
            f"Segmentation map {file_name} has pixels of segment {_some(strays)}, which its annotations do "
            f"not list (they list {_some(segment_ids)}). Add the segments, or replace the map."
        )
    return masks


def _some(ids: Iterable[Any]) -> str:
    """The first few of some ids, for a message."""
    texts = [str(number) for number in ids]
    return ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "") or "(none)"
