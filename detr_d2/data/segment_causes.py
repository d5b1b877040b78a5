"""Why the colors of a segmentation map are not the ids of its segments: the mistakes that tools make."""

import numpy as np

# A cause is named where it makes at least this share of all ids, found or listed, agree.
_AGREEMENT = 0.5
# Lossy compression and smooth resizing make new colors at borders: at least so many, and this many times
# as many as there are segments.
_MANY_COLORS, _TIMES = 16, 3

_ANEW = "write the segment ids anew, each as the color R + 256 G + 256^2 B"


def likely_cause(found: np.ndarray, listed: np.ndarray, indices: np.ndarray | None = None) -> str:
    """The likely cause of a mismatch, and what to do, or "" where none is known.

    Args:
        found: (K,) the different ids that the map's colors stand for, without void.
        listed: (N,) the ids that the annotations list.
        indices: (P,) the palette indices of the pixels, where the map has a palette.

    Returns:
        Sentences.
    """
    red, green, blue = found & 0xFF, found >> 8 & 0xFF, found >> 16
    gray = bool(((red == green) & (green == blue)).all()) and len(found) > 0
    as_it_is = _agreement(found, listed)

    def explains(numbers: np.ndarray, expected: np.ndarray = listed) -> bool:
        return _agreement(numbers, expected) >= _AGREEMENT > as_it_is

    if explains(red << 16 | green << 8 | blue):
        return (
            "With red and blue exchanged the ids agree, so that was probably written by OpenCV, which takes "
            "arrays as BGR: exchange the two channels of all maps."
        )
    if indices is not None and explains(indices):
        return f"Its palette indices are the ids, but its colors are what counts: {_ANEW}."
    if gray and explains(red):
        return f"It is a gray map of the ids themselves, but its colors are what counts: {_ANEW}."
    for bits in (16, 8):
        kept = (1 << bits) - 1
        if explains(found, listed & kept) and (listed > kept).any():
            return f"Its ids have lost all above {kept}, as by writing them with {bits} bits: {_ANEW}."
    if as_it_is >= _AGREEMENT:
        return ""
    if indices is not None:
        return (
            "It has a palette, as tools write maps of class numbers: a panoptic map has a color for each "
            f"segment; {_ANEW}."
        )
    if gray:
        return (
            "It is gray, as tools write maps of class numbers: a panoptic map has a color for each segment; "
            f"{_ANEW}."
        )
    if len(found) >= max(_MANY_COLORS, _TIMES * len(listed)):
        return (
            f"It has {len(found)} colors for {len(listed)} segments, as after lossy compression (JPEG) or "
            f"smooth resizing: {_ANEW}, and resize maps by nearest neighbors."
        )
    return ""


def _agreement(numbers: np.ndarray, listed: np.ndarray) -> float:
    """Intersection over union of two lists of ids; void counts in neither."""
    numbers, listed = np.unique(numbers[numbers != 0]), np.unique(listed[listed != 0])
    union = len(np.union1d(numbers, listed))
    return len(np.intersect1d(numbers, listed)) / union if union else 1.0
