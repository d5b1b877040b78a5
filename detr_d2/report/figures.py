"""The drawings of a report, each small enough to be read on a telephone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullLocator

from ..evaluation.breakdown import Breakdown
from ..evaluation.confusion import Reliability
from ..evaluation.matching import IntArray
from ..visualization import CurvePanel, class_colors
from ..visualization.page import GRAY, INK

# From how many classes on they are no longer named one by one.
_NAMED, _NUMBERED, _CURVES = 40, 12, 10
_BLUE = "#2f6fb3"


def draw_training(panel: CurvePanel) -> Figure:
    """Curves of the training."""
    figure, axes = _figure()
    panel.draw(axes)
    return figure


def draw_by_iou(result: Breakdown) -> Figure:
    """AP at each IoU."""
    figure, axes = _figure(height=2.9)
    axes.plot(result.ious, 100 * result.by_iou, marker="o", color=_BLUE)
    axes.set(xlabel="IoU of a match", ylabel="AP", ylim=(0, 100))
    return figure


def draw_precision_recall(result: Breakdown) -> Figure:
    """Precision over recall at three IoUs, mean over the classes."""
    figure, axes = _figure(height=2.9)
    for index, iou in enumerate((0.5, 0.75, 0.9)):
        for place in np.flatnonzero(np.isclose(result.ious, iou)):
            axes.plot(result.recalls, result.precision[place], color=f"C{index}", label=f"IoU {iou:g}")
    _finish_precision_recall(axes)
    return figure


def draw_class_precision_recall(result: Breakdown, names: Sequence[str]) -> Figure | None:
    """Precision over recall of each class at the lowest IoU; None where there are too many."""
    known = np.flatnonzero(np.isfinite(result.class_precision).all(axis=1)).tolist()
    if not 1 < len(known) <= _CURVES:
        return None
    figure, axes = _figure(height=2.9)
    colors = class_colors(len(names))
    for place in known:
        label = _short(names[place])
        axes.plot(result.recalls, result.class_precision[place], color=colors[place], label=label)
    _finish_precision_recall(axes)
    return figure


def draw_confusion(counts: IntArray, names: Sequence[str]) -> Figure:
    """The confusion matrix, each row as shares of its sum.

    Args:
        counts: (C + 1, C + 1), see :func:`~detr_d2.evaluation.confusion.confusion_matrix`.
        names: of the C classes.
    """
    labels = [*(_short(name) for name in names), "background"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(3.2 + 0.14 * len(labels), 7.0)
    figure, axes = _figure(side, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.grid(visible=False)
    axes.set(xlabel="predicted", ylabel="annotated")
    if len(labels) <= _NAMED:
        size = 8.5 if len(labels) <= _NUMBERED else 6
        axes.set_xticks(range(len(labels)), labels, rotation=90, size=size, parse_math=False)
        axes.set_yticks(range(len(labels)), labels, size=size, parse_math=False)
    if len(labels) <= _NUMBERED + 1:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, str(count), ha="center", va="center", size=8, color=color)
    return figure


def draw_reliability(result: Reliability) -> Figure:
    """The share of right predictions over their score, above how many there are."""
    figure = Figure((4.8, 3.9), dpi=150, layout=ConstrainedLayoutEngine())
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    middles, width = (result.edges[1:] + result.edges[:-1]) / 2, 0.9 * np.diff(result.edges)
    axes.bar(middles, result.right, width, color=_BLUE)
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    axes.set(ylabel="share that is right", ylim=(0, 1))
    below.bar(middles, result.counts, width, color=GRAY)
    below.set(xlabel="score", ylabel="count", xlim=(0, 1))
    if result.counts.max() > 0:
        below.set(yscale="log", ylim=(0.7, 3 * result.counts.max()))
        below.yaxis.set_major_locator(LogLocator(numticks=4))
        below.yaxis.set_minor_locator(NullLocator())
    for part in (axes, below):
        _plain(part)
    return figure


def draw_errors(costs: Mapping[str, float], counts: Mapping[str, int]) -> Figure:
    """What each kind of error costs, and how many there are."""
    figure, axes = _figure(height=2.6)
    values = [100 * cost for cost in costs.values()]
    bars = axes.barh(range(len(values)), values, color=_BLUE)
    axes.bar_label(bars, [f" {v:.1f} ({counts[k]})" for k, v in zip(costs, values, strict=True)], size=8)
    axes.set_yticks(range(len(values)), list(costs))
    axes.invert_yaxis()
    axes.set(xlabel="AP50 that they cost (how many there are)", xlim=(0, 1.3 * max(*values, 1.0)))
    axes.grid(axis="y", visible=False)
    return figure


def _figure(width: float = 4.8, height: float = 3.3) -> tuple[Figure, Axes]:
    figure = Figure((width, height), dpi=150, facecolor="white", layout=ConstrainedLayoutEngine())
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.grid(color="#e3e7ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GRAY, length=0, labelsize=8.5)
    axes.xaxis.label.set(color=GRAY, size=9)
    axes.yaxis.label.set(color=GRAY, size=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8c0ca")


def _finish_precision_recall(axes: Axes) -> None:
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    if axes.get_lines():
        legend = axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
