"""One page of several images, each with the pictures that belong to it side by side."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError
from .colors import Color
from .labels import Picture
from .page import GREY, Page

_MARGIN = 28  # pixels around the page
_GAP = 10  # between the pictures of one image
_GROUP_GAP = 36  # between two images of one row
_ROW_GAP = 16
_CAPTION = 24  # height of the line above each picture
_HEADING = 30  # height of the line with the columns' names
_TITLE = 36
_LINE = 20  # height of a line of the subtitle
_LEGEND_ROW = 26

LegendEntry = tuple[str, Color, float]  # name, colour, left edge in pixels


@dataclass(frozen=True)
class Cell:
    """A picture with a line above it; long lines lose their start."""

    caption: str
    picture: Picture


def check_layout(images: int, image_size: int, images_per_row: int | None) -> None:
    """Refuse what gives no page.

    Raises:
        UserError: there are no images, or a size is not positive.
    """
    if not images:
        raise UserError("there are no images to draw: give at least one sample")
    if image_size < 32:
        raise UserError(f"image_size must be at least 32 pixels, not {image_size}")
    if images_per_row is not None and images_per_row < 1:
        raise UserError(f"images_per_row must be at least 1, not {images_per_row}")


def draw_grid(
    groups: Sequence[Sequence[Cell]],
    headings: Sequence[str],
    title: str,
    subtitle: str,
    legend: Sequence[tuple[str, Color]],
    note: str = "",
    images_per_row: int | None = None,
) -> Picture:
    """Lay out a page.

    Args:
        groups: at least one, the pictures of each image; all have as many as there are headings.
        headings: of the pictures of an image.
        title: first line of the page.
        subtitle: second line, smaller; long ones are wrapped.
        legend: names and colours, drawn below the images.
        note: last line.
        images_per_row: by default 2, or 1 where there are fewer than four images.

    Returns:
        (height, width, 3) RGB.
    """
    columns = min(images_per_row or (1 if len(groups) < 4 else 2), len(groups))
    rows = [groups[start : start + columns] for start in range(0, len(groups), columns)]
    cell = max(part.picture.shape[1] for group in groups for part in group)
    heights = [max(part.picture.shape[0] for group in row for part in group) for row in rows]
    group_width = len(headings) * (cell + _GAP) - _GAP
    width = 2 * _MARGIN + columns * (group_width + _GROUP_GAP) - _GROUP_GAP
    lefts = [
        [
            _MARGIN + column * (group_width + _GROUP_GAP) + part * (cell + _GAP)
            for part in range(len(headings))
        ]
        for column in range(columns)
    ]

    lines = textwrap.wrap(subtitle, max(20, (width - 2 * _MARGIN) // 7))
    legend_rows = _legend_rows(legend, width - 2 * _MARGIN)
    top = _MARGIN + _TITLE + _LINE * len(lines) + _HEADING
    body = sum(heights) + len(rows) * (_CAPTION + _ROW_GAP)
    height = top + body + _LEGEND_ROW * (len(legend_rows) + bool(note)) + _MARGIN

    canvas = Page(width, height)
    canvas.text(_MARGIN, _MARGIN + _TITLE / 2, title, 15, weight="bold")
    for number, line in enumerate(lines):
        canvas.text(_MARGIN, _MARGIN + _TITLE + _LINE * (number + 0.5), line, 9.5, color=GREY)
    for column in lefts:
        for left, heading in zip(column, headings, strict=True):
            canvas.text(left, top - _HEADING / 2, heading, 11.5, weight="bold")
    y = top
    for row, row_height in zip(rows, heights, strict=True):
        for group, column in zip(row, lefts, strict=False):
            for part, left in zip(group, column, strict=True):
                canvas.text(left, y + _CAPTION / 2, _shorten(part.caption, cell), 8.5, color=GREY)
                canvas.image(left, y + _CAPTION, part.picture)
        y += _CAPTION + row_height + _ROW_GAP
    for entries in legend_rows:
        _draw_legend_row(canvas, y + _LEGEND_ROW / 2, entries)
        y += _LEGEND_ROW
    canvas.text(_MARGIN, y + _LEGEND_ROW / 2, note, 9, color=GREY)
    return canvas.render()


def _shorten(name: str, width: int) -> str:
    """Keep the end of a long line, so that it fits ``width`` pixels of small text."""
    limit = max(8, width // 7)
    return name if len(name) <= limit else "…" + name[-(limit - 1) :]


def _legend_rows(names: Sequence[tuple[str, Color]], width: int) -> list[list[LegendEntry]]:
    """Break the legend into rows; narrow enough for ``width`` pixels."""
    rows: list[list[LegendEntry]] = []
    x = float(_MARGIN)
    for name, color in names:
        needed = 22 + 8.2 * len(name) + 18
        if not rows or x + needed > _MARGIN + width:
            rows.append([])
            x = float(_MARGIN)
        rows[-1].append((name, color, x))
        x += needed
    return rows


def _draw_legend_row(canvas: Page, y: float, entries: Sequence[LegendEntry]) -> None:
    for name, color, x in entries:
        canvas.square(x, y, 13, color)
        canvas.text(x + 20, y, name, 10)
