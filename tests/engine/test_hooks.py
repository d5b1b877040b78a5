"""Trainers that build other hooks, as Detectron2's tutorials show."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks

from detr_d2.engine import DetrTrainer

from .kill import assert_same_bits
from .test_trainer import Scripted, ScriptedTrainer


class Counter(HookBase):
    """A hook with a state of its own."""

    def __init__(self) -> None:
        self.steps = 0

    def before_step(self) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.steps = state["steps"]


class Inserting(ScriptedTrainer):
    def build_hooks(self) -> list[HookBase]:
        built = super().build_hooks()
        built.insert(-1, Counter())
        return built


class Own(ScriptedTrainer):
    """A list of Detectron2's hooks alone."""

    def build_hooks(self) -> list[HookBase]:
        return [
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            Counter(),
            hooks.PeriodicCheckpointer(self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD),
            hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, lambda: self.test(self.cfg, self.model)),
            hooks.PeriodicWriter(self.build_writers(), period=1),
        ]


def train(kind: type[DetrTrainer], cfg: CfgNode, resume: bool = False) -> DetrTrainer:
    Scripted.scores = iter([1.0] * 10)
    ScriptedTrainer.evaluated = []
    torch.manual_seed(0)
    trainer = kind(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


@pytest.mark.parametrize("kind", [Inserting, Own])
def test_a_trainer_with_other_hooks_resumes_to_the_same_bits(
    training_config: CfgNode, kind: type[DetrTrainer]
) -> None:
    cfg = training_config
    cfg.SOLVER.EMA.ENABLED, cfg.SOLVER.CHECKPOINT_PERIOD = True, 3
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 5, ()
    output = Path(cfg.OUTPUT_DIR)
    train(kind, cfg)
    whole = torch.load(output / "model_final.pth")
    assert whole["trainer"]["ema"]["num_updates"] == 5
    (output / "last_checkpoint").write_text("model_0000002.pth")
    resumed = train(kind, cfg, resume=True)
    assert_same_bits(torch.load(output / "model_final.pth"), whole)
    assert [hook.steps for hook in resumed._hooks if isinstance(hook, Counter)] == [5]


@pytest.mark.parametrize("kind", [Inserting, Own])
def test_a_failure_in_the_last_iteration_is_not_taken_for_the_end(
    training_config: CfgNode, kind: type[DetrTrainer]
) -> None:
    """Else the process that failed would evaluate, with others that do not."""
    cfg = training_config
    cfg.SOLVER.MAX_ITER = 2

    class Failing(kind):  # type: ignore[misc, valid-type]
        def run_step(self) -> None:
            if self.iter == 1:
                raise RuntimeError("enough")
            super().run_step()

    with pytest.raises(RuntimeError, match="enough"):
        train(Failing, cfg)
    assert Failing.evaluated == []
