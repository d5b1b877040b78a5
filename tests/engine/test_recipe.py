from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.config_file import read_config
from detr_d2.engine import DetrTrainer, argument_parser, setup
from detr_d2.engine.recipe import resolve_recipe, schedule_by_epochs
from detr_d2.errors import ConfigError, DataError

COCO_IMAGES = 118287
EPOCH = {64: 1848.234375, 16: 7392.9375}  # iterations


def scheduled(name: str, images: int = COCO_IMAGES, **solver: Any) -> CfgNode:
    cfg = read_config(name)
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    schedule_by_epochs(cfg, images)
    return cfg


@pytest.mark.parametrize(("epochs", "step"), [(12, 11), (50, 40), (300, 200), (500, 400)])
@pytest.mark.parametrize("name", ["detr_R_50", "conditional_detr_R_50_50ep", "dn_group_detr_R_50_12ep"])
def test_published_epochs_have_their_published_step(name: str, epochs: int, step: int) -> None:
    cfg = scheduled(f"COCO-Detection/{name}.yaml", EPOCHS=epochs)
    epoch = EPOCH[cfg.SOLVER.IMS_PER_BATCH]
    assert round(epochs * epoch) == cfg.SOLVER.MAX_ITER
    assert pytest.approx((step * epoch,), abs=1) == cfg.SOLVER.STEPS


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("detr_R_50", 300), ("conditional_detr_R_50_50ep", 50), ("dn_group_detr_R_50_12ep", 12)],
)
def test_a_configs_own_epochs_are_about_its_own_schedule(name: str, epochs: int) -> None:
    written = read_config(f"COCO-Detection/{name}.yaml").SOLVER
    solver = scheduled(f"COCO-Detection/{name}.yaml", EPOCHS=epochs).SOLVER
    for one, other in ((solver.MAX_ITER, written.MAX_ITER), (solver.STEPS[0], written.STEPS[0])):
        assert one == pytest.approx(other, rel=0.015)  # 7,500 iterations are written for 7,393


def test_other_epochs_keep_the_share_of_the_step_and_named_ones_count() -> None:
    cfg = scheduled("COCO-Detection/detr_R_50.yaml", EPOCHS=30)
    assert (round(20 * EPOCH[64]),) == cfg.SOLVER.STEPS
    cfg = scheduled("COCO-Detection/detr_R_50.yaml", EPOCHS=12, STEP_EPOCHS=(6, 9))
    assert pytest.approx((6 * EPOCH[64], 9 * EPOCH[64]), abs=1) == cfg.SOLVER.STEPS


def test_evaluations_and_checkpoints_are_at_whole_epochs() -> None:
    cfg = scheduled("COCO-Detection/detr_R_50.yaml", EPOCHS=12)
    assert round(EPOCH[64]) == cfg.TEST.EVAL_PERIOD, "a thirtieth of the training is less than an epoch"
    cfg = scheduled("COCO-Detection/detr_R_50.yaml", EPOCHS=150)
    assert round(5 * EPOCH[64]) == cfg.TEST.EVAL_PERIOD
    assert round(2 * EPOCH[64]) == cfg.SOLVER.CHECKPOINT_PERIOD, "of 2.5"
    cfg = scheduled("COCO-Detection/detr_R_50.yaml", EPOCHS=1)
    assert cfg.TEST.EVAL_PERIOD == 185, "a tenth of a training of one epoch"


@pytest.mark.parametrize(
    ("images", "iterations", "evaluated", "checkpoint", "warm_up"),
    [
        (205, 1538, 205, 513, 103),  # 25.6 an epoch: 8 and 20 of them
        (50, 1500, 200, 500, 100),  # 6.25 an epoch, of which there are 240
        (3, 1500, 200, 500, 100),
        (4000, 30000, 4000, 10000, 2000),
    ],
)
def test_the_recipe_for_own_data_fits_few_and_many_images(
    images: int, iterations: int, evaluated: int, checkpoint: int, warm_up: int
) -> None:
    cfg = scheduled("Custom-Detection/own_data.yaml", images)
    assert iterations == cfg.SOLVER.MAX_ITER
    assert (evaluated, checkpoint) == pytest.approx(
        (cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD), 0.02
    )
    assert warm_up == cfg.SOLVER.WARMUP_ITERS
    assert iterations > cfg.TEST.EVAL_PERIOD * (cfg.TEST.PATIENCE + 2)


@pytest.mark.parametrize(("images", "batch"), [(1, 64), (2, 3), (7, 2)])
def test_tiny_sets_have_periods_of_an_iteration_at_least(images: int, batch: int) -> None:
    cfg = scheduled("Custom-Detection/detr_small.yaml", images, EPOCHS=1, IMS_PER_BATCH=batch)
    assert max(1, round(images / batch)) == cfg.SOLVER.MAX_ITER
    assert min(cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD) >= 1


def test_epochs_between_evaluations_count_without_those_of_the_training() -> None:
    cfg = read_config("Custom-Detection/detr_small.yaml")
    cfg.TEST.EVAL_EPOCHS = 3
    schedule_by_epochs(cfg, 80)
    assert (cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD) == (3000, 30)


def test_epochs_are_one_override_of_any_config() -> None:
    assert read_config("COCO-Detection/detr_R_50.yaml", ["SOLVER.EPOCHS", "12"]).SOLVER.EPOCHS == 12


def test_without_the_keys_the_config_is_the_same_one(training_config: CfgNode) -> None:
    assert resolve_recipe(training_config) is training_config


@pytest.mark.parametrize(("optimizer", "factor"), [("ADAMW", 0.5), ("SGD", 0.25)])
def test_the_rate_follows_the_batch(training_config: CfgNode, optimizer: str, factor: float) -> None:
    cfg = training_config
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.REFERENCE_BATCH, cfg.SOLVER.IMS_PER_BATCH = optimizer, 16, 4
    resolved = resolve_recipe(cfg)
    assert pytest.approx(factor * 1e-3) == resolved.SOLVER.BASE_LR
    assert resolve_recipe(resolved) is resolved, "and is not scaled twice"
    assert cfg.SOLVER.BASE_LR == 1e-3


@pytest.mark.parametrize(
    ("config", "rate"),
    [("detr", 5e-5), ("conditional_detr", 1e-4), ("dab_detr", 1e-4), ("dn_detr", 1e-4)],
)
def test_the_rate_of_published_weights_on_own_data(config: str, rate: float) -> None:
    """What was published for 64 images, or for 16."""
    cfg = resolve_recipe(read_config(f"Custom-Detection/{config}_R_50.yaml"))
    assert pytest.approx(rate) == cfg.SOLVER.BASE_LR


def test_a_trainer_trains_the_epochs_and_tells(
    training_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = training_config
    cfg.SOLVER.EPOCHS, cfg.SOLVER.WARMUP_SHARE, cfg.TEST.EVAL_EPOCHS = 4, 0.25, 1
    cfg.freeze()
    trainer = DetrTrainer(cfg)
    assert trainer.max_iter == trainer.cfg.SOLVER.MAX_ITER == 11  # 11 images in batches of 4
    assert (trainer.cfg.SOLVER.WARMUP_ITERS, trainer.cfg.TEST.EVAL_PERIOD) == (3, 3)
    assert trainer.cfg.SOLVER.STEPS == (8,)  # 6 of 8 iterations
    told = [r.getMessage() for r in caplog.records if "SOLVER.MAX_ITER 11" in r.getMessage()]
    assert len(told) == 1
    assert resolve_recipe(trainer.cfg) is trainer.cfg, "the config says all by itself"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOLVER.BASE_LR", 1e-3),
        ("SOLVER.STEPS", (6,)),
        ("SOLVER.WARMUP_ITERS", 2),
        ("SOLVER.CHECKPOINT_PERIOD", 1000),
        ("TEST.EVAL_PERIOD", 7),
    ],
)
def test_what_the_command_line_sets_stays(training_config: CfgNode, key: str, value: object) -> None:
    cfg = training_config
    cfg.SOLVER.EPOCHS, cfg.SOLVER.REFERENCE_BATCH, cfg.TEST.EVAL_PERIOD = 5, 16, 7
    section, name = key.split(".")
    assert resolve_recipe(cfg)[section][name] != value
    resolved = resolve_recipe(cfg, fixed=(key, "OUTPUT_DIR"))
    assert resolved[section][name] == value
    assert resolved.SOLVER.MAX_ITER == 14
    assert resolve_recipe(resolved) is resolved


def test_iterations_of_the_command_line_take_the_place_of_a_files_epochs(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.EPOCHS = 5
    resolved = resolve_recipe(cfg, fixed=["SOLVER.MAX_ITER"])
    assert (resolved.SOLVER.MAX_ITER, resolved.SOLVER.STEPS, resolved.SOLVER.EPOCHS) == (8, (6,), 0)
    with pytest.raises(ConfigError, match=r"SOLVER\.EPOCHS"):
        resolve_recipe(cfg, fixed=["SOLVER.MAX_ITER", "SOLVER.EPOCHS"])


def test_images_without_objects_count_where_they_are_trained_on(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.EPOCHS, cfg.SOLVER.IMS_PER_BATCH = 1, 1
    assert resolve_recipe(cfg).SOLVER.MAX_ITER == 11
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = True
    assert resolve_recipe(cfg).SOLVER.MAX_ITER == 8


def test_the_config_that_is_written_says_all(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.EPOCHS = 2
    file = Path(cfg.OUTPUT_DIR).with_suffix(".yaml")
    file.write_text(cfg.dump())
    arguments: argparse.Namespace = argument_parser().parse_args(["--config-file", str(file)])
    assert setup(arguments).SOLVER.MAX_ITER == 6
    written = read_config(str(Path(cfg.OUTPUT_DIR) / "config.yaml"))
    assert (written.SOLVER.MAX_ITER, written.SOLVER.EPOCHS) == (6, 0)
    arguments.eval_only = True
    assert setup(arguments).SOLVER.MAX_ITER == 8, "of no use there"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOLVER.EPOCHS", -1),
        ("SOLVER.WARMUP_SHARE", math.inf),
        ("SOLVER.WARMUP_SHARE", math.nan),
        ("SOLVER.MIN_ITER", -1),
        ("SOLVER.WARMUP_SHARE", 1.5),
        ("SOLVER.REFERENCE_BATCH", -8),
        ("TEST.EVAL_EPOCHS", -1),
        ("SOLVER.STEP_EPOCHS", (0, 3)),
        ("TEST.PATIENCE", -1),
        ("SOLVER.REFERENCE_BATCH", 8),  # beside the world size below
    ],
)
def test_values_that_cannot_be_are_named(training_config: CfgNode, key: str, value: object) -> None:
    cfg = training_config
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 1
    section, name = key.split(".")
    cfg[section][name] = value
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        resolve_recipe(cfg)


@pytest.mark.parametrize("what", ["none", "missing"])
def test_epochs_of_no_data_are_an_error(training_config: CfgNode, what: str) -> None:
    cfg = training_config
    cfg.SOLVER.EPOCHS = 1
    if what == "none":
        cfg.DATASETS.TRAIN = ()
    else:
        Path(cfg.DATASETS.COCO_JSON[0][1]).unlink()
    with pytest.raises(DataError):
        DetrTrainer(cfg)
