"""What a data set is made of, as plots: its classes, and the sizes of its objects and images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .axes import new_figure, style_axes
from .colors import class_colors
from .page import GRAY

# So many classes are drawn, those with most objects.
_MOST_CLASSES = 30
_BINS = 30


@dataclass(frozen=True)
class Contents:
    """What is drawn of a part of a data set, of M images and N objects.

    Attributes:
        name: of the part.
        sizes: (M, 2) width and height of the images, in pixels.
        counts: (M,) objects of each image.
        classes: names of the objects' classes.
        areas: (N,) of the objects' boxes, in square pixels.
    """

    name: str
    sizes: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    classes: Sequence[str]
    areas: npt.NDArray[np.float64]


def draw_statistics(title: str, parts: Sequence[Contents]) -> Figure:
    """Four panels: objects of each class, objects of an image, sizes of objects, sizes of images.

    Counts are shares of each part, so that parts of different size can be compared.

    Args:
        title: first line of the figure.
        parts: of the data set, at least one.
    """
    total = Counter(name for part in parts for name in part.classes)
    names = [name for name, _ in total.most_common(_MOST_CLASSES)]
    height = max(7.0, 3.0 + 0.34 * len(names))
    figure = new_figure(title, (11.0, height))
    axes = figure.subplots(2, 2)
    left_out = f" ({len(names)} of {len(total)})" if len(names) < len(total) else ""
    style_axes(axes[0, 0], f"Classes{left_out}", "share of the objects")
    style_axes(axes[0, 1], "Objects of an image", "objects")
    style_axes(axes[1, 0], "Objects' size", "square root of the box's area, in pixels")
    style_axes(axes[1, 1], "Images' size", "width in pixels")
    axes[0, 1].set_ylabel("share of the images", color=GRAY)
    axes[1, 0].set_ylabel("share of the objects", color=GRAY)
    axes[1, 1].set_ylabel("height in pixels", color=GRAY)
    axes[0, 0].grid(False, axis="y")
    axes[0, 0].grid(axis="x", color="#e3e7ec", linewidth=0.9)
    thickness = 0.8 / len(parts)
    most = max((int(part.counts.max(initial=0)) for part in parts), default=0)
    steps = np.arange(most + 2) if most < _BINS else np.linspace(0, most + 1, _BINS + 1)
    sides = [np.sqrt(part.areas[part.areas > 0]) for part in parts]
    largest = max((float(side.max(initial=2.0)) for side in sides), default=2.0)
    smallest = min((float(side.min(initial=largest)) for side in sides), default=1.0)
    edges = np.geomspace(max(min(smallest, largest / 2), 1e-3), largest * 1.0001, _BINS + 1)
    for number, (part, side, color) in enumerate(zip(parts, sides, class_colors(len(parts)), strict=True)):
        share = Counter(part.classes)
        widths = [share[name] / max(len(part.classes), 1) for name in names]
        places = np.arange(len(names)) + (number - (len(parts) - 1) / 2) * thickness
        label = f"{part.name}: {len(part.counts):,} images, {len(part.classes):,} objects"
        axes[0, 0].barh(places, widths, thickness, color=color, label=label)
        style = {"histtype": "step", "color": color, "linewidth": 1.9}
        axes[0, 1].hist(part.counts, steps - 0.5, weights=_shares(part.counts), **style)
        axes[1, 0].hist(side, edges, weights=_shares(side), **style)
        axes[1, 1].scatter(*part.sizes.T, s=14, color=color, alpha=0.35, linewidths=0)
    axes[0, 0].set_yticks(np.arange(len(names)), [_short(name) for name in names], size=8.5)
    for text in axes[0, 0].get_yticklabels():
        text.set_parse_math(False)
    axes[0, 0].invert_yaxis()
    axes[0, 1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1, 0].set_xscale("log")
    axes[1, 0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[1, 1].set_xlim(left=0)
    axes[1, 1].set_ylim(bottom=0)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False)
    return figure


def _shares(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Weights that add up to 1."""
    return np.full(len(values), 1 / max(len(values), 1))


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
