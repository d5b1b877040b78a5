from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator

from detr_d2.engine import DetrTrainer
from detr_d2.engine.data import check_data
from detr_d2.errors import ConfigError
from detr_d2.modeling.fast import FastInference


class Scripted(DatasetEvaluator):
    """Results that a test has written down, one after the other; notes the weights it was given."""

    scores: Iterator[float]

    def evaluate(self) -> dict[str, dict[str, float]]:
        return {"bbox": {"AP": next(Scripted.scores)}}


class ScriptedTrainer(DetrTrainer):
    evaluated: list[torch.Tensor]

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return Scripted()

    @classmethod
    def test(cls, cfg: CfgNode, model: Any, evaluators: Any = None) -> Any:
        cls.evaluated.append(model.class_embed.weight.detach().clone())
        return super().test(cfg, model, evaluators)


def train(cfg: CfgNode, scores: list[float], resume: bool = False, until: int | None = None) -> DetrTrainer:
    """Train with these evaluation results, to the end or as if killed after iteration ``until``."""
    Scripted.scores = iter(scores)
    ScriptedTrainer.evaluated = []
    trainer = ScriptedTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    if until is None:
        trainer.train()
        return trainer

    def stop() -> None:
        if trainer.iter == until:
            raise KeyboardInterrupt
        DetrTrainer.run_step(trainer)

    trainer.run_step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    return trainer


def best(cfg: CfgNode) -> dict[str, Any]:
    return torch.load(Path(cfg.OUTPUT_DIR) / "model_best.pth")["best"]


def test_the_best_checkpoint_is_kept_over_a_resume(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD = 8, 2, 4
    # Evaluated after iterations 1 and 3; the checkpoint of iteration 3 is written before its evaluation.
    train(cfg, [20.0, 30.0], until=5)
    assert best(cfg) == {"metric": "bbox/AP", "value": 30.0, "iteration": 3}
    saved = (Path(cfg.OUTPUT_DIR) / "model_best.pth").read_bytes()
    train(cfg, [25.0, 29.0], resume=True)
    assert (Path(cfg.OUTPUT_DIR) / "model_best.pth").read_bytes() == saved


def test_a_better_result_after_a_resume_replaces_the_best_checkpoint(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD = 8, 2, 4
    train(cfg, [20.0, 30.0], until=5)
    trainer = train(cfg, [25.0, 31.0], resume=True)
    assert best(cfg)["value"] == 31.0
    weights = torch.load(Path(cfg.OUTPUT_DIR) / "model_best.pth")["model"]
    assert torch.equal(weights["class_embed.weight"], trainer.model.class_embed.weight)
    # Training is resumed from the last checkpoint, not from the best.
    assert trainer.checkpointer.get_checkpoint_file().endswith("model_final.pth")


def test_a_best_metric_that_is_not_evaluated_is_said_once(
    training_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = training_config
    cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC = 2, "segm/AP"
    train(cfg, [1.0, 2.0, 3.0, 4.0])
    said = [r.getMessage() for r in caplog.records if "TEST.BEST_METRIC" in r.getMessage()]
    assert len(said) == 1
    assert "'segm/AP'" in said[0]
    assert "bbox/AP" in said[0]
    assert not (Path(cfg.OUTPUT_DIR) / "model_best.pth").exists()


@pytest.mark.parametrize("name", ["val/total_loss", "total_loss", "val/loss_ce"])
def test_a_best_metric_that_falls_is_refused(training_config: CfgNode, name: str) -> None:
    training_config.TEST.BEST_METRIC = name
    with pytest.raises(ConfigError, match=r"TEST\.BEST_METRIC"):
        check_data(training_config, DetrTrainer.build_evaluator)


def test_averaged_weights_are_evaluated_and_saved_and_training_goes_on_with_the_raw(
    training_config: CfgNode,
) -> None:
    cfg = training_config
    cfg.SOLVER.EMA.ENABLED = True
    trainer = train(cfg, [1.0])
    checkpoint = torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")
    average, raw = checkpoint["model"], checkpoint["trainer"]["ema"]["raw_model"]
    name = "class_embed.weight"
    assert torch.equal(trainer.model.class_embed.weight, raw[name])
    assert not torch.equal(average[name], raw[name])
    assert [torch.equal(weights, average[name]) for weights in ScriptedTrainer.evaluated] == [True]


def test_averaging_can_be_switched_on_and_off_over_a_resume(
    training_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = training_config
    cfg.SOLVER.EMA.ENABLED, cfg.SOLVER.MAX_ITER = True, 4
    raw = train(cfg, [1.0]).model.class_embed.weight
    cfg.SOLVER.EMA.ENABLED = False
    trainer = ScriptedTrainer(cfg)
    trainer.resume_or_load()
    assert torch.equal(trainer.model.class_embed.weight, raw)
    assert "raw weights" in caplog.text

    trainer.checkpointer.save("without_average")
    cfg.SOLVER.EMA.ENABLED = True
    trainer = ScriptedTrainer(cfg)
    trainer.resume_or_load()
    assert trainer.ema is not None
    assert torch.equal(trainer.ema.average()["class_embed.weight"], raw)
    assert "averaging starts here" in caplog.text


def test_metrics_have_the_learning_rate_of_each_group_and_the_losses(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER = 20
    cfg.SOLVER.STEPS = ()
    train(cfg, [1.0])
    lines = [json.loads(line) for line in (Path(cfg.OUTPUT_DIR) / "metrics.json").read_text().splitlines()]
    last = {key: value for line in lines if line["iteration"] >= 19 for key, value in line.items()}
    assert last["lr/transformer"] == pytest.approx(cfg.SOLVER.BASE_LR)
    assert last["lr/backbone"] == pytest.approx(cfg.SOLVER.BASE_LR * cfg.SOLVER.BACKBONE_MULTIPLIER)
    assert {"total_loss", "loss_ce", "loss_bbox_0", "grad_norm", "bbox/AP"} <= last.keys()
    assert list(Path(cfg.OUTPUT_DIR).glob("events.out.tfevents*"))


def test_changed_data_is_said_when_resuming(
    training_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER = 2
    train(cfg, [1.0])
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH = 4, 2
    train(cfg, [1.0], resume=True)
    assert "SOLVER.IMS_PER_BATCH: 4 -> 2" in caplog.text


def test_resuming_weights_without_a_training_state_is_refused(training_config: CfgNode) -> None:
    cfg = training_config
    trainer = ScriptedTrainer(cfg)
    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    torch.save({"model": trainer.model.state_dict()}, Path(cfg.OUTPUT_DIR) / "mine.pth")
    (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text("mine.pth")
    with pytest.raises(ValueError, match=r"cannot resume: .*mine\.pth holds no training state"):
        trainer.resume_or_load()


def test_resuming_with_another_model_is_refused(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER = 1
    train(cfg, [1.0])
    cfg.MODEL.DETR.ENC_LAYERS = 1
    with pytest.raises(ValueError, match="cannot resume: .*parameter group"):
        ScriptedTrainer(cfg).resume_or_load()


def test_weights_to_start_from_become_the_average(training_config: CfgNode, tmp_path: Path) -> None:
    cfg = training_config
    torch.save(ScriptedTrainer(cfg).model.state_dict(), tmp_path / "start.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "start.pth")
    cfg.SOLVER.EMA.ENABLED = True
    trainer = ScriptedTrainer(cfg)
    trainer.resume_or_load(resume=False)
    assert trainer.ema is not None
    for name, tensor in torch.load(tmp_path / "start.pth").items():
        assert torch.equal(trainer.ema.average()[name], tensor)


def test_checkpoints_hold_the_class_names(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER = 1
    train(cfg, [1.0])
    metadata = torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")["metadata"]
    assert metadata == {"thing_classes": ["class1", "class2", "class3"]}


def test_reference_world_size_scales_batch_rate_and_schedule(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 2  # there is one process: half of everything, for twice as long
    trainer = ScriptedTrainer(cfg)
    assert trainer.cfg.SOLVER.IMS_PER_BATCH == 2
    assert trainer.max_iter == 16
    assert trainer.optimizer.param_groups[0]["initial_lr"] == pytest.approx(cfg.SOLVER.BASE_LR / 2)


def test_precise_batch_norm_is_refused(training_config: CfgNode) -> None:
    training_config.TEST.PRECISE_BN.ENABLED = True
    with pytest.raises(ValueError, match=r"TEST\.PRECISE_BN"):
        ScriptedTrainer(training_config)


def test_evaluation_takes_the_fast_path_with_the_same_results_also_in_batches(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_config.MODEL.RESNETS.NORM = "FrozenBN"
    model = DetrTrainer.build_model(training_config)
    called: list[int] = []

    class Spied(FastInference):
        def __call__(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            called.append(len(batched_inputs))
            return super().__call__(batched_inputs)

    monkeypatch.setattr("detr_d2.engine.trainer.fast", lambda cfg, model: Spied(model))
    fast = DetrTrainer.test(training_config, model)["bbox"]
    assert called == [1] * 11
    called.clear()
    training_config.TEST.IMS_PER_BATCH = 4
    batched = DetrTrainer.test(training_config, model)["bbox"]
    assert sum(called) == 11
    assert max(called) > 1
    monkeypatch.setattr("detr_d2.engine.trainer.fast", lambda cfg, model: model)
    training_config.TEST.IMS_PER_BATCH = 1
    for name, value in DetrTrainer.test(training_config, model)["bbox"].items():
        assert fast[name] == pytest.approx(value, abs=1e-3, nan_ok=True)
        assert batched[name] == pytest.approx(value, abs=1e-3, nan_ok=True)


def test_the_type_of_inference_is_that_of_the_config(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    training_config.MODEL.DETR.INFERENCE_DTYPE = "bfloat16"
    model = DetrTrainer.build_model(training_config)
    types = set()
    model.input_proj.register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
    DetrTrainer.test(training_config, model)
    assert types == {torch.bfloat16}
