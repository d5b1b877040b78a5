"""One picture of several images, ground truth beside predictions."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata

from .colors import Color, class_colors
from .detections import BoolArray, Detections, match_detections
from .page import GREY, Page
from .visualizer import DetectionVisualizer, Picture, class_names_of, fit_image

_MARGIN = 28  # pixels around the picture
_GAP = 10  # between ground truth and predictions of one image
_PAIR_GAP = 36  # between two images of one row
_ROW_GAP = 16
_CAPTION = 24  # height of the line above each image pair
_HEADING = 30  # height of the line with the columns' names
_TITLE = 36
_LINE = 20  # height of a line of the subtitle
_LEGEND_ROW = 26

LegendEntry = tuple[str, Color, float]  # name, colour, left edge in pixels


@dataclass(frozen=True)
class PanelSample:
    """One image of the picture.

    Attributes:
        image: (H, W, 3) RGB.
        name: shown above the image, usually its file name.
        truth: annotated boxes.
        predictions: the boxes to show, best first.
    """

    image: Picture
    name: str
    truth: Detections
    predictions: Detections


def draw_panel(
    samples: Sequence[PanelSample],
    metadata: Metadata | None = None,
    title: str = "Ground truth beside predictions",
    subtitle: str = "",
    image_size: int = 400,
    pairs_per_row: int | None = None,
) -> Picture:
    """Draw ground truth (left) beside predictions (right) for every sample.

    A dashed outline marks an object that no prediction found, and a prediction that found no object
    (same class, IoU of at least 0.5).

    Args:
        samples: at least one.
        metadata: class names and colours of the data set.
        title: first line of the picture.
        subtitle: second line, smaller; long ones are wrapped.
        image_size: pixels of the longer side of every image in the picture; small images are enlarged.
        pairs_per_row: images per row; by default 2, or 1 where there are fewer than four images.

    Returns:
        (height, width, 3) RGB.

    Raises:
        ValueError: there are no samples, or a size is not positive.
    """
    if not samples:
        raise ValueError("there are no images to draw: give at least one sample")
    if image_size < 32:
        raise ValueError(f"image_size must be at least 32 pixels, not {image_size}")
    columns = pairs_per_row if pairs_per_row is not None else (1 if len(samples) < 4 else 2)
    if columns < 1:
        raise ValueError(f"pairs_per_row must be at least 1, not {columns}")
    columns = min(columns, len(samples))

    pairs = [_draw_pair(sample, metadata, image_size) for sample in samples]
    rows = [range(start, min(start + columns, len(samples))) for start in range(0, len(samples), columns)]
    cell = max(truth.shape[1] for truth, _ in pairs)
    heights = [max(pairs[index][0].shape[0] for index in row) for row in rows]
    pair_width = 2 * cell + _GAP
    width = 2 * _MARGIN + columns * pair_width + (columns - 1) * _PAIR_GAP

    lines = textwrap.wrap(subtitle, max(20, (width - 2 * _MARGIN) // 7))
    legend = _legend_rows(_names_in_legend(samples, metadata), width - 2 * _MARGIN)
    top = _MARGIN + _TITLE + _LINE * len(lines) + _HEADING
    body = sum(heights) + len(rows) * (_CAPTION + _ROW_GAP)
    height = top + body + _LEGEND_ROW * (len(legend) + 1) + _MARGIN

    canvas = Page(width, height)
    canvas.text(_MARGIN, _MARGIN + _TITLE / 2, title, 15, weight="bold")
    for number, line in enumerate(lines):
        canvas.text(_MARGIN, _MARGIN + _TITLE + _LINE * (number + 0.5), line, 9.5, color=GREY)
    for column in range(columns):
        left = _MARGIN + column * (pair_width + _PAIR_GAP)
        for offset, heading in ((0, "Ground truth"), (cell + _GAP, "Predictions")):
            canvas.text(left + offset, top - _HEADING / 2, heading, 11.5, weight="bold")
    y = top
    for row, row_height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            left = _MARGIN + column * (pair_width + _PAIR_GAP)
            canvas.text(left, y + _CAPTION / 2, _shorten(samples[index].name, cell), 8.5, color=GREY)
            canvas.text(left + cell + _GAP, y + _CAPTION / 2, _summary(samples[index]), 8.5, color=GREY)
            for offset, picture in zip((0, cell + _GAP), pairs[index], strict=True):
                canvas.image(left + offset, y + _CAPTION, picture)
        y += _CAPTION + row_height + _ROW_GAP
    for number, entries in enumerate(legend):
        _draw_legend_row(canvas, y + _LEGEND_ROW * (number + 0.5), entries)
    y += _LEGEND_ROW * len(legend)
    note = "dashed: object not found, or prediction without an object (same class, IoU of at least 0.5)"
    canvas.text(_MARGIN, y + _LEGEND_ROW / 2, note, 9, color=GREY)
    return canvas.render()


def _draw_pair(sample: PanelSample, metadata: Metadata | None, size: int) -> tuple[Picture, Picture]:
    image, factor = fit_image(sample.image, size)
    found, right = match_detections(sample.truth, sample.predictions)

    def draw(detections: Detections, solid: BoolArray) -> Picture:
        visualizer = DetectionVisualizer(image, metadata)
        picture: Picture = visualizer.draw_detections(detections, factor, solid).get_image()
        return picture

    return draw(sample.truth, found), draw(sample.predictions, right)


def _summary(sample: PanelSample) -> str:
    found, right = match_detections(sample.truth, sample.predictions)
    real = ~sample.truth.crowd
    text = f"found {int(found[real].sum())} of {int(real.sum())}" if real.any() else "no objects"
    wrong = int((~right).sum())
    return text + (f", {wrong} wrong" if wrong else "")


def _shorten(name: str, width: int) -> str:
    """Keep the end of a long name, so that it fits ``width`` pixels of small text."""
    limit = max(8, width // 7)
    return name if len(name) <= limit else "…" + name[-(limit - 1) :]


def _names_in_legend(samples: Sequence[PanelSample], metadata: Metadata | None) -> list[tuple[str, Color]]:
    """Return names and colours: of all classes where they are few, else of those in the picture."""
    drawn = np.concatenate([d.classes for s in samples for d in (s.truth, s.predictions)])
    names = class_names_of(metadata, int(drawn.max(initial=-1)) + 1)
    colors = class_colors(len(names), metadata.get("thing_colors", None) if metadata is not None else None)
    shown = range(len(names)) if len(names) <= 12 else np.unique(drawn).tolist()
    return [(names[index], colors[index]) for index in shown]


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
