"""The picture and the table of several runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from detr_d2.visualization import Run, comparison_table, draw_comparison, read_runs

from .run_files import write_run

SLOW = {
    499: {"time": 2.0, "bbox/AP": 10.0, "bbox/AP50": 20.0},
    999: {"time": 2.0, "bbox/AP": 30.0, "bbox/AP50": 40.0},
}
SOON = {
    249: {"time": 4.0, "bbox/AP": 30.04, "bbox/AP50": 45.0},
    499: {"time": 4.0, "bbox/AP": 29.0, "bbox/AP50": 50.0, "panoptic_seg/PQ": 55.55},
}


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    soon = write_run(tmp_path / "_soon $x_{", SOON, batch_size=8, max_iter=500)
    return read_runs([write_run(tmp_path / "slow", SLOW), soon])


def test_each_metric_has_a_row_of_panels_with_a_line_for_each_run_that_has_it(runs: list[Run]) -> None:
    figure = draw_comparison(runs)
    assert [axes.get_title(loc="left") for axes in figure.axes[::3]] == ["AP", "AP50", "PQ"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 2, 2, 2, 2, 2, 1, 1, 1]


def test_lines_run_over_iterations_time_and_images(runs: list[Run]) -> None:
    for axes, slow, soon in zip(
        draw_comparison(runs).axes[:3],
        ([500, 1000], np.array([1000, 2000]) / 60, [8000, 16000]),
        ([250, 500], np.array([1000, 2000]) / 60, [2000, 4000]),
        strict=True,
    ):
        first, second = axes.get_lines()
        np.testing.assert_allclose(first.get_xdata(), slow)
        np.testing.assert_allclose(second.get_xdata(), soon)
        assert list(first.get_ydata()) == [10.0, 30.0]
    assert "(min)" in draw_comparison(runs).axes[1].get_xlabel()


def test_a_run_has_the_same_color_in_all_panels_and_the_legend(runs: list[Run]) -> None:
    figure = draw_comparison(runs)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["slow", "_soon $x_{"]
    colors = {
        text.get_text(): line.get_color()
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    assert len(set(colors.values())) == 2
    for axes in figure.axes:
        assert all(line.get_color() == colors[str(line.get_label())] for line in axes.get_lines())


def test_eleven_runs_look_different_and_can_be_drawn(tmp_path: Path) -> None:
    runs = read_runs([write_run(tmp_path / f"run {i}", SLOW) for i in range(11)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_comparison(runs)
        figure.canvas.draw()
    assert len({(x.get_color(), x.get_linestyle()) for x in figure.axes[0].get_lines()}) == 11


def test_without_times_the_other_panels_stay(tmp_path: Path) -> None:
    figure = draw_comparison(read_runs([write_run(tmp_path / "a", {9: {"bbox/AP": 5.0}})]))
    figure.canvas.draw()
    assert [len(axes.get_lines()) for axes in figure.axes] == [1, 0, 1]
    assert figure.axes[1].texts


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_last_and_best_values_and_when_the_first_run_is_reached(runs: list[Run]) -> None:
    header, _, slow, soon = comparison_table(runs, markdown=True).splitlines()
    names = ["run", "iterations", "images", "time", "AP", "AP50", "PQ", "best AP", "at iteration"]
    assert cells(header) == [*names, "30.0 reached at"]
    assert cells(slow) == ["slow", "1000", "16000", "0:33:20", "30.0", "40.0", "", "30.0", "1000", "1000"]
    assert cells(soon)[1:] == ["500", "4000", "0:33:20", "29.0", "50.0", "55.5", "30.0", "250", "250"]


def test_a_run_that_does_not_reach_the_first_has_no_such_iteration(runs: list[Run], tmp_path: Path) -> None:
    low = write_run(tmp_path / "low", {9: {"bbox/AP": 1.0}})
    table = comparison_table([*runs, *read_runs([low])], markdown=True)
    assert cells(table.splitlines()[-1]) == ["low", "10", "160", "", "1.0", "", "", "1.0", "10", ""]


def test_a_run_alone_has_nothing_to_reach(runs: list[Run]) -> None:
    assert "reached" not in comparison_table(runs[:1])


def test_a_run_without_the_first_metric_has_a_line(tmp_path: Path, runs: list[Run]) -> None:
    panoptic = write_run(tmp_path / "007", {9: {"panoptic_seg/PQ": 50.0}})
    table = comparison_table([*read_runs([panoptic]), *runs], markdown=True)
    line = cells(table.splitlines()[2])
    assert line == ["007", "10", "160", "", "", "", "50.0", "", ""]


def test_a_bar_in_a_name_does_not_end_its_cell(tmp_path: Path) -> None:
    table = comparison_table(read_runs([write_run(tmp_path / "a|b", SLOW)]), markdown=True)
    assert "| a\\|b " in table
