"""Reading metrics.json."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage, JSONWriter

from detr_d2.visualization import read_metrics


def write(path: Path, *lines: dict[str, float] | str) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def test_what_detectron2s_writer_wrote_is_read_back(tmp_path: Path) -> None:
    writer = JSONWriter(str(tmp_path / "metrics.json"), window_size=1)
    values = [3.0, 2.5, 2.25]
    with EventStorage(0) as storage:
        for value in values:
            storage.put_scalars(total_loss=torch.tensor(value))
            storage.put_scalar("lr", 1e-4, smoothing_hint=False)
            writer.write()
            storage.step()
    writer.close()
    metrics = read_metrics(tmp_path)
    steps, losses = metrics.series("total_loss")
    assert steps.tolist() == [0, 1, 2]
    assert losses.tolist() == values
    assert metrics.names() == ["lr", "total_loss"]


def test_metrics_that_are_only_in_some_lines_have_their_own_iterations(tmp_path: Path) -> None:
    file = write(
        tmp_path / "m.json",
        {"iteration": 19, "total_loss": 4.0},
        {"iteration": 39, "total_loss": 3.0, "bbox/AP": 12.5},
    )
    steps, values = read_metrics(file).series("bbox/AP")
    assert steps.tolist() == [39]
    assert values.tolist() == [12.5]
    assert [len(side) for side in read_metrics(file).series("no such metric")] == [0, 0]


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    file = write(
        tmp_path / "m.json",
        {"iteration": 10, "loss": 1.0},
        {"iteration": 20, "loss": 2.0},
        {"iteration": 30, "loss": 3.0, "bbox/AP": 1.0},
        {"iteration": 40, "loss": 4.0},
        {"iteration": 20, "loss": 22.0},
        {"iteration": 30, "loss": 33.0},
    )
    metrics = read_metrics(file)
    assert metrics.by_iteration == {10: {"loss": 1.0}, 20: {"loss": 22.0}, 30: {"loss": 33.0}}


def test_two_lines_of_one_iteration_are_put_together(tmp_path: Path) -> None:
    file = write(tmp_path / "m.json", {"iteration": 10, "a": 1.0, "b": 1.0}, {"iteration": 10, "b": 2.0})
    assert read_metrics(file).by_iteration == {10: {"a": 1.0, "b": 2.0}}


def test_a_last_line_that_was_cut_off_is_left_out_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = json.dumps({"iteration": 40, "loss": 5.25})
    for length in range(1, len(whole)):
        file = write(tmp_path / "m.json", {"iteration": 20, "loss": 6.0}, whole[:length])
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            metrics = read_metrics(file)
        assert metrics.by_iteration == {20: {"loss": 6.0}}, whole[:length]
        assert metrics.broken_lines == (2,)
        assert f"{file}: 1 line(s)" in caplog.text
    assert read_metrics(write(tmp_path / "m.json", whole)).broken_lines == ()


def test_the_line_that_follows_a_cut_off_one_is_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path / "m.json",
        {"iteration": 20, "loss": 6.0},
        '{"iteration": 40, "lo',
        {"iteration": 30, "loss": 5.0},
        {"iteration": 50, "loss": 4.0},
    )
    metrics = read_metrics(file)
    assert metrics.by_iteration == {20: {"loss": 6.0}, 30: {"loss": 5.0}, 50: {"loss": 4.0}}
    assert metrics.broken_lines == (2,)


def test_values_that_are_not_finite_stay(tmp_path: Path) -> None:
    file = write(tmp_path / "m.json", '{"iteration": 1, "bbox/AP": NaN, "text": "x"}\n')
    metrics = read_metrics(file)
    assert metrics.names() == ["bbox/AP"]
    assert math.isnan(metrics.series("bbox/AP")[1][0])
    assert metrics.series("bbox/AP")[0].dtype == np.int64


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.json does not exist"):
        read_metrics(tmp_path)


def test_a_line_that_lost_its_start_is_left_out(tmp_path: Path) -> None:
    file = write(tmp_path / "m.json", {"iteration": 20, "loss": 6.0}, '"iteration": 40, "loss": 5.0}\n')
    metrics = read_metrics(file)
    assert metrics.by_iteration == {20: {"loss": 6.0}}
    assert metrics.broken_lines == (2,)


@pytest.mark.parametrize("content", ["", "\n\n", "not json\n", "[1, 2]\n", '{"loss": 1.0}\n'])
def test_a_file_without_metrics_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValueError, match=r"m\.json holds no metrics"):
        read_metrics(write(tmp_path / "m.json", content))
