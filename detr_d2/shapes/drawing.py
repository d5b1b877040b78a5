"""The sample data set "shapes": drawing one image and its exact segments, as arrays.

Every image is a function of (seed, split, index) alone, so image i does not depend on how many images
there are. A pixel belongs to exactly one segment. Nothing that a model could use as a shortcut is tied
to a class: colors, brightness, places and sizes of all classes come from the same distributions.
Things differ by outline, stuff by texture (sky: broad clouds, grass: upright strokes, water: level waves).
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import UserError

THING_CLASSES = ("circle", "square", "triangle")
STUFF_CLASSES = ("sky", "grass", "water")
SPLITS = ("train", "val")

# A thing of which a smaller share than this is seen (covered, or outside the image) is left out.
MIN_VISIBLE = 1 / 3


@dataclass(frozen=True)
class ShapesConfig:
    """What decides the content of every image. Sizes are in pixels.

    Attributes:
        height, width: size of the images.
        min_half_width, max_half_width: half the diameter of a circle, half the side of a square or of an
            equilateral triangle.
        max_things: each image gets 1 to this many things before those hardly seen are left out.
        crowd: about half of the images get a crowd: a cluster of small things of one class that is
            annotated as one segment with ``iscrowd`` 1.
        seed: another seed, other images.

    Raises:
        UserError: a size or number that no image can be drawn with.
    """

    height: int = 128
    width: int = 128
    min_half_width: float = 8.0
    max_half_width: float = 28.0
    max_things: int = 5
    crowd: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16:
            raise UserError(f"shapes: images need at least 16 x 16 pixels, got {self.height} x {self.width}")
        if not 2 <= self.min_half_width <= self.max_half_width <= min(self.height, self.width) / 2:
            raise UserError(
                "shapes: half-widths must satisfy 2 <= min <= max <= half the shorter image side, got "
                f"{self.min_half_width} to {self.max_half_width} in {self.height} x {self.width}"
            )
        if self.max_things < 1 or self.seed < 0:
            raise UserError(
                f"shapes: need max_things >= 1 and seed >= 0, got {self.max_things} and {self.seed}"
            )


@dataclass(frozen=True)
class Segment:
    """One annotated region of a drawn image.

    Attributes:
        class_name: one of ``THING_CLASSES`` or ``STUFF_CLASSES``.
        iscrowd: whether it is a cluster of several things.
        mask: (H, W) bool, the visible pixels; never empty.
    """

    class_name: str
    iscrowd: bool
    mask: np.ndarray


@dataclass(frozen=True)
class _Outline:
    """A thing or a crowd before it is known what covers it. ``full_area`` counts pixels outside too."""

    class_name: str
    iscrowd: bool
    mask: np.ndarray  # (H, W) bool
    full_area: int


def draw(config: ShapesConfig, split: str, index: int) -> tuple[np.ndarray, list[Segment]]:
    """Draw image ``index`` of a split.

    Args:
        config: sizes and seed.
        split: "train" or "val"; their random streams are disjoint.
        index: 0-based number of the image in its split.

    Returns:
        (H, W, 3) uint8 RGB image and its segments: things from back to front, then stuff. The masks are
        disjoint and cover the image.
    """
    rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
    image, regions, names = _draw_ground(rng, config)
    segments: list[Segment] = []
    while not any(not segment.iscrowd for segment in segments):
        segments = _visible_segments(_place_things(rng, config))
    for segment in segments:
        _paint(rng, image, segment.mask)
    covered = np.zeros((config.height, config.width), dtype=bool)
    for segment in segments:
        covered |= segment.mask
    for region, name in enumerate(names):
        mask = (regions == region) & ~covered
        if mask.any():
            segments.append(Segment(name, False, mask))
    image += np.float32(rng.uniform(6, 18)) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), segments


def _random_color(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32 RGB, 0 to 255; one distribution for things and stuff of every class."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.95), rng.uniform(0.3, 0.95))
    return np.array([red, green, blue], dtype=np.float32) * 255


def _noise(rng: np.random.Generator, height: int, width: int, cell_h: float, cell_w: float) -> np.ndarray:
    """(height, width) float32 noise of deviation near 1 that varies over cells of cell_h x cell_w pixels."""
    grid = (math.ceil(height / cell_h) + 1, math.ceil(width / cell_w) + 1)
    coarse = Image.fromarray(rng.standard_normal(grid, dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _texture(rng: np.random.Generator, name: str, height: int, width: int) -> np.ndarray:
    """(height, width) float32 texture of a stuff class, of deviation near 1, its scale varied."""
    if name == "sky":
        cell = rng.uniform(20, 36)
        return _noise(rng, height, width, cell, cell)
    if name == "grass":
        return _noise(rng, height, width, rng.uniform(9, 16), rng.uniform(1.5, 3))
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    bend = _noise(rng, height, width, 24, 12) * rng.uniform(0.6, 1.4) + rng.uniform(-0.25, 0.25) * x
    phase = rng.uniform(0, 2 * math.pi)
    return np.sin((y + bend) * np.float32(2 * math.pi / rng.uniform(5, 10)) + np.float32(phase)) * 1.4


def _draw_ground(rng: np.random.Generator, config: ShapesConfig) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two or three stuff regions, as bands of any direction with uneven borders.

    Returns:
        (H, W, 3) float32 image, (H, W) region numbers, and the class name of each region.
    """
    h, w = config.height, config.width
    count = int(rng.integers(2, 4))
    names = [str(name) for name in rng.permutation(STUFF_CLASSES)[:count]]
    angle = rng.uniform(0, 2 * math.pi)
    along = (np.arange(w, dtype=np.float32) / w)[None] * np.float32(math.cos(angle))
    along = along + (np.arange(h, dtype=np.float32) / h)[:, None] * np.float32(math.sin(angle))
    uneven = rng.uniform(0.04, 0.12) * _noise(rng, h, w, 26, 26) + rng.uniform(0, 0.02) * _noise(
        rng, h, w, 5, 5
    )
    height_map = along + uneven
    # Shares rather than places of the borders are drawn, so that no region is a sliver.
    shares = (rng.uniform(0.3, 0.7),) if count == 2 else (rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.8))
    ranks = [min(int(share * h * w), h * w - 1) for share in shares]
    ordered = np.partition(height_map.ravel(), ranks)
    regions = np.zeros((h, w), dtype=np.int64)
    for rank in ranks:
        regions += height_map >= ordered[rank]
    light = [np.float32(rng.uniform(14, 36)) * _texture(rng, name, h, w) for name in names]
    colors = np.stack([_random_color(rng) for _ in names])
    image = colors[regions] + np.choose(regions, light)[..., None]
    return image, regions, names


def _paint(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
    """Give the pixels of ``mask`` one random color, under a weak slope of light of random direction."""
    angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.8)
    y, x = np.nonzero(mask)
    light = strength * ((x - x.mean()) * math.cos(angle) + (y - y.mean()) * math.sin(angle))
    image[y, x] = _random_color(rng) + light[:, None].astype(np.float32)


def _outline(
    class_name: str,
    radius: float,
    angle: float,
    center: tuple[float, float],
    pad: int,
    height: int,
    width: int,
) -> np.ndarray:
    """(height + 2 pad, width + 2 pad) bool mask of a rotated shape; ``center`` is (x, y) in the image."""
    x = np.arange(-pad, width + pad, dtype=np.float32)[None] - np.float32(center[0])
    y = np.arange(-pad, height + pad, dtype=np.float32)[:, None] - np.float32(center[1])
    if class_name == "circle":
        return x * x + y * y <= radius * radius
    # Inside a regular polygon: nowhere beyond a side, all of which are one distance from the center.
    sides, distance = (4, radius) if class_name == "square" else (3, radius / math.sqrt(3))
    inside = np.ones((height + 2 * pad, width + 2 * pad), dtype=bool)
    for side in range(sides):
        turn = angle + 2 * math.pi * side / sides
        inside &= x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn)) <= distance
    return inside


def _place_things(rng: np.random.Generator, config: ShapesConfig) -> list[_Outline]:
    """Things in random places, from back to front, with a crowd among them where the variant asks."""
    h, w = config.height, config.width
    kinds = [False] * int(rng.integers(1, config.max_things + 1))
    if config.crowd and rng.random() < 0.5:
        kinds.insert(int(rng.integers(len(kinds) + 1)), True)
    pad = math.ceil(config.max_half_width * 1.5)  # a square's corner is 1.42 half-widths away
    outlines = []
    for iscrowd in kinds:
        name = THING_CLASSES[int(rng.integers(len(THING_CLASSES)))]
        center = (rng.uniform(0, w), rng.uniform(0, h))
        radius = rng.uniform(config.min_half_width, config.max_half_width)
        if not iscrowd:
            mask = _outline(name, radius, rng.uniform(0, 2 * math.pi), center, pad, h, w)
        else:
            mask = np.zeros((h + 2 * pad, w + 2 * pad), dtype=bool)
            for _ in range(int(rng.integers(5, 10))):
                member = (
                    rng.normal(center[0], config.max_half_width / 2),
                    rng.normal(center[1], config.max_half_width / 2),
                )
                small = rng.uniform(config.min_half_width / 2, config.min_half_width)
                mask |= _outline(name, small, rng.uniform(0, 2 * math.pi), member, pad, h, w)
        outlines.append(_Outline(name, iscrowd, mask[pad : pad + h, pad : pad + w], int(mask.sum())))
    return outlines


def _visible_segments(outlines: list[_Outline]) -> list[Segment]:
    """Leave out what is hardly seen, the least visible first, since each one left out uncovers others.

    Args:
        outlines: from back to front.

    Returns:
        What is left, from back to front, with visible masks.
    """
    outlines = list(outlines)
    while outlines:
        visible: list[np.ndarray] = []
        covered = np.zeros_like(outlines[0].mask)
        for outline in reversed(outlines):
            visible.insert(0, outline.mask & ~covered)
            covered |= outline.mask
        shares = [
            np.count_nonzero(mask) / max(o.full_area, 1) for o, mask in zip(outlines, visible, strict=True)
        ]
        least = int(np.argmin(shares))
        if shares[least] >= MIN_VISIBLE:
            return [Segment(o.class_name, o.iscrowd, mask) for o, mask in zip(outlines, visible, strict=True)]
        del outlines[least]
    return []
