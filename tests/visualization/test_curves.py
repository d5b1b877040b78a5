"""The figure of a training run's curves."""

import sys

import numpy as np
import pytest

from detr_d2.visualization import TrainingMetrics, draw_training_curves
from detr_d2.visualization.curves import smooth


def make_metrics() -> TrainingMetrics:
    entries: dict[int, dict[str, float]] = {}
    for step in range(19, 2000, 20):
        entries[step] = {
            "total_loss": 10.0 - step / 400,
            "loss_ce": 1.0,
            "loss_bbox": 2.0,
            "loss_giou": 3.0,
            "loss_ce_0": 99.0,
            "lr": 1e-4 if step < 1500 else 1e-5,
        }
    entries[999]["bbox/AP"], entries[999]["bbox/AP50"] = 20.0, 45.0
    entries[1999]["bbox/AP"], entries[1999]["bbox/AP50"] = 41.5, 70.25
    return TrainingMetrics(entries)


@pytest.mark.parametrize("radius", [0, 1, 4, 30])
def test_smoothing_is_the_mean_over_neighbors(radius: int) -> None:
    values = np.random.default_rng(0).normal(size=21)
    values[[3, 4, 5, 12]] = np.nan
    expected = []
    for index in range(len(values)):
        window = [v for v in values[max(0, index - radius) : index + radius + 1] if np.isfinite(v)]
        expected.append(sum(window) / len(window) if window else np.nan)
    np.testing.assert_allclose(smooth(values, radius), expected, rtol=1e-12)


def test_raw_and_smoothed_losses_are_the_files_data() -> None:
    metrics = make_metrics()
    figure = draw_training_curves(metrics)
    raw, smoothed = figure.axes[0].get_lines()
    steps, values = metrics.series("total_loss")
    assert np.array_equal(raw.get_xdata(), steps)
    assert np.array_equal(raw.get_ydata(), values)
    assert raw.get_alpha() < 0.5
    # A straight line's mean over symmetric neighbors is the line itself, away from the ends.
    np.testing.assert_allclose(smoothed.get_ydata()[5:-5], values[5:-5])


def test_losses_of_the_test_set_are_drawn_where_they_were_measured() -> None:
    metrics = make_metrics()
    steps = sorted(metrics.by_iteration)
    for place, step in enumerate(steps[4::5]):
        metrics.by_iteration[step] |= {"val/total_loss": 9.0 + place, "val/loss_ce": 2.0}
    total, terms, *_ = draw_training_curves(metrics).axes
    (line,) = (line for line in total.lines if "validation" in str(line.get_label()))
    assert line.get_xdata().tolist() == steps[4::5]
    assert line.get_ydata().tolist() == [9.0 + place for place in range(len(steps[4::5]))]
    assert [line.get_label() for line in terms.lines if "validation" in str(line.get_label())] == [
        "class, validation"
    ]


def test_terms_are_those_of_the_last_decoder_layer() -> None:
    figure = draw_training_curves(make_metrics())
    labeled = {
        line.get_label(): set(line.get_ydata())
        for line in figure.axes[1].get_lines()
        if not str(line.get_label()).startswith("_")
    }
    assert labeled == {"class": {1.0}, "L1": {2.0}, "GIoU": {3.0}}


def test_average_precision_is_drawn_where_it_was_measured() -> None:
    figure = draw_training_curves(make_metrics())
    ap, ap50 = figure.axes[2].get_lines()
    assert list(ap.get_xdata()) == [999, 1999]
    assert list(ap.get_ydata()) == [20.0, 41.5]
    assert list(ap50.get_ydata()) == [45.0, 70.25]
    assert "41.5 at the end" in str(ap.get_label())


def test_the_one_learning_rate_is_drawn() -> None:
    metrics = make_metrics()
    (line,) = draw_training_curves(metrics).axes[3].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), metrics.series("lr")[1])


def test_every_groups_learning_rate_is_drawn_and_equal_ones_once() -> None:
    metrics = make_metrics()
    for entry in metrics.by_iteration.values():
        entry["lr/backbone"] = entry["lr/backbone_norm"] = entry["lr"] / 10
        entry["lr/transformer"] = entry["lr"]
        entry["lrx"] = 5.0
    lines = draw_training_curves(metrics).axes[3].get_lines()
    assert [line.get_label() for line in lines] == ["backbone, backbone_norm", "transformer"]
    np.testing.assert_allclose(lines[0].get_ydata(), metrics.series("lr")[1] / 10)


def test_panels_without_data_say_so() -> None:
    figure = draw_training_curves(TrainingMetrics({5: {"bbox/AP": float("nan")}}))
    texts = ["".join(text.get_text() for text in axes.texts) for axes in figure.axes]
    assert len(texts) == 4
    assert [text.split("\n")[0] for text in texts] == [
        "no losses in the metrics file",
        "no losses in the metrics file",
        "no evaluation in the metrics file",
        "no learning rate in the metrics file",
    ]


def test_losses_that_are_not_finite_leave_a_gap_only() -> None:
    metrics = make_metrics()
    metrics.by_iteration[519]["total_loss"] = float("nan")
    metrics.by_iteration[539]["total_loss"] = float("inf")
    figure = draw_training_curves(metrics)
    figure.canvas.draw()
    assert np.isfinite(figure.axes[0].get_ylim()).all()
    assert figure.axes[0].get_ylim()[1] < 20


def test_pyplot_is_not_touched() -> None:
    before = sys.modules.get("matplotlib.pyplot")
    figure = draw_training_curves(make_metrics())
    assert sys.modules.get("matplotlib.pyplot") is before
    if before is not None:
        assert figure not in [before.figure(number) for number in before.get_fignums()]
