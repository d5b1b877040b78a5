"""Attention overlaid on its image, each detection in a color of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata

from .attention import ImageAttention
from .colors import Color, class_colors, class_name_and_color
from .labels import LabelVisualizer, Picture, fit_image
from .page import Captioned, draw_page

# How much of the colors is seen where attention is highest, and of the image's brightness elsewhere.
_OPACITY, _DIMMED = 0.85, 0.55


def draw_attention(
    image: Picture,
    attention: ImageAttention,
    detections: Sequence[int],
    points: Sequence[tuple[float, float]] | None = None,
    metadata: Metadata | None = None,
    layer: int = -1,
    size: int = 640,
    title: str = "Where the model looked",
) -> Picture:
    """Draw decoder and encoder attention beside each other, as the DETR paper's figures 6 and 3.

    Args:
        image: (H, W, 3) RGB.
        attention: of the image.
        detections: which of the model's, from 0 on, best first.
        points: (x, y) in pixels from which the encoder's attention is shown; None takes the centers of the
            detections' boxes, as far as they lie in the image.
        metadata: names of the classes.
        layer: of decoder and encoder; negative ones count from the last.
        size: pixels of the longer side of each picture.
        title: first line.

    Returns:
        (height, width, 3) RGB. A model without an encoder has one picture.

    Raises:
        UserError: there is no such detection or layer, a point lies outside the image, or the size is too
            small.
    """
    fitted, factor = fit_image(image, size)
    chosen = list(detections)
    colors = class_colors(max(len(chosen), len(points or ())))
    maps = attention.of_detections(chosen, layer)
    boxes = attention.boxes[chosen].numpy() if chosen else np.zeros((0, 4))
    decoder = LabelVisualizer(_overlay(fitted, attention.enlarge(maps, fitted.shape[:2]).numpy(), colors))
    legend: list[tuple[str, Color]] = []
    for index, (number, box) in enumerate(zip(chosen, boxes * factor, strict=True)):
        name, _ = class_name_and_color(metadata, int(attention.classes[number]))
        decoder.draw_box(box, alpha=1, edge_color=colors[index])
        decoder.draw_label(str(number + 1), tuple(box.tolist()), colors[index])
        legend.append((f"{number + 1}: {name} {float(attention.scores[number]):.2f}", colors[index]))
    pictures: list[Captioned] = [("attention of each detection's query", decoder.output.get_image())]
    if attention.encoder:
        pictures.append(_from_points(fitted, factor, attention, boxes, points, colors, layer))
    note = (
        "each color's weights sum to 1 over the image, and are scaled to their highest; mean over the heads"
    )
    headings = ["Decoder", "Encoder"][: len(pictures)]
    return draw_page([pictures], headings, title, [note], legend)


def _from_points(
    fitted: Picture,
    factor: float,
    attention: ImageAttention,
    boxes: npt.NDArray[np.float64],
    points: Sequence[tuple[float, float]] | None,
    colors: Sequence[Color],
    layer: int,
) -> Captioned:
    """The encoder's attention of the cells at some points."""
    (height, width), given = attention.size, points
    if points is None:  # a box may lie partly outside the image
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        points = [(min(max(x, 0), width - 1), min(max(y, 0), height - 1)) for x, y in middles.tolist()]
    maps = attention.of_points(points, layer)
    encoder = LabelVisualizer(_overlay(fitted, attention.enlarge(maps, fitted.shape[:2]).numpy(), colors))
    for (x, y), color in zip(points, colors, strict=False):
        for radius, paint in ((5, (1.0, 1.0, 1.0)), (3, color)):
            encoder.draw_circle((x * factor, y * factor), paint, radius)
    where = "the boxes' centers" if given is None else "the given points"
    return f"attention of the cells at {where}", encoder.output.get_image()


def _overlay(image: Picture, maps: npt.NDArray[np.float32], colors: Sequence[Color]) -> Picture:
    """Paint maps (n, H, W) on an image (H, W, 3), each in its color and up to its own highest value."""
    gray = image.mean(-1, keepdims=True) * _DIMMED
    if not len(maps):
        return np.broadcast_to(gray, image.shape).round().astype(np.uint8)
    strength = maps / np.maximum(maps.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)
    paint = 255 * np.asarray(colors[: len(maps)])
    total = np.maximum(strength.sum(0), np.finfo(np.float32).tiny)
    mixed = np.einsum("nhw,nc->hwc", strength, paint) / total[..., None]
    opacity = _OPACITY * strength.max(0)[..., None]
    return (gray * (1 - opacity) + mixed * opacity).round().astype(np.uint8)
