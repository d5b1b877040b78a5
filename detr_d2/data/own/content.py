"""Which image files have the same content, or nearly."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...errors import UserError, named
from ..image_file import MAX_PIXELS, load, open_header
from ..preflight.files import in_threads

# An image is compared as so many gray squares each way.
_SIDE = 16
# From this correlation on two images are nearly the same: saved anew, resized, or a moment later. Photographs
# of like things stay below 0.8.
NEAR = 0.97
# Squares that differ by less than this, in gray levels, show nothing to compare.
_LEAST_CONTRAST = 1.0
# Rows of the matrix of all correlations that are looked at together.
_ROWS = 500


def copies(files: Sequence[str]) -> list[list[int]]:
    """Groups of two or more files of the same bytes, as positions, without files that cannot be read."""
    by_size = defaultdict(list)
    for position, file in enumerate(files):
        try:
            by_size[os.stat(file).st_size].append(position)
        except (OSError, ValueError):
            continue
    alike = [position for positions in by_size.values() if len(positions) > 1 for position in positions]
    groups = defaultdict(list)
    for position, digest in zip(alike, in_threads(_digest, [files[i] for i in alike]), strict=True):
        if not isinstance(digest, UserError):
            groups[digest].append(position)
    return [group for group in groups.values() if len(group) > 1]


def near_pairs(files: Sequence[str], max_pixels: int = MAX_PIXELS) -> Iterator[np.ndarray]:
    """Pairs of files that show nearly the same, as positions, the smaller one first.

    Images of one color, and files that cannot be read, are like no other.

    Yields:
        (P, 2) int64 for some hundreds of files at a time: of a film's pictures all pairs may be alike.
    """

    def squares(file: str) -> np.ndarray:
        return _squares(file, max_pixels)

    gray = np.zeros((len(files), _SIDE**2), dtype=np.float32)
    for row, found in zip(gray, in_threads(squares, files), strict=True):
        if not isinstance(found, UserError):
            row[:] = found
    gray -= gray.mean(axis=1, keepdims=True)
    contrast = gray.std(axis=1, keepdims=True)
    gray *= (contrast >= _LEAST_CONTRAST) / np.maximum(contrast, _LEAST_CONTRAST) / _SIDE
    for start in range(0, len(files), _ROWS):
        pairs = np.argwhere(gray[start : start + _ROWS] @ gray.T >= NEAR) + (start, 0)
        yield pairs[pairs[:, 0] < pairs[:, 1]]


def groups_of(number: int, pairs: Iterable[np.ndarray]) -> list[list[int]]:
    """The positions 0 to ``number`` - 1 in groups: two of a pair are in one, and so are those they lead to.

    Args:
        number: of positions.
        pairs: (P, 2) positions each.
    """
    labels = np.arange(number)
    for some in pairs:
        edges = np.concatenate([np.stack([np.arange(number), labels], axis=1), some.reshape(-1, 2)])
        graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(number, number))
        _, components = connected_components(graph, directed=False)
        # Named by the first position of each, so that they are edges again.
        _, first, back = np.unique(components, return_index=True, return_inverse=True)
        labels = first[back]
    groups = defaultdict(list)
    for position, label in enumerate(labels.tolist()):
        groups[label].append(position)
    return list(groups.values())


def _digest(file: str) -> str:
    with named(file), open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _squares(file: str, max_pixels: int) -> np.ndarray:
    """(256,) mean gray levels of the squares of an image, row by row."""
    with open_header(file, "Image file", max_pixels) as image:
        image.draft("L", (4 * _SIDE, 4 * _SIDE))  # jpeg alone: decodes an eighth of it
        load(image, file, "Image file", max_pixels)
        deep = image.mode.startswith(("I", "F"))
        gray = image.convert("F" if deep else "L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(gray, dtype=np.float32).ravel()
