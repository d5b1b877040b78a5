"""A page on which text, squares and pictures are put by pixel."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .colors import Color
from .labels import Picture

INK, GREY = "#1d2733", "#5f6b7a"
_DPI = 100


class Page:
    """A white page measured in pixels from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        # A hundredth of a pixel more, because the size in inches is cut to whole pixels.
        self.figure = Figure(
            figsize=((width + 0.01) / _DPI, (height + 0.01) / _DPI), dpi=_DPI, facecolor="white"
        )
        self.canvas = FigureCanvasAgg(self.figure)
        self._images: list[tuple[int, int, Picture]] = []

    def text(
        self, x: float, y: float, text: str, size: float, color: str = INK, weight: str = "normal"
    ) -> None:
        """Write one line, ``y`` being its middle."""
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            size=size,
            color=color,
            weight=weight,
            family="sans-serif",
            verticalalignment="center_baseline",
            parse_math=False,
        )

    def square(self, x: float, y: float, side: float, color: Color) -> None:
        """Fill a square, ``y`` being its middle."""
        corner = (x / self.width, 1 - (y + side / 2) / self.height)
        self.figure.add_artist(
            Rectangle(
                corner,
                side / self.width,
                side / self.height,
                facecolor=color,
                edgecolor="none",
                transform=self.figure.transFigure,
            )
        )

    def image(self, x: int, y: int, picture: Picture) -> None:
        """Put a picture with its top left corner at (x, y), pixel for pixel."""
        self._images.append((x, y, picture))

    def render(self) -> Picture:
        """Return the page, (height, width, 3) RGB."""
        self.canvas.draw()
        page = np.asarray(self.canvas.buffer_rgba())[:, :, :3].copy()
        for x, y, picture in self._images:
            page[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        return page
