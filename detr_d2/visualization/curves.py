"""Curves of a training run: losses, average precision, learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import Curve, draw_curves, new_figure
from .metrics_file import TrainingMetrics
from .page import INK

# Metrics, and how they are called in the picture.
_TOTAL = {"total_loss": "sum over all decoder layers"}
_TERMS = {"loss_ce": "class", "loss_bbox": "L1", "loss_giou": "GIoU"}
# Where the loss on the test set is in the file, it is under these names.
_VALIDATION = "val/"


def smooth(values: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.float64]:
    """Return the mean over ``radius`` neighbors on each side, fewer at the ends.

    Args:
        values: (N,), N > 0; entries that are not finite are left out of the means.
        radius: neighbors on each side; 0 returns the values themselves.

    Returns:
        (N,); NaN where the window holds no finite value.
    """
    finite, window = np.isfinite(values), np.ones(2 * radius + 1)
    inner = slice(radius, radius + len(values))
    sums, counts = (np.convolve(x, window)[inner] for x in (np.where(finite, values, 0.0), finite))
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def draw_training_curves(metrics: TrainingMetrics, title: str = "Training") -> Figure:
    """Draw total loss, the last decoder layer's loss terms, AP and AP50, and learning rates.

    Loss curves are smoothed, with the written values pale behind them; dashed is the loss on the test set,
    which has no auxiliary supervision in it. A panel whose metrics are not
    in the file says so.

    Args:
        metrics: what :func:`~detr_d2.visualization.metrics_file.read_metrics` returns.
        title: first line of the figure.

    Returns:
        A figure outside pyplot: ``figure.savefig(path)`` writes it.
    """
    figure = new_figure(title, (13, 8.2))
    for axes, panel in zip(figure.subplots(2, 2).flat, training_panels(metrics), strict=True):
        panel.draw(axes, panel.title)
    return figure


@dataclass(frozen=True)
class CurvePanel:
    """Curves that share their axes.

    Attributes:
        title: what they are.
        curves: there may be none.
        nothing: what is written then.
        end: of the x axis, in iterations.
    """

    title: str
    curves: Sequence[Curve]
    nothing: str
    end: float

    def draw(self, axes: Axes, title: str = "") -> None:
        """Draw them, with a title above them or without one."""
        draw_curves(axes, title, "iteration", self.curves, self.nothing)
        if self.curves:
            axes.legend(frameon=False, labelcolor=INK, fontsize=10)
        axes.set_xlim(0, self.end)


def training_panels(metrics: TrainingMetrics) -> list[CurvePanel]:
    """The four panels of :func:`draw_training_curves`."""
    end = (max(metrics.by_iteration) + 1) * 1.01
    terms = "Loss terms of the last decoder layer, weighted"
    losses = "no losses in the metrics file"
    unevaluated = "no evaluation in the metrics file\n(TEST.EVAL_PERIOD sets when the model is evaluated)"
    rates = "no learning rate in the metrics file"
    return [
        CurvePanel("Total loss", _losses(metrics, _TOTAL), losses, end),
        CurvePanel(terms, _losses(metrics, _TERMS), losses, end),
        CurvePanel("Average precision of boxes (COCO)", _precision(metrics), unevaluated, end),
        CurvePanel("Learning rate", _rates(metrics), rates, end),
    ]


def _losses(metrics: TrainingMetrics, names: Mapping[str, str]) -> list[Curve]:
    curves: list[Curve] = []
    for index, (name, label) in enumerate(names.items()):
        steps, values = metrics.series(name)
        if len(steps):
            smoothed = smooth(values, radius=len(values) // 50)
            curves.append((steps, values, {"color": f"C{index}", "alpha": 0.25, "linewidth": 0.9}))
            curves.append((steps, smoothed, {"color": f"C{index}", "label": label}))
        steps, values = metrics.series(_VALIDATION + name)
        if len(steps):
            style = {"color": f"C{index}", "label": f"{label}, validation", "marker": "o", "markersize": 4}
            curves.append((steps, values, {**style, "linestyle": "--"}))
    return curves


def _precision(metrics: TrainingMetrics) -> list[Curve]:
    curves: list[Curve] = []
    for name in ("AP", "AP50"):
        steps, values = metrics.series(f"bbox/{name}")
        if np.isfinite(values).any():
            best = int(np.nanargmax(values))
            label = f"{name}: {values[-1]:.1f} at the end, best {values[best]:.1f} at {steps[best] + 1}"
            curves.append((steps, values, {"label": label, "marker": "o", "markersize": 4}))
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
    return list(curves.values())
