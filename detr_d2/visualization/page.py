"""One page of several images, each with the pictures that belong to it side by side."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .colors import Color
from .labels import Picture

Captioned = tuple[str, Picture]  # a line to write above a picture

INK, GRAY = "#1d2733", "#5f6b7a"

# In pixels.
_DPI = 100
_MARGIN = 28
_CELL = 120  # least width of a column, for its heading
_GAP = 10  # between the pictures of one image
_IMAGE_GAP = 36  # between two images of one row
_TITLE, _NOTE, _HEADING, _CAPTION, _LEGEND = 26, 18, 38, 20, 22  # heights of lines


def draw_page(
    images: Sequence[Sequence[Captioned]],
    headings: Sequence[str],
    title: str,
    notes: Sequence[str],
    legend: Sequence[tuple[str, Color]],
) -> Picture:
    """Lay out a page.

    Args:
        images: at least one; of each its pictures, as many as there are headings. Long lines above them lose
            their start.
        headings: of the columns of pictures.
        title: first line of the page.
        notes: lines below it, smaller. Long ones are wrapped, as the title is.
        legend: names and colors, drawn below the images.

    Returns:
        (height, width, 3) RGB.
    """
    columns = 1 if len(images) < 4 else 2
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    cell = max(_CELL, *(picture.shape[1] for pictures in images for _, picture in pictures))
    heights = [_CAPTION + max(len(picture) for pictures in row for _, picture in pictures) for row in rows]
    step = len(headings) * (cell + _GAP) - _GAP + _IMAGE_GAP  # from an image to the next one of its row
    inner = columns * step - _IMAGE_GAP
    titles = textwrap.wrap(title, inner // 14) or [""]
    lines = [line for note in notes for line in textwrap.wrap(note, inner // 8)]
    top = _MARGIN + _TITLE * len(titles) + _NOTE * len(lines) + _HEADING
    longest = max((len(name) for name, _ in legend), default=0)
    legend_columns = max(1, inner // (50 + 8 * longest))
    bottom = _LEGEND * -(-len(legend) // legend_columns) + _MARGIN
    width, height = inner + 2 * _MARGIN, top + sum(heights) + 2 * _GAP * len(rows) + bottom

    # A hundredth of a pixel more, because the size in inches is cut to whole pixels.
    figure = Figure(((width + 0.01) / _DPI, (height + 0.01) / _DPI), dpi=_DPI, facecolor="white")

    def write(x: int, y: int, text: str, size: float, color: str = INK, weight: str = "normal") -> None:
        style: dict[str, Any] = {"size": size, "color": color, "weight": weight}
        figure.text(x, height - y, text, transform=None, va="top", parse_math=False, **style)

    write(_MARGIN, _MARGIN, "\n".join(titles), 15, weight="bold")
    write(_MARGIN, top - _HEADING - _NOTE * len(lines) + 4, "\n".join(lines), 9.5, GRAY)
    y = top
    for row, row_height in zip(rows, heights, strict=True):
        for index, (caption, picture) in enumerate(part for pictures in row for part in pictures):
            column, part = divmod(index, len(headings))
            x = _MARGIN + column * step + part * (cell + _GAP)
            if y == top:
                write(x, top - _HEADING + 12, headings[part], 11.5, weight="bold")
            write(x, y, _shorten(caption, cell // 7), 8.5, GRAY)
            figure.figimage(picture, x, height - y - _CAPTION - len(picture))
        y += row_height + 2 * _GAP
    _draw_legend(figure, legend, legend_columns, (_MARGIN / width, _MARGIN / height))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _shorten(line: str, length: int) -> str:
    """Keep the end of a long line."""
    return line if len(line) <= length else "…" + line[len(line) - length + 1 :]


def _draw_legend(
    figure: Figure, entries: Sequence[tuple[str, Color]], columns: int, corner: tuple[float, float]
) -> None:
    patches = [Patch(facecolor=color) for _, color in entries]
    names = [name for name, _ in entries]
    spacing = {"handlelength": 1, "handleheight": 1, "handletextpad": 0.5, "labelspacing": 0.5}
    style = {"frameon": False, "labelcolor": INK, "borderpad": 0, "borderaxespad": 0, **spacing}
    legend = figure.legend(patches, names, loc="lower left", bbox_to_anchor=corner, ncols=columns, **style)
    for text in legend.get_texts():
        text.set_parse_math(False)
