"""Masks in plain loops."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def bilinear(image: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Enlarge (h, w) to ``size``, each pixel from the four around its center, in a plain loop."""
    result = np.empty(size)
    for y, x in np.ndindex(*size):
        # Where the pixel's center lies between the centers of the small image's pixels.
        place = [(i + 0.5) * old / new - 0.5 for i, old, new in zip((y, x), image.shape, size, strict=True)]
        place = [min(max(p, 0.0), old - 1.0) for p, old in zip(place, image.shape, strict=True)]
        (top, left), (down, right) = (int(p) for p in place), (p % 1 for p in place)
        below, beside = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
        result[y, x] = (
            image[top, left] * (1 - down) * (1 - right)
            + image[top, beside] * (1 - down) * right
            + image[below, left] * down * (1 - right)
            + image[below, beside] * down * right
        )
    return result
