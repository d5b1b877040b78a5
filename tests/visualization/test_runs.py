"""Runs as they are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr_d2.errors import ConfigError, MissingFileError, UserError
from detr_d2.visualization import read_runs
from detr_d2.visualization.runs import unique_names

from .run_files import write_run

LINES = {
    4: {"time": 2.0},  # the first 5 iterations
    9: {"time": 1.0, "bbox/AP": 10.0},
    12: {"total_loss": 1.0},
    19: {"time": 3.0, "bbox/AP": float("nan")},
    20: {"bbox/AP": 30.0},
}


def test_evaluations_are_those_with_a_finite_value_and_none_comes_after_the_end(tmp_path: Path) -> None:
    (run,) = read_runs([write_run(tmp_path / "a", LINES, batch_size=8, max_iter=20)])
    done, values = run.evaluations("bbox/AP")
    assert (done.tolist(), values.tolist()) == ([10, 20], [10.0, 30.0])
    assert (run.name, run.iterations, run.batch_size) == ("a", 20, 8)
    assert [len(side) for side in run.evaluations("bbox/AP50")] == [0, 0]


def test_time_is_the_sum_over_the_iterations_that_each_line_stands_for(tmp_path: Path) -> None:
    (run,) = read_runs([write_run(tmp_path / "a", LINES, max_iter=40)])
    each = [2.0] * 5 + [1.0] * 5 + [3.0] * 10 + [3.0] * 4
    expected = [sum(each[:count]) for count in range(len(each) + 1)]
    np.testing.assert_allclose(run.seconds(np.arange(len(each) + 1.0)), expected)


def test_a_run_without_times_has_none(tmp_path: Path) -> None:
    (run,) = read_runs([write_run(tmp_path / "a", {9: {"bbox/AP": 1.0}, 19: {"time": float("nan")}})])
    assert np.isnan(run.seconds(np.array([5.0, 20.0]))).all()


def test_of_several_data_sets_the_first_counts(tmp_path: Path) -> None:
    lines = {9: {"one/bbox/AP": 1.0, "two/bbox/AP": 2.0}}
    (run,) = read_runs([write_run(tmp_path / "a", lines, tests=("two", "one"))])
    assert run.evaluations("bbox/AP")[1].tolist() == [2.0]


def test_a_resumed_run_counts_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {9: {"time": 1.0, "bbox/AP": 1.0}, 19: {"time": 1.0}})
    more = '{"iteration": 9, "time": 5.0, "bbox/AP": 2.0}\n{"iteration": 19, "time": 5.0}\n'
    with (folder / "metrics.json").open("a") as file:
        file.write(more)
    (run,) = read_runs([folder])
    assert run.seconds(np.array([20.0])).tolist() == [100.0]
    assert run.evaluations("bbox/AP")[1].tolist() == [2.0]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/x/a", "/x/b"], ["a", "b"]),
        (["/x/a/out", "/x/b/out", "/x/c"], ["a/out", "b/out", "c"]),
        (["/x/a/1/out", "/x/b/1/out", "/x/a/2/out"], ["a/1/out", "b/1/out", "2/out"]),
        (["/x/a", "/x/a"], ["a (1)", "a (2)"]),
        (["/out", "/x/out"], ["/out", "x/out"]),
    ],
)
def test_equal_names_get_the_parts_of_the_paths_that_differ(folders: list[str], names: list[str]) -> None:
    assert unique_names([Path(folder) for folder in folders]) == names


def test_a_relative_path_is_called_as_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "mine", LINES)
    monkeypatch.chdir(folder)
    (run,) = read_runs(["."])
    (same,) = read_runs(["metrics.json"])
    assert (run.name, same.name) == ("mine", "mine")


@pytest.mark.parametrize("missing", ["metrics.json", "config.yaml"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    good, bad = (write_run(tmp_path / name, LINES) for name in ("good", "bad"))
    (bad / missing).unlink()
    with pytest.raises(MissingFileError) as error:
        read_runs([good, bad])
    assert str(bad / missing) in str(error.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as error:
        read_runs([tmp_path / "absent"])
    assert str(tmp_path / "absent") in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "SOLVER: 5",
        "{a: [",
        "\x00",
        "SOLVER: {IMS_PER_BATCH: 0, MAX_ITER: 10}\nDATASETS: {TEST: []}",
        "SOLVER: {IMS_PER_BATCH: four, MAX_ITER: 10}\nDATASETS: {TEST: []}",
        "SOLVER: {IMS_PER_BATCH: 4}\nDATASETS: {TEST: []}",
        "SOLVER: {IMS_PER_BATCH: 4, MAX_ITER: 10}",
        "SOLVER: {IMS_PER_BATCH: 4, MAX_ITER: 10}\nDATASETS: {TEST: 5}",
        "when: 2020-99-99",
    ],
)
def test_what_is_no_config_of_a_training_is_named(tmp_path: Path, text: str) -> None:
    folder = write_run(tmp_path / "a", LINES)
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_runs([folder])
    assert str(folder / "config.yaml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_without_an_evaluation_is_named(tmp_path: Path) -> None:
    good = write_run(tmp_path / "good", LINES)
    bad = write_run(tmp_path / "bad", {9: {"total_loss": 1.0, "bbox/AP": float("nan")}})
    with pytest.raises(UserError, match="EVAL_PERIOD") as error:
        read_runs([good, bad])
    assert str(error.value).startswith(str(bad))
