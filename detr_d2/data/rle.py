"""COCO's run-length encoding, checked before it reaches pycocotools' C code, which takes any numbers."""

from collections.abc import Mapping
from reprlib import Repr
from typing import Any

import numpy as np

# Compressed counts: each character holds 5 bits of a number, a sixth says that more follow.
_FIRST_CHARACTER, _MORE, _SIGN, _DIGIT = 48, 0x20, 0x10, 0x1F
_MOST_CHARACTERS = 8

_REPR = Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 60, 60


def shown(value: Any) -> str:
    """The start of a value, of any size and depth, for a message in one line."""
    try:
        text = " ".join(_REPR.repr(value).split())
    except ValueError:  # Python writes no integer of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


_INTEGERS = (int, np.integer)


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number by its type, which bool is not meant to be."""
    return isinstance(value, _INTEGERS) and not isinstance(value, bool)


def run_lengths(rle: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The lengths of an RLE's runs, of 0 and 1 by turns, column by column.

    Args:
        rle: ``size`` (height, width) and ``counts``, which are a list of integers or COCO's compressed form
            of them (text or bytes).
        height, width: of the image, in pixels.

    Returns:
        (n,) int64, not negative; their sum is ``height * width``.

    Raises:
        ValueError: it cannot be used; the message says why, beginning with "its".
    """
    if "size" not in rle or "counts" not in rle:
        raise ValueError(f"its RLE needs the entries 'size' and 'counts', got {shown(list(rle))}")
    size, counts, pixels = rle["size"], rle["counts"], height * width
    if not isinstance(size, list | tuple | np.ndarray) or not all(map(is_integer, size)):
        raise ValueError(f"its RLE needs the size (height, width) in whole numbers, got {shown(size)}")
    if [*size] != [height, width]:
        raise ValueError(
            f"its RLE has the size (height, width) = {shown(tuple(size))}, but the image has {height, width}"
        )
    lengths = _decompressed(counts, pixels) if isinstance(counts, str | bytes) else _listed(counts, pixels)
    # Each by itself too: a sum of huge ones wraps around.
    if not len(lengths) or lengths.min() < 0 or lengths.max() > pixels or lengths.sum() != pixels:
        raise ValueError(
            f"its RLE counts must add up to the image's {height} x {width} = {pixels} pixels without "
            f"negative ones, got {shown(lengths.tolist())} and in all {sum(lengths.tolist())}"
        )
    return lengths


def _listed(counts: Any, pixels: int) -> np.ndarray:
    """Run lengths from a list of them."""
    if isinstance(counts, np.ndarray):
        counts = counts.tolist()
    if not isinstance(counts, list | tuple) or not set(map(type, counts)) <= {int, np.int64, np.int32}:
        raise ValueError(f"its RLE counts must be text or a list of integers, got {shown(counts)}")
    if len(counts) > pixels + 1:
        raise ValueError(f"its RLE has {len(counts)} counts, but the image has {pixels} pixels")
    try:
        return np.array(counts, dtype=np.int64)
    except OverflowError as error:
        raise ValueError(f"its RLE counts must add up to {pixels} pixels, got {shown(counts)}") from error


def _decompressed(counts: str | bytes, pixels: int) -> np.ndarray:
    """Run lengths from COCO's compressed form."""
    # A character more for every 32 that a number holds, and the numbers hold the pixels twice at most.
    if len(counts) > 2 * pixels + _MOST_CHARACTERS:
        raise ValueError(f"its RLE counts have {len(counts)} characters, but the image has {pixels} pixels")
    if not counts.isascii():
        raise ValueError(f"its RLE counts are damaged: {shown(counts)}")
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    codes = np.frombuffer(text, dtype=np.uint8) - np.uint8(
        _FIRST_CHARACTER
    )  # what is below wraps to above 64
    if not len(codes):
        return np.zeros(0, dtype=np.int64)
    ends = np.flatnonzero(codes & _MORE == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    broken = codes.max() >= 64 or not len(ends) or ends[-1] != len(codes) - 1
    if broken or sizes.max() > _MOST_CHARACTERS:
        raise ValueError(f"its RLE counts are damaged: {shown(counts)}")
    shifts = 5 * (np.arange(len(codes)) - starts.repeat(sizes))
    numbers = np.add.reduceat((codes & _DIGIT).astype(np.int64) << shifts, starts)
    numbers -= ((codes[ends] & _SIGN) > 0).astype(np.int64) << 5 * sizes
    # From the fourth number on, each is the difference to the last but one.
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers
