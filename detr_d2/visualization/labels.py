"""Labels that do not cover each other, on Detectron2's ``Visualizer``."""

import numpy as np
import numpy.typing as npt
import torch
from detectron2.data import Metadata
from detectron2.structures import Boxes
from detectron2.structures.boxes import pairwise_intersection
from detectron2.utils.visualizer import Visualizer
from PIL import Image

from ..errors import UserError
from .colors import Color, text_color

Picture = npt.NDArray[np.uint8]
Rectangle = tuple[float, float, float, float]

_PADDING = 1.6  # points around a label's text
# Detectron2's rule for the size of text, in points.
_SIDE_PER_POINT, _SMALLEST_FONT = 90, 10


def fit_image(image: Picture, size: int) -> tuple[Picture, float]:
    """Scale an image, up or down, so that its longer side has ``size`` pixels.

    Args:
        image: (H, W, 3) RGB.
        size: pixels of the longer side of the result.

    Returns:
        The scaled image (h, w, 3) and the factor by which coordinates grow.

    Raises:
        UserError: the size is too small for a picture.
    """
    if size < 32:
        raise UserError(f"image_size must be at least 32 pixels, not {size}")
    height, width = image.shape[:2]
    factor = size / max(height, width)
    new_size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = Image.fromarray(image).resize(new_size, Image.Resampling.BICUBIC)
    return np.asarray(scaled, dtype=np.uint8), factor


def fit_map(values: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.int64]:
    """Scale a map of ids or a mask (H, W), whose values must not be mixed, to (height, width)."""
    if values.shape == (height, width):
        return values
    scaled = Image.fromarray(values.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(scaled, dtype=np.int64)


def label_text(name: str, crowd: bool, score: float | None, track: int = -1) -> str:
    """Return what is written at an object or a segment; an object of a video may have a track's number."""
    parts = [name, " (crowd)" * crowd, "" if score is None else f" {score:.2f}", f" #{track}" * (track >= 0)]
    return "".join(parts)


class LabelVisualizer(Visualizer):
    """Detectron2's, on an image at its own resolution, with labels that avoid each other."""

    def __init__(self, image: Picture, metadata: Metadata | None = None, detail: int | None = None) -> None:
        """Start from an image.

        Args:
            image: (H, W, 3) RGB, already at the size at which it will be looked at (:func:`fit_image`).
            metadata: names and colors of the classes, all optional.
            detail: pixels of a part of the image that is looked at by itself: text and lines have its size.
                None: that is the whole image.
        """
        super().__init__(image, metadata)
        if detail is not None:
            self._default_font_size = max(detail / _SIDE_PER_POINT, _SMALLEST_FONT)
        self._labels = Boxes(torch.empty(0, 4))

    def draw_label(self, text: str, box: Rectangle, color: Color, inside: bool = False) -> None:
        """Write a text in the image, where it covers least of the labels before it.

        Args:
            text: one line.
            box: (x0, y0, x1, y1) in pixels of this visualizer's image, what the text belongs to.
            color: of the ground that the text is written on.
            inside: write it at the middle of the box, if there is room, instead of at its border.
        """
        ground = {"facecolor": color, "alpha": 0.92, "pad": _PADDING, "edgecolor": "none"}
        style = {"size": 0.85 * self._default_font_size, "color": text_color(color), "va": "top"}
        label = self.output.ax.text(0, 0, text, bbox=ground, zorder=10, parse_math=False, **style)
        padding = _PADDING * self.output.dpi / 72
        size = label.get_window_extent(self.output.canvas.get_renderer()).size + 2 * padding
        (width, height), (x0, y0, x1, y1) = size, box
        if inside:
            x, y = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
            places = [(x + i * width, y + j * height) for j in (0, -1, 1) for i in (0, -0.5, 0.5)]
        else:
            places = [(x, y) for x in (x0, x1 - width) for y in (y0 - height, y1, y0, y1 - height)]
        image_size = np.array([self.output.width, self.output.height])
        corners = np.clip(places, 0, np.maximum(image_size - size, 0))
        rectangles = Boxes(torch.from_numpy(np.hstack([corners, corners + size])))
        best = int(pairwise_intersection(rectangles, self._labels).sum(1).argmin())
        self._labels = Boxes.cat([self._labels, rectangles[best]])
        label.set_position(corners[best] + padding)
