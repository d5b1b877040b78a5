"""The look of all curves: one panel of a figure, and the figure around it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .page import GRAY, INK

Curve = tuple[npt.NDArray[Any], npt.NDArray[np.float64], dict[str, Any]]  # x, y, its style


def new_figure(title: str, size: tuple[float, float]) -> Figure:
    """An empty figure outside pyplot.

    Args:
        title: its first line.
        size: width and height, in inches.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.05)
    figure = Figure(figsize=size, dpi=110, facecolor="white", layout=layout)
    figure.suptitle(title, x=0.012, ha="left", size=15, weight="bold", color=INK, parse_math=False)
    return figure


def style_axes(axes: Axes, title: str, x_label: str) -> None:
    """Title, label, grid and colors of a panel.

    Args:
        axes: of the panel.
        title: above it.
        x_label: what it runs over, with its unit.
    """
    axes.set_title(title, loc="left", size=11.5, weight="bold", color=INK)
    axes.set_xlabel(x_label, color=GRAY)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GRAY, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#b8c0ca")


def draw_curves(axes: Axes, title: str, x_label: str, curves: Sequence[Curve], nothing: str) -> None:
    """Draw one panel, with ``nothing`` written in it where there are no curves.

    Args:
        axes: of the panel.
        title: above it.
        x_label: what the curves run over, with its unit.
        curves: those with a label decide how high the panel reaches.
        nothing: what is missing.
    """
    style_axes(axes, title, x_label)
    axes.yaxis.set_major_formatter("{x:g}")
    if not curves:
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", va="center", color=GRAY)
        axes.set_yticks([])
        return
    for x, y, style in curves:
        axes.plot(x, y, **{"linewidth": 1.9, **style})
    # Single high values, pale and without a label, would press the rest of the curve flat.
    highest = max(np.nanmax(y, initial=0.0) for _, y, style in curves if "label" in style)
    axes.set_ylim(0, 1.08 * highest or 1.0)
