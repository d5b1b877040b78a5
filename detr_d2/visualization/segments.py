"""Panoptic segmentations: every pixel in the color of its segment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata
from scipy.ndimage import distance_transform_edt

from .colors import Color, class_name_and_color, instance_color
from .labels import LabelVisualizer, Picture, Rectangle, fit_image, fit_map, label_text

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
) -> Picture:
    """Color an image by its segments, with their borders and names.

    Stuff has its class's color, and things of one class have shades of theirs. Pixels without a segment
    are dark.

    Args:
        image: (H, W, 3) RGB.
        ids: (H, W), 0 where there is no segment.
        segments_info: Detectron2's dicts: ``id``, ``isthing`` and ``category_id`` (contiguous); ``score``
            and ``iscrowd`` are shown where they are there.
        metadata: ``thing_classes``, ``stuff_classes``, ``thing_colors`` and ``stuff_colors``, all optional.
        size: pixels of the longer side of the result; small images are enlarged.

    Returns:
        (h, w, 3) RGB.
    """
    fitted, _ = fit_image(image, size)
    ids = fit_map(ids, *fitted.shape[:2])
    masks = [ids == segment["id"] for segment in segments_info]
    colors = segment_colors(segments_info, metadata)
    visualizer = LabelVisualizer(_paint(fitted, ids, masks, colors), metadata)
    # Large segments first, so that the labels of small ones stay on top.
    for index in np.argsort([-mask.sum() for mask in masks], kind="stable"):
        segment = segments_info[index]
        name, _ = _class_of(segment, metadata)
        text = label_text(name, bool(segment.get("iscrowd", 0)), segment.get("score"))
        if masks[index].any():
            visualizer.draw_label(text, _innermost(masks[index]), colors[index], inside=True)
    picture: Picture = visualizer.output.get_image()
    return picture


def kind_of(segment: Segment) -> str:
    """Return "thing" or "stuff"."""
    return "thing" if segment["isthing"] else "stuff"


def segment_colors(segments_info: Sequence[Segment], metadata: Metadata | None = None) -> list[Color]:
    """Return the color of each segment; no two things of one class have the same."""
    colors: list[Color] = []
    things: list[int] = []
    for segment in segments_info:
        _, color = _class_of(segment, metadata)
        if segment["isthing"]:
            color = instance_color(color, things.count(segment["category_id"]))
            things.append(segment["category_id"])
        colors.append(color)
    return colors


def _class_of(segment: Segment, metadata: Metadata | None) -> tuple[str, Color]:
    return class_name_and_color(metadata, segment["category_id"], kind_of(segment))


def _paint(
    image: Picture, ids: IdMap, masks: Sequence[npt.NDArray[np.bool_]], colors: Sequence[Color]
) -> Picture:
    paint = np.full(image.shape, _VOID)
    for mask, color in zip(masks, colors, strict=True):
        paint[mask] = color
    # In gray, lest the image's colors mix with those of the classes.
    painted = image.mean(-1, keepdims=True) * (1 - _OPACITY) + 255 * paint * _OPACITY
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        border = ids[one] != ids[other]
        # White on one side and black on the other is seen on any ground.
        painted[one][border] = 255
        painted[other][border] = 0
    return painted.round().astype(np.uint8)


def _innermost(mask: npt.NDArray[np.bool_]) -> Rectangle:
    """Return the pixel of a mask that is farthest from all that is not the mask."""
    distances = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = map(float, np.unravel_index(int(distances.argmax()), mask.shape))
    return x, y, x + 1, y + 1
