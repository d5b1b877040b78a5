from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.data import register_configured
from detr_d2.engine import DetrTrainer, argument_parser, launch
from detr_d2.engine.early_stopping import Evaluations
from detr_d2.engine.evaluation import validation_losses

from .helpers import write_dataset
from .kill_stopping import SCORES, Declining, stopping, values_of
from .processes_stopping import main
from .test_trainer import Scripted, ScriptedTrainer, best, train

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ([], 0),
        ([5.0], 0),
        ([5.0, 5.0], 1),  # not better
        ([5.0, 4.0, None, 6.0, 1.0], 1),
        ([5.0, None, None], 2),
        ([0.0, 0.0, 0.0], 0),  # nothing is found yet
        ([None, None], 0),  # the metric is not among the results
        ([0.0, 0.1, 0.0], 1),
    ],
)
def test_evaluations_since_the_best_are_counted(
    values: list[float | None], since: int, tmp_path: Path
) -> None:
    evaluations = Evaluations(str(tmp_path), ["bbox/AP"])
    evaluations.values = dict(enumerate(values, start=1))
    assert evaluations.since_best()[0] == since


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run": 3}', '{"run": 3, "metrics": ["x"], "values": 1}'])
def test_a_damaged_file_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluations.json").write_text(text)
    evaluations = Evaluations(str(tmp_path), ["x"])
    evaluations.resume(3, 10)
    assert evaluations.values == {}


def patient(cfg: CfgNode) -> CfgNode:
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 12, (), 4
    cfg.TEST.EVAL_PERIOD, cfg.TEST.PATIENCE = 2, 2
    return cfg


def test_the_training_ends_as_always_after_so_many_evaluations_without_a_gain(
    training_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = patient(training_config)
    cfg.TEST.REPORT = True
    trainer = train(cfg, [10.0, 30.0, 20.0, 29.0])  # after 8 iterations; another evaluation would fail
    output = Path(cfg.OUTPUT_DIR)
    assert (trainer.iter, trainer.max_iter) == (8, 8)
    assert best(cfg)["iteration"] == 3
    final = torch.load(output / "model_final.pth")
    assert final["iteration"] == final["trainer"]["iteration"] == 7
    assert torch.equal(final["model"]["class_embed.weight"], trainer.model.class_embed.weight)
    assert (output / "last_checkpoint").read_text() == "model_final.pth"
    assert (output / "report.html").exists()
    assert [r for r in caplog.records if "TEST.PATIENCE" in r.getMessage()]
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    assert [line["bbox/AP"] for line in lines if "bbox/AP" in line] == [10.0, 30.0, 20.0, 29.0]


def test_expected_results_are_still_asked_for(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    cfg.TEST.EXPECTED_RESULTS = [["bbox", "AP", 29.0, 0.1]]
    train(cfg, [10.0, 30.0, 20.0, 29.0])
    cfg.TEST.EXPECTED_RESULTS = [["bbox", "AP", 30.0, 0.1]]
    with pytest.raises(SystemExit):
        train(cfg, [10.0, 30.0, 20.0, 29.0])


def test_gains_and_the_default_train_to_the_end(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    assert train(cfg, [1.0, 2.0, 1.5, 2.5, 2.0, 3.0]).iter == 12
    cfg.TEST.PATIENCE = 0
    assert train(cfg, [5.0, 4.0, 3.0, 2.0, 1.0, 1.0]).iter == 12


def test_the_last_evaluation_ends_nothing_sooner(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    cfg.SOLVER.MAX_ITER = 8
    trainer = train(cfg, [10.0, 30.0, 20.0, 29.0])
    assert trainer.iter == 8


def test_the_count_goes_on_over_a_resume(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    cfg.SOLVER.CHECKPOINT_PERIOD = 5
    train(cfg, [30.0, 20.0], until=5)
    assert train(cfg, [10.0], resume=True).iter == 6


def test_an_evaluation_that_a_kill_came_before_is_made_up_for(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    cfg.TEST.PATIENCE = 0

    class Killed(ScriptedTrainer):
        def _evaluate(self) -> dict[str, float]:
            if self.iter == 3:  # its checkpoint is written already
                raise KeyboardInterrupt
            return super()._evaluate()

    Scripted.scores, ScriptedTrainer.evaluated = iter([10.0]), []
    trainer = Killed(cfg)
    trainer.resume_or_load(resume=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    train(cfg, [30.0, 20.0, 20.0, 20.0, 20.0], resume=True)
    assert best(cfg) == {"metric": "bbox/AP", "value": 30.0, "iteration": 3}
    lines = [json.loads(x) for x in (Path(cfg.OUTPUT_DIR) / "metrics.json").read_text().splitlines()]
    assert [x["iteration"] for x in lines if x.get("bbox/AP") == 30.0] == [3]


def test_a_training_that_ended_ends_again_unless_it_is_to_go_on(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    train(cfg, [10.0, 30.0, 20.0, 29.0])
    final = (Path(cfg.OUTPUT_DIR) / "model_final.pth").read_bytes()
    assert train(cfg, [29.0], resume=True).iter == 8
    assert (Path(cfg.OUTPUT_DIR) / "model_final.pth").read_bytes() == final
    assert best(cfg)["iteration"] == 3
    cfg.TEST.PATIENCE = 3
    trainer = train(cfg, [40.0, 20.0], resume=True)
    assert (trainer.start_iter, trainer.iter) == (8, 12)
    assert best(cfg)["iteration"] == 9


def test_evaluations_of_another_training_in_the_folder_do_not_count(training_config: CfgNode) -> None:
    cfg = patient(training_config)
    train(cfg, [90.0, 1.0, 1.0])
    assert train(cfg, [10.0, 30.0, 20.0, 29.0]).iter == 8
    assert values_of(cfg) == {"2": 10.0, "4": 30.0, "6": 20.0, "8": 29.0}


@pytest.mark.parametrize(("key", "value"), [("EVAL_PERIOD", 0), ("BEST_METRIC", "")])
def test_a_patience_that_counts_nothing_is_said(
    training_config: CfgNode, key: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = patient(training_config)
    cfg.TEST[key] = value
    assert train(cfg, [3.0, 2.0, 1.0, 1.0, 1.0, 1.0]).iter == 12
    assert [r for r in caplog.records if r.levelname == "WARNING" and "TEST.PATIENCE" in r.getMessage()]


def test_trainers_without_the_hook_train_to_the_end(training_config: CfgNode) -> None:
    cfg = patient(training_config)

    class Own(ScriptedTrainer):
        def build_hooks(self) -> list:
            return DetrTrainer.build_hooks(self)[:-1]

    Scripted.scores, ScriptedTrainer.evaluated = iter([1.0] * 6), []
    trainer = Own(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    assert trainer.iter == 12


@pytest.mark.slow
def test_killed_before_any_of_its_files_and_resumed_equals_uninterrupted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.kill_stopping", "--every", "3"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bits" in done.stdout


@pytest.mark.slow
def test_two_processes_end_together(tmp_path: Path) -> None:
    cfg = stopping(write_dataset(tmp_path), "two")
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    file = tmp_path / "test.yaml"
    file.write_text(cfg.dump())
    launch(main, argument_parser().parse_args(["--config-file", str(file), "--num-processes", "2"]))
    folder = Path(cfg.OUTPUT_DIR)
    assert [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)] == [[(0, 8, 8), (8, 8, 8)]] * 2
    assert values_of(cfg) == {str(done): SCORES[done] for done in (2, 4, 6, 8)}
    losses = [
        json.loads(line)["val/total_loss"]
        for line in (folder / "metrics.json").read_text().splitlines()
        if "val/total_loss" in line
    ]
    assert len(losses) == 5
    assert losses[3] == pytest.approx(losses[4], rel=1e-6), "of the same weights, after the resume"
    weights = torch.load(folder / "model_final.pth")["model"]
    cfg.OUTPUT_DIR = str(tmp_path / "one")
    register_configured(cfg)
    cfg.SOLVER.MAX_ITER = 8
    alone = Declining(cfg)
    alone.checkpointer.model.load_state_dict(weights)
    value = validation_losses(cfg, alone.checkpointer.model)["val"]["total_loss"]
    assert losses[3] == pytest.approx(value, rel=1e-5), "and in one process"
