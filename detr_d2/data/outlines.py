"""From the pixels of a mask to polygons that are drawn as the same pixels, holes included."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Steps along the edges of pixels, clockwise: right, down, left, up. Turning right is the next one.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))

Point = tuple[int, int]


def polygons_of(mask: np.ndarray) -> list[list[float]]:
    """The outlines of an object, along the edges of its pixels: :func:`~.masks.rasterize` gives it back.

    COCO's polygons of an object are united, so that a hole cannot be a polygon of its own. Here the outline
    goes on from its first corner to the hole, around it, and the same way back: what is passed twice is no
    border, in whatever way the polygon is filled.

    Args:
        mask: (H, W) bool.

    Returns:
        [x0, y0, x1, y1, ...] for each part; pixels that only touch at a corner are different parts.
    """
    labels, _ = ndimage.label(mask)
    polygons = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        outline, *holes = _loops(labels[rows, columns] == number)
        path = list(outline)
        for hole in holes:
            path += [outline[0], *hole, hole[0]]
        x0, y0 = columns.start, rows.start
        polygons.append([float(value) for x, y in path for value in (x + x0, y + y0)])
    return polygons


def _loops(part: np.ndarray) -> list[list[Point]]:
    """The corners of the borders of one connected part, (x, y) each; the outer border first.

    The part is to the right of every step along a border.
    """
    padded = np.pad(part, 1)
    inside, above, left = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    # Where steps start, by their direction. (y, x) of a pixel's upper left corner are its own.
    starts = (
        np.argwhere(inside & ~above),
        np.argwhere(left & ~inside),
        np.argwhere(above & ~inside) + (0, 1),
        np.argwhere(inside & ~left) + (1, 0),
    )
    steps: dict[Point, set[int]] = {}
    for direction, places in enumerate(starts):
        for y, x in places.tolist():
            steps.setdefault((x, y), set()).add(direction)
    loops = []
    # Of the first row comes first a step to the right, of the outer border.
    for start in sorted(steps, key=lambda point: (point[1], point[0])):
        while steps[start]:
            loops.append(_loop(steps, start, min(steps[start])))
    return loops


def _loop(steps: dict[Point, set[int]], start: Point, direction: int) -> list[Point]:
    """Go around one border, and take its steps away."""
    corners, point, before = [], start, -1
    while direction in steps[point]:
        steps[point].remove(direction)
        if direction != before:
            corners.append(point)
        before = direction
        point = point[0] + _STEPS[direction][0], point[1] + _STEPS[direction][1]
        # Where two borders meet, the right turn stays with this one.
        turns = (direction + 1, direction, direction - 1)
        direction = next((turn % 4 for turn in turns if turn % 4 in steps[point]), direction)
    return corners
