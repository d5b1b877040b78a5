"""Panoptic segmentations: every pixel in the colour of its segment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata
from scipy.ndimage import distance_transform_edt

from .colors import Color, class_colors, instance_color
from .labels import LabelVisualizer, Picture, Rectangle, class_names_of, fit_image, fit_map

IdMap = npt.NDArray[np.int64]
Segment = Mapping[str, Any]

_OPACITY = 0.6
_VOID: Color = (0.15, 0.15, 0.15)


def draw_segments(
    image: Picture,
    ids: IdMap,
    segments_info: Sequence[Segment],
    metadata: Metadata | None = None,
    size: int = 400,
    label_size: float = 8.5,
) -> Picture:
    """Colour an image by its segments, with their borders and names.

    Stuff has its class's colour, and things of one class have shades of theirs. Pixels without a segment
    are dark.

    Args:
        image: (H, W, 3) RGB.
        ids: (H, W), 0 where there is no segment.
        segments_info: Detectron2's dicts: ``id``, ``isthing`` and ``category_id`` (contiguous); ``score``
            and ``iscrowd`` are shown where they are there.
        metadata: ``thing_classes``, ``stuff_classes``, ``thing_colors`` and ``stuff_colors``, all optional.
        size: pixels of the longer side of the result; small images are enlarged.
        label_size: height of the names in points; a point is 100 / 72 pixels.

    Returns:
        (h, w, 3) RGB.
    """
    fitted, _ = fit_image(image, size)
    ids = fit_map(ids, *fitted.shape[:2])
    colors = segment_colors(segments_info, metadata)
    painted = _paint(fitted, ids, segments_info, colors)
    visualizer = LabelVisualizer(painted, metadata, label_size)
    visible = [
        (int((ids == s["id"]).sum()), s, color) for s, color in zip(segments_info, colors, strict=True)
    ]
    for area, segment, color in sorted(visible, key=lambda entry: -entry[0]):
        if area:
            text = _label(segment, metadata)
            visualizer.draw_label(text, _innermost(ids == segment["id"]), color, inside=True)
    picture: Picture = visualizer.output.get_image()
    return picture


def class_of_segment(segment: Segment, metadata: Metadata | None = None) -> tuple[str, Color]:
    """Return the name and the colour of a segment's class."""
    kind = "thing" if segment["isthing"] else "stuff"
    number = int(segment["category_id"])
    colors = metadata.get(f"{kind}_colors", None) if metadata is not None else None
    return class_names_of(metadata, number + 1, kind)[number], class_colors(number + 1, colors)[number]


def segment_colors(segments_info: Sequence[Segment], metadata: Metadata | None = None) -> list[Color]:
    """Return the colour of each segment; no two things of one class have the same."""
    counts: dict[int, int] = {}
    colors = []
    for segment in segments_info:
        _, color = class_of_segment(segment, metadata)
        if segment["isthing"]:
            before = counts.get(segment["category_id"], 0)
            counts[segment["category_id"]] = before + 1
            color = instance_color(color, before)
        colors.append(color)
    return colors


def _paint(image: Picture, ids: IdMap, segments_info: Sequence[Segment], colors: Sequence[Color]) -> Picture:
    paint = np.empty(image.shape)
    paint[:] = _VOID
    for segment, color in zip(segments_info, colors, strict=True):
        paint[ids == segment["id"]] = color
    # In grey, lest the image's colours mix with those of the classes.
    grey = image.mean(-1, keepdims=True)
    painted = grey * (1 - _OPACITY) + 255 * paint * _OPACITY
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        border = ids[one] != ids[other]
        # White on one side and black on the other is seen on any ground.
        painted[one][border] = 255
        painted[other][border] = 0
    return painted.round().astype(np.uint8)


def _label(segment: Segment, metadata: Metadata | None) -> str:
    text, _ = class_of_segment(segment, metadata)
    if segment.get("iscrowd", 0):
        text += " (crowd)"
    return text + (f" {segment['score']:.2f}" if "score" in segment else "")


def _innermost(mask: npt.NDArray[np.bool_]) -> Rectangle:
    """Return the pixel of a mask that is farthest from all that is not the mask."""
    distances = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(distances.argmax()), mask.shape)
    return float(x), float(y), float(x) + 1, float(y) + 1
