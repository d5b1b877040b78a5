"""A user's mistake is one line with status 2, and a bug keeps its traceback, whoever's it is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.engine import HookBase

from detr_d2.data import DetrDatasetMapper
from detr_d2.engine import DetrTrainer, argument_parser, launch
from detr_d2.tools.train import run as main


def arguments(folder: Path, *words: str) -> argparse.Namespace:
    return argument_parser().parse_args(["--config-file", str(folder / "config.yaml"), *words])


def edit_json(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    (file,) = folder.glob("*.json")
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def edit_config(folder: Path, old: str, new: str) -> None:
    file = folder / "config.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


MISTAKES: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "a key that does not exist": (lambda f: None, ("MODEL.DETR.NUM_QUERY", "3"), "MODEL.DETR.NUM_QUERY"),
    "a value of another type": (lambda f: None, ("MODEL.DETR.NHEADS", "many"), "MODEL.DETR.NHEADS"),
    "a key without value": (lambda f: None, ("MODEL.DETR.NHEADS",), "MODEL.DETR.NHEADS"),
    "a config that is no YAML": (
        lambda f: edit_config(f, "MODEL:", "MODEL: ["),
        (),
        "config.yaml",
    ),
    "a config with an unknown key": (lambda f: edit_config(f, "NHEADS", "NHEDS"), (), "NHEDS"),
    "a config that is not there": (lambda f: (f / "config.yaml").unlink(), (), "config.yaml"),
    "a data set that is not registered": (lambda f: None, ("DATASETS.TRAIN", "('nobody_s',)"), "nobody_s"),
    "a test set that is not registered": (lambda f: None, ("DATASETS.TEST", "('nobody_s',)"), "nobody_s"),
    "a test set, evaluated": (lambda f: None, ("--eval-only", "DATASETS.TEST", "('nobody_s',)"), "nobody_s"),
    "no training set": (lambda f: None, ("DATASETS.TRAIN", "()"), "DATASETS.TRAIN"),
    "a json that is none": (lambda f: next(f.glob("*.json")).write_text("{"), (), ".json"),
    "a json that is not there": (lambda f: next(f.glob("*.json")).unlink(), (), ".json"),
    "an image that is not there": (lambda f: sorted(f.rglob("*.png"))[0].unlink(), (), ".png"),
    "an image that is empty": (lambda f: sorted(f.rglob("*.png"))[0].write_bytes(b""), (), ".png"),
    "a repeated image": (
        lambda f: edit_json(f, lambda c: c["images"].append(c["images"][0])),
        (),
        "id",
    ),
    "weights that are not there": (lambda f: None, ("MODEL.WEIGHTS", "absent.pth"), "absent.pth"),
    "weights that are none": (
        lambda f: (f / "bad.pth").write_text("weights"),
        ("MODEL.WEIGHTS", "{folder}/bad.pth"),
        "bad.pth",
    ),
    "an unknown model": (lambda f: None, ("MODEL.META_ARCHITECTURE", "Dter"), "MODEL.META_ARCHITECTURE"),
    "an unknown backbone": (lambda f: None, ("MODEL.BACKBONE.NAME", "build_x"), "MODEL.BACKBONE.NAME"),
    "an unknown device": (lambda f: None, ("MODEL.DEVICE", "gpu"), "MODEL.DEVICE"),
    "an unknown mapper": (lambda f: None, ("INPUT.DATASET_MAPPER_NAME", "X"), "INPUT.DATASET_MAPPER_NAME"),
    "an unknown optimizer": (lambda f: None, ("SOLVER.OPTIMIZER", "LION"), "SOLVER.OPTIMIZER"),
    "too few classes": (lambda f: None, ("MODEL.DETR.NUM_CLASSES", "1"), "MODEL.DETR.NUM_CLASSES"),
    "a batch that cannot be divided": (
        lambda f: None,
        ("SOLVER.ACCUMULATION_STEPS", "7"),
        "SOLVER.ACCUMULATION_STEPS",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(
    case: str, training_config: CfgNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words, named = MISTAKES[case]
    spoil(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        launch(main, arguments(tmp_path, *(word.format(folder=tmp_path) for word in words)))
    assert exit_.value.code == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert named in line


class Bug(Exception):
    """None of ours."""


@pytest.mark.parametrize("kind", [KeyError, ValueError, FileNotFoundError, AssertionError, Bug])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_mapper_keeps_its_traceback(
    kind: type[Exception],
    workers: int,
    training_config: CfgNode,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def buggy(self: DetrDatasetMapper, record: dict[str, Any]) -> dict[str, Any]:
        raise kind("x")

    monkeypatch.setattr(DetrDatasetMapper, "__call__", buggy)
    with pytest.raises(kind) as error:
        launch(main, arguments(tmp_path, "DATALOADER.NUM_WORKERS", str(workers)))
    text = str(error.value) + "".join(str(entry) for entry in error.traceback)
    assert "buggy" in text


@pytest.mark.parametrize("kind", [KeyError, ValueError, FileNotFoundError, FloatingPointError])
def test_a_bug_in_a_hook_keeps_its_traceback(
    kind: type[Exception], training_config: CfgNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Buggy(HookBase):
        def after_step(self) -> None:
            raise kind("x")

    build = DetrTrainer.build_hooks
    monkeypatch.setattr(DetrTrainer, "build_hooks", lambda self: [*build(self), Buggy()])
    with pytest.raises(kind, match="x"):
        launch(main, arguments(tmp_path))
