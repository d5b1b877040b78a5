"""Labels that do not cover each other, on Detectron2's ``Visualizer``."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer
from matplotlib.text import Text
from PIL import Image

from .colors import Color, text_color

Picture = npt.NDArray[np.uint8]
Rectangle = tuple[float, float, float, float]
Place = tuple[float, float]  # a label's left and top edge in pixels

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


def fit_map(values: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.int64]:
    """Scale a map of ids or a mask (H, W), whose values must not be mixed, to (height, width)."""
    scaled = Image.fromarray(values.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(scaled, dtype=np.int64)


def class_names_of(metadata: Metadata | None, num_classes: int, kind: str = "thing") -> list[str]:
    """Return the metadata's names of classes, completed with "class N" up to ``num_classes`` names.

    Args:
        metadata: with ``thing_classes`` or ``stuff_classes``, or without.
        num_classes: how many names are needed at least.
        kind: "thing" or "stuff".
    """
    names = list(metadata.get(f"{kind}_classes", None) or ()) if metadata is not None else []
    return names + [f"class {index}" for index in range(len(names), num_classes)]


class LabelVisualizer(Visualizer):
    """Detectron2's, on an image at its own resolution, with labels that avoid each other."""

    def __init__(self, image: Picture, metadata: Metadata | None = None, label_size: float = 8.5) -> None:
        """Start from an image.

        Args:
            image: (H, W, 3) RGB, already at the size at which it will be looked at (:func:`fit_image`).
            metadata: names and colours of the classes, all optional.
            label_size: height of the labels' text in points; a point is 100 / 72 pixels.
        """
        super().__init__(image, metadata)
        self._label_size = label_size
        self._labels: list[Rectangle] = []

    def draw_label(self, text: str, box: Rectangle, color: Color, inside: bool = False) -> None:
        """Write a text where it covers least of the labels before it.

        Args:
            text: one line.
            box: (x0, y0, x1, y1) in pixels of this visualizer's image, what the text belongs to.
            color: of the ground that the text is written on.
            inside: write it at the middle of the box, if there is room, instead of at its border.
        """
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
        width, height = extent.width + 2 * padding, extent.height + 2 * padding
        places = _places_inside(box, width, height) if inside else _places_around(box, width, height)
        rectangle = self._free_place(places, width, height)
        self._labels.append(rectangle)
        label.set_position((rectangle[0] + padding, rectangle[1] + padding))

    def _free_place(self, places: Sequence[Place], width: float, height: float) -> Rectangle:
        """Return the first of the places that is least covered by labels drawn before."""
        best: tuple[float, Rectangle] | None = None
        for x, y in places:
            left = float(min(max(x, 0.0), max(self.output.width - width, 0.0)))
            top = float(min(max(y, 0.0), max(self.output.height - height, 0.0)))
            rectangle = (left, top, left + width, top + height)
            # Moving a label back into the picture is a little worse than finding room for it.
            cost = sum(_intersection(rectangle, other) for other in self._labels)
            cost += 0.2 * (abs(left - x) * height + abs(top - y) * width)
            if best is None or cost < best[0]:
                best = (cost, rectangle)
        assert best is not None
        return best[1]


def _places_around(box: Rectangle, width: float, height: float) -> list[Place]:
    x0, y0, x1, y1 = box
    return [
        (x0, y0 - height),  # on the box, left
        (x0, y1),  # below it
        (x1 - width, y0 - height),
        (x1 - width, y1),
        (x0, y0),  # inside
        (x0, y1 - height),
    ]


def _places_inside(box: Rectangle, width: float, height: float) -> list[Place]:
    x, y = (box[0] + box[2] - width) / 2, (box[1] + box[3] - height) / 2
    return [(x, y), (x, y - height), (x, y + height), (x - width / 2, y), (x + width / 2, y)]


def _intersection(one: Rectangle, other: Rectangle) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
