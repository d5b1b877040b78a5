"""Several training runs beside each other: metrics against iterations, time and images, and as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter
from tabulate import tabulate

from .axes import Curve, draw_curves, new_figure
from .page import INK
from .runs import METRICS, Run

# Of time: name, seconds, and up to how many seconds it is the one to use.
_UNITS = (("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, np.inf))
_STYLES = ("-", "--", ":", "-.")  # another one for each ten runs

TIME_NOTE = (
    "Times are estimates: of the iterations alone, from the medians that Detectron2 writes. Evaluations, "
    "saving, and iterations that were lost and done again are not in them."
)


def draw_comparison(runs: Sequence[Run], title: str = "Comparison") -> Figure:
    """Draw each metric that a run has against iterations, time and images seen, a line for each run.

    Args:
        runs: at least one.
        title: first line of the figure.

    Returns:
        A figure outside pyplot: ``figure.savefig(path)`` writes it. A row of three panels for each metric.
    """
    metrics = measured(runs)
    longest = max((x for x in map(_total_seconds, runs) if np.isfinite(x)), default=0.0)
    unit, seconds, _ = next(unit for unit in _UNITS if longest <= unit[2])
    figure = new_figure(title, (15, 1.2 + 0.25 * len(runs) + 3.7 * len(metrics)))
    for metric, panels in zip(metrics, figure.subplots(len(metrics), 3, squeeze=False), strict=True):
        curves: tuple[list[Curve], ...] = ([], [], [])
        for index, run in enumerate(runs):
            done, values = run.evaluations(metric)
            style = {"label": run.name, "marker": "o", "markersize": 4, **_style(index)}
            columns = (done, run.seconds(done) / seconds, done * run.batch_size)
            for column, x in zip(curves, columns, strict=True):
                if np.isfinite(x).any():
                    column.append((x, values, style))
        labels = ("iterations", f"time of the iterations, about ({unit})", "images seen")
        for axes, label, column in zip(panels, labels, curves, strict=True):
            draw_curves(axes, METRICS[metric], label, column, "no times in the metrics files")
            axes.set_xlim(left=0)
        for axes in panels[::2]:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    lines = [Line2D([], [], linewidth=1.9, **_style(index)) for index in range(len(runs))]
    names = [run.name for run in runs]
    legend = figure.legend(lines, names, loc="outside lower left", frameon=False, labelcolor=INK, fontsize=10)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def comparison_table(runs: Sequence[Run], markdown: bool = False) -> str:
    """A line for each run: how long it is, its metrics at the end, and its best of the first metric.

    Args:
        runs: at least one. With several, a column tells the first evaluation of each that is at least as
            good as the last of the first run.
        markdown: write the table in Markdown.
    """
    metrics = measured(runs)
    first = METRICS[metrics[0]]
    header = ["run", "iterations", "images", "time", *(METRICS[metric] for metric in metrics)]
    header += [f"best {first}", "at iteration"]
    goal = _last(runs[0], metrics[0]) if len(runs) > 1 else np.nan
    if np.isfinite(goal):
        header.append(f"{goal:.1f} reached at")
    rows = []
    for run in runs:
        done, values = run.evaluations(metrics[0])
        best = values.max(initial=-np.inf)
        length = run.iterations, run.iterations * run.batch_size, _clock(_total_seconds(run))
        row = [run.name, *map(str, length)]
        row += [_figure(_last(run, metric)) for metric in metrics]
        row += [_figure(best), _first(done[values >= best]), _first(done[values >= goal])]
        rows.append(row[: len(header)])
    if markdown:
        rows = [[name.replace("|", "\\|"), *cells] for name, *cells in rows]
    align = ["left", *["right"] * (len(header) - 1)]
    form = "github" if markdown else "simple"
    table: str = tabulate(rows, header, form, disable_numparse=True, colalign=align)
    return table


def measured(runs: Sequence[Run]) -> list[str]:
    """Those of :data:`~.runs.METRICS` that at least one run has."""
    return [metric for metric in METRICS if any(len(run.evaluations(metric)[0]) for run in runs)]


def _total_seconds(run: Run) -> float:
    return float(run.seconds(np.array([float(run.iterations)]))[0])


def _last(run: Run, metric: str) -> float:
    """NaN where the run does not have it."""
    values = run.evaluations(metric)[1]
    return float(values[-1]) if len(values) else np.nan


def _first(iterations: npt.NDArray[np.float64]) -> str:
    return f"{iterations[0]:.0f}" if len(iterations) else ""


def _figure(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else ""


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds; "" of what is not known."""
    if not np.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _style(index: int) -> dict[str, Any]:
    return {"color": f"C{index % 10}", "linestyle": _STYLES[index // 10 % len(_STYLES)]}
