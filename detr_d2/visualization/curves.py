"""Curves of a training run: losses, average precision, learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .metrics_file import TrainingMetrics
from .page import GREY, INK

# Metric, label, color.
_TOTAL = (("total_loss", "sum over all decoder layers", INK),)
_TERMS = (("loss_ce", "class", "#e67e22"), ("loss_bbox", "L1", "#2980b9"), ("loss_giou", "GIoU", "#27ae60"))
_PRECISION = (("bbox/AP", "AP", "#8e44ad"), ("bbox/AP50", "AP50", "#e84393"))
_RATES = ("#16a085", "#d35400", "#2c3e50", "#7f8c8d")

Curve = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], dict[str, Any]]  # x, y, its style


def smooth(values: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.float64]:
    """Return the mean over ``radius`` neighbours on each side, fewer at the ends.

    Args:
        values: (N,), N > 0; entries that are not finite are left out of the means.
        radius: neighbours on each side; 0 returns the values themselves.

    Returns:
        (N,); NaN where the window holds no finite value.
    """
    finite, window = np.isfinite(values), np.ones(2 * radius + 1)
    inner = slice(radius, radius + len(values))
    sums, counts = (np.convolve(x, window)[inner] for x in (np.where(finite, values, 0.0), finite))
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def draw_training_curves(metrics: TrainingMetrics, title: str = "Training") -> Figure:
    """Draw total loss, the last decoder layer's loss terms, AP and AP50, and learning rates.

    Loss curves are smoothed, with the written values pale behind them. A panel whose metrics are not
    in the file says so.

    Args:
        metrics: what :func:`~detr_d2.visualization.metrics_file.read_metrics` returns.
        title: first line of the figure.

    Returns:
        A figure outside pyplot: ``figure.savefig(path)`` writes it.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.05)
    figure = Figure(figsize=(13, 8.2), dpi=110, facecolor="white", layout=layout)
    figure.suptitle(title, x=0.012, ha="left", size=15, weight="bold", color=INK, parse_math=False)
    total, terms, precision, rates = figure.subplots(2, 2).flat
    for axes, names, heading in (
        (total, _TOTAL, "Total loss"),
        (terms, _TERMS, "Loss terms of the last decoder layer, weighted"),
    ):
        curves = _losses(metrics, names)
        # Single high values of the first iterations would press the rest of the curve flat.
        highest = max((np.nanmax(y, initial=0.0) for _, y, style in curves if "label" in style), default=0)
        _draw(axes, heading, curves, highest * 1.08 or 1.0, "no losses in the metrics file")
    nothing = "no evaluation in the metrics file\n(TEST.EVAL_PERIOD sets when the model is evaluated)"
    _draw(precision, "Average precision of boxes (COCO)", _precision(metrics), 102, nothing)
    _draw(rates, "Learning rate", _rates(metrics), None, "no learning rate in the metrics file")
    rates.yaxis.set_major_formatter("{x:g}")
    for axes in figure.axes:
        axes.set_xlim(0, (max(metrics.by_iteration) + 1) * 1.01)
    return figure


def _losses(metrics: TrainingMetrics, names: Sequence[tuple[str, str, str]]) -> list[Curve]:
    curves: list[Curve] = []
    for name, label, color in names:
        steps, values = metrics.series(name)
        if len(steps):
            smoothed = smooth(values, radius=len(values) // 50)
            curves.append((steps, values, {"color": color, "alpha": 0.25, "linewidth": 0.9}))
            curves.append((steps, smoothed, {"color": color, "label": label}))
    return curves


def _precision(metrics: TrainingMetrics) -> list[Curve]:
    curves: list[Curve] = []
    for name, label, color in _PRECISION:
        steps, values = metrics.series(name)
        if np.isfinite(values).any():
            best = int(np.nanargmax(values))
            label += f": {values[-1]:.1f} at the end, best {values[best]:.1f} at {steps[best] + 1}"
            curves.append((steps, values, {"color": color, "label": label, "marker": "o", "markersize": 4}))
    return curves


def _rates(metrics: TrainingMetrics) -> list[Curve]:
    # Detectron2 writes the largest group's rate as "lr", detr_d2 each group's as "lr/NAME" too.
    names = [name for name in metrics.names() if name.startswith("lr/")] or ["lr"]
    curves: dict[bytes, Curve] = {}  # groups with the same rates share one
    for name in names:
        steps, values = metrics.series(name)
        if len(steps):
            label = name.removeprefix("lr/")
            _, _, style = curves.setdefault(steps.tobytes() + values.tobytes(), (steps, values, {}))
            style["label"] = f"{style['label']}, {label}" if style else label
    for index, (_, _, style) in enumerate(curves.values()):
        style["color"] = _RATES[index % len(_RATES)]
    return list(curves.values())


def _draw(axes: Axes, title: str, curves: Sequence[Curve], highest: float | None, nothing: str) -> None:
    """Draw one panel from 0 to ``highest``; with ``nothing`` written in it where there are no curves."""
    axes.set_title(title, loc="left", size=11.5, weight="bold", color=INK)
    axes.set_xlabel("iteration", color=GREY)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#b8c0ca")
    if not curves:
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_yticks([])
        return
    for steps, values, style in curves:
        axes.plot(steps, values, **{"linewidth": 1.9, **style})
    axes.set_ylim(0, highest)
    axes.legend(frameon=False, labelcolor=INK, fontsize=10)
