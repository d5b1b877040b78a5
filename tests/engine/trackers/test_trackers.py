"""What trackers get of a training, and what a training does where they fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from detr_d2.engine import DetrTrainer
from detr_d2.engine.trackers import TRACKERS, build_trackers
from detr_d2.engine.trackers.tracker import Pictures, Tracker
from detr_d2.errors import ConfigError

from ..kill import assert_same_bits
from ..test_trainer import train


class Noting(Tracker):
    """Notes what it gets; fails when told to."""

    def __init__(self, fails: bool = False):
        super().__init__(window=3)
        self.sent: list[tuple[dict[str, float], list[str], int]] = []
        self.fails, self.finished, self.run = fails, False, -1

    def start(self, run: int) -> None:
        self.run = run

    def send(self, scalars: dict[str, float], pictures: Pictures, iteration: int) -> None:
        self.sent.append((scalars, [name for name, _ in pictures], iteration))
        if self.fails:
            raise OSError("the network is gone")

    def finish(self) -> None:
        self.finished = True


def test_each_write_sends_what_is_new(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Noting()
    with EventStorage() as storage:
        tracker.write()
        for storage.iter in range(3):
            storage.put_scalar("loss", [1.0, 9.0, 2.0][storage.iter])
        storage.put_image("image", np.zeros((3, 2, 5), dtype=np.uint8))
        storage.iter = 2
        tracker.write()
        storage.clear_images()
        tracker.write()
        storage.iter = 5
        storage.put_scalar("AP", 7.0, smoothing_hint=False)
        tracker.write()
    tracker.close()
    assert tracker.sent == [({"loss": 2.0}, ["image"], 2), ({"AP": 7.0}, [], 5)]
    assert tracker.finished


def test_one_that_fails_is_said_once_and_gets_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Noting(fails=True)
    with EventStorage() as storage:
        for storage.iter in range(3):
            storage.put_scalar("loss", 1.0)
            tracker.write()
    tracker.close()
    assert len(tracker.sent) == 1
    assert len([r for r in caplog.records if r.exc_info and "Noting" in r.getMessage()]) == 1


def test_one_that_fails_does_not_change_the_training(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = training_config
    torch.manual_seed(0)
    train(cfg, [1.0])
    plain = torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")
    kind = TRACKERS["wandb"]
    built: list[Noting] = []
    monkeypatch.setitem(
        TRACKERS, "wandb", kind._replace(build=lambda cfg: built.append(Noting(True)) or built[-1])
    )
    cfg.TRACKING.WRITERS, cfg.OUTPUT_DIR = ("wandb",), cfg.OUTPUT_DIR + "_tracked"
    torch.manual_seed(0)
    trainer = train(cfg, [1.0])
    assert_same_bits(torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth"), plain)
    (tracker,) = built
    assert tracker.run == trainer.run
    assert not list(Path(cfg.OUTPUT_DIR).glob("events.*")), "TensorBoard is not among them"


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_extra_is_an_error_before_the_training(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    training_config.TRACKING.WRITERS = (name,)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"TRACKING\.WRITERS.*'{name}'.*pip install") as error:
        DetrTrainer(training_config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("WRITERS", ("comet",)), ("PICTURES", -1)])
def test_values_that_cannot_be_are_named(training_config: CfgNode, key: str, value: Any) -> None:
    training_config.TRACKING[key] = value
    with pytest.raises(ConfigError, match=rf"TRACKING\.{key}"):
        build_trackers(training_config)


def test_tensorboard_has_scalars_and_pictures_of_each_evaluation(training_config: CfgNode) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.TEST.EVAL_PERIOD, cfg.TRACKING.PICTURES = 6, (), 2, 2
    cfg.TRACKING.WRITERS = ("tensorboard", "mlflow", "wandb")[:1]
    train(cfg, [10.0, 20.0, 30.0])
    events = EventAccumulator(cfg.OUTPUT_DIR, {"images": 0, "scalars": 0}).Reload()
    assert [event.value for event in events.Scalars("bbox/AP")] == [10.0, 20.0, 30.0]
    pictures = events.Tags()["images"]
    assert len(pictures) == 2
    assert [event.step for event in events.Images(pictures[0])] == [1, 3, 6]
    assert events.Images(pictures[0])[0].width > events.Images(pictures[0])[0].height


def test_a_storage_is_empty_of_pictures_after_all_have_written(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.TRACKING.WRITERS, cfg.TRACKING.PICTURES = (), 2
    assert train(cfg, [1.0]).storage._vis_data == []
    lines = (Path(cfg.OUTPUT_DIR) / "metrics.json").read_text().splitlines()
    assert json.loads(lines[-1])["bbox/AP"] == 1.0
