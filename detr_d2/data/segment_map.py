"""Segmentation maps: COCO's panoptic png files, whose colors are segment ids.

The id of a pixel is R + 256 G + 256^2 B of its color, of 8 bits a channel. The same colors in another form
(a palette, gray, or with an alpha channel, which is not looked at) are read too: tools that make files
smaller write these. Files whose colors are not exact (JPEG) or of another depth are refused.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from ..errors import DataError
from .image_file import MAX_PIXELS, load, open_header
from .images import image_header, upright
from .segment_causes import likely_cause

# The id of pixels that belong to no segment.
VOID = 0
# Segment ids are colors of three bytes.
LARGEST_ID = 256**3 - 1

# Pillow's modes that are colors of 8 bits, or fewer, a channel.
_COLORS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_LOSSY = ("JPEG", "MPO")
_WHAT = "Segmentation map"


@contextmanager
def _opened(file_name: str) -> Iterator[Image.Image]:
    """A segmentation map, before its pixels are decoded.

    Raises:
        MissingFileError: there is no such file.
        DataError: it cannot be decoded, or has no exact colors of 8 bits a channel.
    """
    with open_header(file_name, _WHAT, MAX_PIXELS) as image:
        has = ""
        # Pillow calls colors of 16 bits RGB too, and would drop the lower ones.
        if ";16" in str(getattr(image, "tile", "")) or image.mode.startswith(("I", "F")):
            has = "16 or more bits a channel, as some tools write ids"
        elif image.format in _LOSSY:
            has = "the format JPEG, which does not keep colors exactly"
        elif image.mode not in _COLORS:
            has = f"colors of the kind {image.mode}"
        if has:
            raise DataError(
                f"{_WHAT} {file_name} has {has}, but must be a png file of 8-bit RGB colors: write the "
                "segment ids anew, each as the color R + 256 G + 256^2 B."
            )
        yield image


def _ids(image: Image.Image, file_name: str) -> np.ndarray:
    """(H, W) uint32 ids of the pixels, turned as the EXIF entry says."""
    load(image, file_name, _WHAT, MAX_PIXELS)
    colors = upright(np.asarray(image.convert("RGB")), image)
    padded = np.zeros((*colors.shape[:2], 4), dtype=np.uint8)
    padded[..., :3] = colors
    return padded.view("<u4")[..., 0]


def segment_map_size(file_name: str) -> tuple[int, int]:
    """(width, height) of a segmentation map in pixels, from its header alone.

    Raises:
        DataError: it is missing, cannot be decoded, or has no exact colors of 8 bits a channel.
    """
    with _opened(file_name):
        return image_header(file_name, MAX_PIXELS, _WHAT)[:2]


def read_segment_ids(file_name: str) -> np.ndarray:
    """The segment ids, R + 256 G + 256^2 B, of a segmentation map.

    Returns:
        (H, W) uint32.

    Raises:
        MissingFileError: there is no such file.
        DataError: it cannot be decoded, or has no exact colors of 8 bits a channel.
    """
    with _opened(file_name) as image:
        return _ids(image, file_name)


def write_segment_ids(file: str | os.PathLike[str], ids: np.ndarray) -> None:
    """Write a png map whose colors are ids, (H, W) integers from 0 to :data:`LARGEST_ID`."""
    colors = np.stack([ids, ids >> 8, ids >> 16], axis=-1) & 255
    Image.fromarray(colors.astype(np.uint8)).save(file, "PNG", compress_level=1)


def read_listed_ids(file_name: str, segment_ids: Sequence[int], height: int, width: int) -> np.ndarray:
    """The segment ids of a segmentation map, which must be those that its annotations list.

    Args:
        file_name: of the segmentation map.
        segment_ids: all ids that the annotations list for the image.
        height, width: of the image, in pixels.

    Returns:
        (height, width) uint32.

    Raises:
        DataError: the map is missing, cannot be decoded, has another size or no exact colors of 8 bits, or
            the ids in it are not those listed; the message tells the likely cause.
    """
    valid = all(
        isinstance(number, int | np.integer) and VOID < number <= LARGEST_ID for number in segment_ids
    )
    if not valid or len(set(segment_ids)) != len(segment_ids):
        raise DataError(
            f"The annotations of segmentation map {file_name} list the segment ids {_some(segment_ids)}: "
            f"each must be an integer from 1 to {LARGEST_ID}, listed once. {VOID} stands for pixels without "
            "a segment."
        )
    with _opened(file_name) as image:
        ids = _ids(image, file_name)
    if ids.shape != (height, width):
        raise DataError(
            f"Segmentation map {file_name} is {ids.shape[1]} x {ids.shape[0]} pixels, but its image is "
            f"{width} x {height}. Check that they belong together."
        )
    found, listed = _different(ids), np.sort(np.array(segment_ids, dtype=ids.dtype))
    found = found[found != VOID]
    if not np.array_equal(found, listed):
        raise DataError(_mismatch(file_name, found, listed))
    return ids


def read_segment_masks(file_name: str, segment_ids: Sequence[int], height: int, width: int) -> np.ndarray:
    """The pixels of each segment.

    Args:
        file_name, segment_ids, height, width: as of :func:`read_listed_ids`.

    Returns:
        (N, height, width) bool, in the order of ``segment_ids``; disjoint, and none is empty.

    Raises:
        DataError: as :func:`read_listed_ids`.
    """
    ids = read_listed_ids(file_name, segment_ids, height, width)
    return ids == np.array(segment_ids, dtype=ids.dtype)[:, None, None]


def _different(ids: np.ndarray) -> np.ndarray:
    """The different ids of a map, sorted. Looking at the ends of runs alone is many times faster."""
    flat = ids.reshape(-1)
    return np.unique(flat[np.flatnonzero(np.append(flat[1:] != flat[:-1], True))])


def _mismatch(file_name: str, found: np.ndarray, listed: np.ndarray) -> str:
    """What to say of a map whose ids are not those that its annotations list."""
    absent, strays = np.setdiff1d(listed, found), np.setdiff1d(found, listed)
    with _opened(file_name) as image:
        indices = np.unique(np.asarray(image)) if image.mode == "P" else None
    cause = likely_cause(found, listed, indices)
    said = []
    if len(absent):
        said.append(f"no pixel of segment {_some(absent)}, which its annotations list")
    if len(strays):
        lists = f"which its annotations do not list (they list {_some(listed)})"
        said.append(f"pixels of segment {_some(strays)}, {lists}")
    cause = cause or "Correct the annotations, or replace the map."
    return f"Segmentation map {file_name} has {' and '.join(said)}. {cause}"


def _some(ids: Iterable[Any]) -> str:
    """The first few of some ids, for a message."""
    texts = [f"{number!s:.20}" for number in ids]
    return ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "") or "(none)"
