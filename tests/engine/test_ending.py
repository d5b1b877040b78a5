"""When one of several processes fails, all end in seconds, with one message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detr_d2.engine.failed_step import load_failed_step

from .helpers import write_dataset
from .processes_failing import FAILS_AT

ROOT = Path(__file__).parents[2]
SECONDS = 10.0


def fail(folder: Path, case: str, *starter: str) -> tuple[int, str, float]:
    """Exit status, all that was said, and seconds from the failure to the end of two processes."""
    cfg = write_dataset(folder)
    cfg.MODEL.RESNETS.NORM = "FrozenBN"  # batch norm would spread a NaN over the batch
    cfg.SOLVER.CHECKPOINT_PERIOD = FAILS_AT  # saved right before it
    cfg.SOLVER.MAX_ITER = FAILS_AT + 1 if "last" in case else 8
    cfg.DATALOADER.NUM_WORKERS = 1
    file = folder / "config.yaml"
    file.write_text(cfg.dump())
    module = ["-m", "tests.engine.processes_failing", case.removesuffix(" in last"), str(folder)]
    own = ["--num-processes", "2"] if not starter else []
    command = [*(starter or [sys.executable]), *module, "--config-file", str(file), *own]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    assert (folder / "failed").exists(), done.stdout
    ended = folder / "ended"  # written by the program that started the processes
    end = ended.stat().st_mtime if ended.exists() else time.time()
    return done.returncode, done.stdout, end - (folder / "failed").stat().st_mtime


def errors(said: str) -> list[str]:
    """The messages of a program."""
    starts = ("error:", "Traceback (most recent call last)", "RuntimeError")
    return [line for line in said.splitlines() if line.startswith(starts)]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["exception", "exception in last"])
def test_an_exception_on_one_rank_ends_both_with_its_traceback_alone(tmp_path: Path, case: str) -> None:
    status, said, seconds = fail(tmp_path, case)
    assert status == 1
    assert errors(said) == ["Traceback (most recent call last):", "RuntimeError: rank 1 has had enough"], said
    assert seconds < SECONDS
    log = (tmp_path / "output" / "log.txt.rank1").read_text()
    assert "rank 1 has had enough" in log


@pytest.mark.slow
def test_a_process_that_a_signal_ends_is_named_and_ends_the_other(tmp_path: Path) -> None:
    status, said, seconds = fail(tmp_path, "killed")
    assert status == 128 + 9
    (line,) = errors(said)
    assert "process 1" in line
    assert "SIGKILL" in line
    assert seconds < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("case", ["nan", "nan in gradient"])
def test_a_nan_on_one_rank_while_the_other_saves_ends_both_and_names_the_image(
    tmp_path: Path, case: str
) -> None:
    status, said, seconds = fail(tmp_path, case)
    assert status == 2
    (line,) = errors(said)
    output = tmp_path / "output"
    kept = sorted(path.name for path in output.glob("non_finite_*"))
    if case == "nan":
        assert kept == [f"non_finite_{FAILS_AT:07d}_rank1.pth"]
        images = [x["file_name"] for x in load_failed_step(str(output / kept[0])).step.micro_batches[0]]
        assert images[1] in line
        assert images[0] not in line
    else:
        assert len(kept) == 2
    assert all(name in line for name in kept)
    assert seconds < SECONDS
    # What rank 0 was saving is there, and whole.
    assert (output / "last_checkpoint").read_text() == f"model_{FAILS_AT - 1:07d}.pth"
    torch.load(output / f"model_{FAILS_AT - 1:07d}.pth")
    assert not list(output.glob("*unfinished*"))
    lines = [json.loads(text) for text in (output / "metrics.json").read_text().splitlines()]
    assert [x["iteration"] for x in lines] == [FAILS_AT - 1]
    assert "error" in (output / "log.txt").read_text().lower()


@pytest.mark.slow
def test_torchrun_ends_with_the_first_message(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    status, said, seconds = fail(tmp_path, "exception", *torchrun)
    assert status == 1
    assert said.count("RuntimeError: rank 1 has had enough") == 1
    assert said.count("Connection closed by peer") == 0
    assert seconds < SECONDS
