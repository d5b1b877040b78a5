"""Detectron2's ``Visualizer``, extended for boxes with fixed class colours and labels that do not collide."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata
from detectron2.utils.visualizer import VisImage, Visualizer
from matplotlib.text import Text
from PIL import Image

from .colors import Color, class_colors, text_color
from .detections import BoolArray, Detections

Picture = npt.NDArray[np.uint8]
Rectangle = tuple[float, float, float, float]

_OUTLINE = 2.0  # points
_RIM = 1.4  # points, both sides together
_LABEL_PADDING = 1.6  # points around a label's text


def fit_image(image: Picture, size: int) -> tuple[Picture, float]:
    """Scale an image, up or down, so that its longer side has ``size`` pixels.

    Args:
        image: (H, W, 3) RGB.
        size: pixels of the longer side of the result.

    Returns:
        The scaled image (h, w, 3) and the factor by which coordinates grow.
    """
    height, width = image.shape[:2]
    factor = size / max(height, width)
    new_size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = Image.fromarray(image).resize(new_size, Image.Resampling.BICUBIC)
    return np.asarray(scaled, dtype=np.uint8), factor


def class_names_of(metadata: Metadata | None, num_classes: int) -> list[str]:
    """Return the metadata's ``thing_classes``, completed with "class N" up to ``num_classes`` names."""
    names = list(metadata.get("thing_classes", None) or ()) if metadata is not None else []
    return names + [f"class {index}" for index in range(len(names), num_classes)]


class DetectionVisualizer(Visualizer):
    """Draws :class:`Detections` on an image at its own resolution; everything else is Detectron2's."""

    def __init__(self, image: Picture, metadata: Metadata | None = None, label_size: float = 8.5) -> None:
        """Start from an image.

        Args:
            image: (H, W, 3) RGB, already at the size at which it will be looked at (:func:`fit_image`).
            metadata: class names (``thing_classes``) and colours (``thing_colors``), both optional.
            label_size: height of the labels' text in points; a point is 100 / 72 pixels.
        """
        super().__init__(image, metadata)
        self._label_size = label_size
        self._labels: list[Rectangle] = []

    def draw_detections(
        self, detections: Detections, factor: float = 1.0, solid: BoolArray | None = None
    ) -> VisImage:
        """Draw boxes, class names and, where there are any, scores.

        Args:
            detections: N boxes in pixels of the original image.
            factor: original pixels times this are pixels of this visualizer's image.
            solid: (N,) False draws a dashed outline; None draws every outline solid. Crowd regions
                are dotted.

        Returns:
            The picture so far.
        """
        num_classes = int(detections.classes.max(initial=-1)) + 1
        names = class_names_of(self.metadata, num_classes)
        colors = class_colors(len(names), self.metadata.get("thing_colors", None))
        boxes = detections.boxes * factor
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        # Large boxes first, so that small ones and their labels stay on top.
        order = np.argsort(-areas, kind="stable")
        # Rims of the other brightness, below all outlines, keep those visible on a ground of their colour.
        for rim in (True, False):
            for index in order:
                color = colors[detections.classes[index]]
                style = "-" if solid is None or solid[index] else "--"
                self._outline(boxes[index], color, ":" if detections.crowd[index] else style, rim)
        for index in order:
            label = names[detections.classes[index]]
            if detections.crowd[index]:
                label += " (crowd)"
            if detections.scores is not None:
                label += f" {detections.scores[index]:.2f}"
            self._label(label, boxes[index], colors[detections.classes[index]])
        return self.output

    def _outline(self, box: npt.NDArray[np.float64], color: Color, style: str, rim: bool) -> None:
        edge = text_color(color) if rim else color
        self.draw_box(tuple(box), alpha=0.6 if rim else 1.0, edge_color=edge, line_style=style)
        patch = self.output.ax.patches[-1]
        patch.set_linewidth(_OUTLINE + _RIM if rim else _OUTLINE)
        if style != "-":
            # Dashes are measured in line widths; those of rim and outline must coincide.
            unit = _OUTLINE / patch.get_linewidth()
            dashes = (3.0, 1.6) if style == "--" else (1.0, 1.0)
            patch.set_linestyle((0, tuple(length * unit for length in dashes)))

    def _label(self, text: str, box: npt.NDArray[np.float64], color: Color) -> None:
        label: Text = self.output.ax.text(
            0,
            0,
            text,
            size=self._label_size,
            family="sans-serif",
            color=text_color(color),
            verticalalignment="top",
            horizontalalignment="left",
            bbox={"facecolor": color, "alpha": 0.92, "pad": _LABEL_PADDING, "edgecolor": "none"},
            zorder=10,
        )
        extent = label.get_window_extent(self.output.canvas.get_renderer())
        padding = _LABEL_PADDING * self.output.dpi / 72
        rectangle = self._free_place(
            (extent.width + 2 * padding, extent.height + 2 * padding), box, self._labels
        )
        self._labels.append(rectangle)
        label.set_position((rectangle[0] + padding, rectangle[1] + padding))

    def _free_place(
        self, size: tuple[float, float], box: npt.NDArray[np.float64], taken: Sequence[Rectangle]
    ) -> Rectangle:
        """Return the first place beside the box that is least covered by labels drawn before."""
        width, height = size
        x0, y0, x1, y1 = box
        places = [
            (x0, y0 - height),  # on the box, left
            (x0, y1),  # below it
            (x1 - width, y0 - height),
            (x1 - width, y1),
            (x0, y0),  # inside
            (x0, y1 - height),
        ]
        best: tuple[float, Rectangle] | None = None
        for x, y in places:
            left = float(min(max(x, 0.0), max(self.output.width - width, 0.0)))
            top = float(min(max(y, 0.0), max(self.output.height - height, 0.0)))
            rectangle = (left, top, left + width, top + height)
            # Moving a label back into the picture is a little worse than finding room for it.
            cost = sum(_intersection(rectangle, other) for other in taken)
            cost += 0.2 * (abs(left - x) * height + abs(top - y) * width)
            if best is None or cost < best[0]:
                best = (cost, rectangle)
        assert best is not None
        return best[1]


def _intersection(one: Rectangle, other: Rectangle) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
