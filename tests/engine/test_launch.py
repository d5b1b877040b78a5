"""Errors on the way from the command line to a running program are one line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.engine import DetrTrainer, argument_parser, launch
from detr_d2.errors import UserError, explained, message

ROOT = Path(__file__).parents[2]


def never(args: argparse.Namespace) -> None:
    raise AssertionError("the program must not be started")


def error_line(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the program says when it is started so."""
    with pytest.raises(SystemExit) as exit_:
        launch(never, argument_parser().parse_args(list(words)))
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("_no_gpu")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--num-gpus", "2"), "--num-gpus 2: PyTorch sees 0 GPUs"),
        ((), "MODEL.DEVICE is 'cuda', but PyTorch sees no GPU here: add MODEL.DEVICE cpu"),
        (("--num-processes", "2"), "add MODEL.DEVICE cpu"),
        (("--num-processes", "2", "--num-gpus", "1", "MODEL.DEVICE", "cpu"), "exclude each other"),
        (("--config-file", "no/such.yaml"), "--config-file no/such.yaml does not exist"),
        (("MODEL.DETR.NUM_QUERIES", "5"), "Non-existent key: MODEL.DETR.NUM_QUERIES"),
        (("MODEL.DETR.NHEADS", "many"), "MODEL.DETR.NHEADS"),
        (("MODEL.DETR.NHEADS",), "command line: "),
        (("--num-machines", "2", "--num-processes", "1", "MODEL.DEVICE", "cpu"), "needs --dist-url"),
    ],
)
def test_a_wrong_command_line_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert said in error_line(capsys, *words)


def test_a_wrong_key_in_a_config_file_is_said_with_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("MODEL:\n  DETR:\n    NUM_HEADS: 8\n")
    line = error_line(capsys, "--config-file", str(file))
    assert "wrong.yaml: " in line
    assert "MODEL.DETR.NUM_HEADS" in line


def test_one_process_runs_the_program_itself() -> None:
    args = argument_parser().parse_args(["MODEL.DEVICE", "cpu"])
    assert launch(lambda given: given, args) is args


def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETR_D2_TRACEBACK", "1")
    with pytest.raises(UserError, match="wrong"), explained():
        raise UserError("wrong")


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, ValueError, FileNotFoundError, FloatingPointError])
def test_other_errors_keep_their_traceback(kind: type[Exception]) -> None:
    with pytest.raises(kind), explained():
        raise kind("a mistake in the code")


def test_an_error_in_a_loaders_worker_is_said_in_its_own_words(training_config: CfgNode) -> None:
    """The image goes away after the data set was checked."""
    cfg = training_config
    cfg.DATALOADER.NUM_WORKERS = 1
    trainer = DetrTrainer(cfg)
    build = DetrTrainer.build_train_loader

    def build_and_spoil(*args: object) -> object:
        loader = build(*args)  # type: ignore[arg-type]
        for image in Path(cfg.OUTPUT_DIR).parent.glob("*.png"):
            image.write_bytes(b"no image")
        return loader

    trainer.build_train_loader = build_and_spoil  # type: ignore[method-assign, assignment]
    with pytest.raises(ValueError, match="worker process") as error:
        trainer.train()
    said = message(error.value)
    assert ".png" in said
    assert "Traceback" not in said
    assert "\n" not in said


@pytest.mark.slow
def test_eval_only_prints_the_table_and_its_lines_for_copying(
    training_config: CfgNode, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    command = [sys.executable, "train_net.py", "--config-file", str(file), "--eval-only"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Average Precision  (AP) @[ IoU=0.50:0.95" in done.stdout
    assert "copypaste: AP,AP50,AP75,APs,APm,APl" in done.stdout
    assert Path(training_config.OUTPUT_DIR, "config.yaml").exists()
