"""Curves of a training run: losses, average precision, learning rate."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .metrics_file import TrainingMetrics

# Metric, label, colour.
_TOTAL = (("total_loss", "sum over all decoder layers", "#1d2733"),)
_TERMS = (
    ("loss_ce", "class", "#e67e22"),
    ("loss_bbox", "L1", "#2980b9"),
    ("loss_giou", "GIoU", "#27ae60"),
)
_PRECISION = (("bbox/AP", "AP", "#8e44ad"), ("bbox/AP50", "AP50", "#e84393"))
_RATES = ("#16a085", "#d35400", "#2c3e50", "#7f8c8d")
_INK, _GREY = "#1d2733", "#5f6b7a"


def smooth(values: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.float64]:
    """Return the mean over ``radius`` neighbours on each side, fewer at the ends.

    Args:
        values: (N,); entries that are not finite are left out of the means.
        radius: neighbours on each side; 0 returns the values themselves.

    Returns:
        (N,); NaN where the window holds no finite value.
    """
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(len(values))
    first, last = np.maximum(index - radius, 0), np.minimum(index + radius + 1, len(values))
    number = counts[last] - counts[first]
    return np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1), np.nan)


def draw_training_curves(metrics: TrainingMetrics, title: str = "Training") -> Figure:
    """Draw total loss, the last decoder layer's loss terms, AP and AP50, and learning rates.

    Loss curves are smoothed, with the written values pale behind them. A panel whose metrics are not
    in the file says so.

    Args:
        metrics: what :func:`~detr_d2.visualization.metrics_file.read_metrics` returns.
        title: first line of the figure.

    Returns:
        A figure with an Agg canvas, outside pyplot: ``figure.savefig(path)`` writes it.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.05)
    figure = Figure(figsize=(13, 8.2), dpi=110, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", size=15, weight="bold", color=_INK, parse_math=False)
    (total, terms), (precision, rates) = figure.subplots(2, 2)

    _draw_losses(total, metrics, _TOTAL, "Total loss")
    _draw_losses(terms, metrics, _TERMS, "Loss terms of the last decoder layer, weighted")
    _draw_precision(precision, metrics)
    _draw_rates(rates, metrics)
    last = max(metrics.by_iteration) + 1
    for axes in (total, terms, precision, rates):
        axes.set_xlim(0, last * 1.01)
    return figure


def _draw_losses(
    axes: Axes, metrics: TrainingMetrics, curves: tuple[tuple[str, str, str], ...], title: str
) -> None:
    _style(axes, title)
    highest = []
    for name, label, color in curves:
        steps, values = metrics.series(name)
        if not len(steps):
            continue
        smoothed = smooth(values, radius=len(values) // 50)
        axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.9)
        axes.plot(steps, smoothed, color=color, linewidth=1.9, label=label)
        highest.append(np.nanmax(smoothed, initial=0.0))
    if not highest:
        _nothing(axes, "no losses in the metrics file")
        return
    # Single high values of the first iterations would press the rest of the curve flat.
    axes.set_ylim(0, float(max(highest)) * 1.08 or 1.0)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=10)


def _draw_precision(axes: Axes, metrics: TrainingMetrics) -> None:
    _style(axes, "Average precision of boxes (COCO)")
    drawn = False
    for name, label, color in _PRECISION:
        steps, values = metrics.series(name)
        if not np.isfinite(values).any():
            continue
        drawn = True
        best = int(np.nanargmax(values))
        axes.plot(
            steps,
            values,
            color=color,
            marker="o",
            markersize=4,
            linewidth=1.9,
            label=f"{label}: {values[-1]:.1f} at the end, best {values[best]:.1f} at {steps[best] + 1}",
        )
    if not drawn:
        _nothing(
            axes, "no evaluation in the metrics file\n(TEST.EVAL_PERIOD sets when the model is evaluated)"
        )
        return
    axes.set_ylim(0, 102)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=10, loc="best")


def _draw_rates(axes: Axes, metrics: TrainingMetrics) -> None:
    _style(axes, "Learning rate")
    # Detectron2 writes the largest group's rate as "lr", detr_d2 each group's as "lr/NAME" too.
    names = [name for name in metrics.names() if name.startswith("lr/")] or ["lr"]
    curves: dict[tuple[bytes, bytes], list[str]] = {}
    for name in names:
        steps, values = metrics.series(name)
        if len(steps):
            curves.setdefault((steps.tobytes(), values.tobytes()), []).append(name)
    for index, equal in enumerate(curves.values()):
        steps, values = metrics.series(equal[0])
        label = ", ".join(name.removeprefix("lr/") for name in equal)
        axes.plot(steps, values, color=_RATES[index % len(_RATES)], linewidth=1.9, label=label)
    if not curves:
        _nothing(axes, "no learning rate in the metrics file")
        return
    axes.yaxis.set_major_formatter(_short)
    axes.set_ylim(bottom=0)
    if len(names) > 1:
        axes.legend(frameon=False, labelcolor=_INK, fontsize=10)


def _short(rate: float, _: float) -> str:
    """Write 0.0003 as 3e-4."""
    mantissa, exponent = f"{rate:.2e}".split("e")
    return "0" if rate == 0 else f"{float(mantissa):g}e{int(exponent)}"


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", size=11.5, weight="bold", color=_INK)
    axes.set_xlabel("iteration", color=_GREY)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_GREY, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b8c0ca")


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_GREY)
    axes.set_yticks([])
