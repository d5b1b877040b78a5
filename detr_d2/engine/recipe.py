"""Batch, learning rate and schedule, which follow from each other and from the number of images."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator

from detectron2.config import CfgNode
from detectron2.utils import comm

from ..data.loader import load_training_records
from ..data.preflight import examined_images, preflight
from ..errors import ConfigError, DataError, require
from .auto_batch import batch_that_fits

_LOGGER = logging.getLogger(__name__)

# Epochs of published schedules, and after how many of them the learning rate falls: twelve is everybody's
# short one, fifty that of Conditional DETR and its successors, the others are DETR's own.
_PUBLISHED_STEPS = {12: 11, 50: 40, 300: 200, 500: 400}
_SOLVER_KEYS = ("EPOCHS", "MIN_ITER", "WARMUP_SHARE", "REFERENCE_BATCH")
# What a recipe leads to, and the command line may set in its place.
_KEPT = ("BASE_LR", "STEPS", "WARMUP_ITERS", "CHECKPOINT_PERIOD", "EVAL_PERIOD")
# What of a training evaluations and checkpoints are apart at least, where that is less than an epoch.
_LEAST_SHARE = 0.1


def resolve_recipe(cfg: CfgNode, resume: bool = False, fixed: Collection[str] = ()) -> CfgNode:
    """The config with what SOLVER.AUTO_BATCH, REFERENCE_BATCH, EPOCHS and their like lead to.

    Every process calls it, at the same place. What comes of it is in Detectron2's own keys, and told. The
    others are as if nobody had set them, so that the config says all by itself, and means the same when it
    is read again.

    Args:
        cfg: with its data sets registered; it stays as it is.
        resume: a batch that was found by trying is that of the training in OUTPUT_DIR.
        fixed: keys that stay as they are. SOLVER.MAX_ITER takes the place of SOLVER.EPOCHS.

    Returns:
        ``cfg`` itself where it asks for none of this, else a copy.

    Raises:
        ConfigError: a key has a value that cannot be, or two contradict each other.
        DataError: the epochs of data sets are asked for that cannot be used.
    """
    _check(cfg, fixed)
    resolved = cfg.clone()
    resolved.defrost()
    solver, test = resolved.SOLVER, resolved.TEST
    if "SOLVER.MAX_ITER" in fixed:
        solver.EPOCHS = 0
    if solver.AUTO_BATCH:
        solver.REFERENCE_BATCH = solver.REFERENCE_BATCH or solver.IMS_PER_BATCH
        solver.IMS_PER_BATCH = batch_that_fits(cfg, resume)
        solver.AUTO_BATCH = False
    if solver.REFERENCE_BATCH:
        scale_rate(resolved)
    if solver.EPOCHS or test.EVAL_EPOCHS:
        schedule_by_epochs(resolved, count_training_images(cfg))
    if solver.WARMUP_SHARE:
        solver.WARMUP_ITERS = round(solver.WARMUP_SHARE * solver.MAX_ITER)
    for section, name in (key.split(".", 1) for key in fixed if "." in key):
        if name in _KEPT and section == _section(name):
            resolved[section][name] = cfg[section][name]
    solver.EPOCHS = test.EVAL_EPOCHS = 0
    solver.STEP_EPOCHS, solver.WARMUP_SHARE = (), 0.0
    if resolved == cfg:
        return cfg
    changes = list(_changes(cfg, resolved))
    if changes:
        _LOGGER.info("The recipe gives %s", ", ".join(changes))
    if cfg.is_frozen():
        resolved.freeze()
    return resolved


def _check(cfg: CfgNode, fixed: Collection[str]) -> None:
    solver, test = cfg.SOLVER, cfg.TEST
    for node, name, keys in ((solver, "SOLVER", _SOLVER_KEYS), (test, "TEST", ("EVAL_EPOCHS", "PATIENCE"))):
        for key in keys:
            require(0 <= node[key] < math.inf, f"{name}.{key}", node[key], "0 or more")
    require(solver.WARMUP_SHARE <= 1, "SOLVER.WARMUP_SHARE", solver.WARMUP_SHARE, "in [0, 1]")
    steps = tuple(solver.STEP_EPOCHS)
    require(all(step > 0 for step in steps), "SOLVER.STEP_EPOCHS", steps, "epochs above 0")
    if {"SOLVER.MAX_ITER", "SOLVER.EPOCHS"} <= set(fixed):
        raise ConfigError("SOLVER.EPOCHS sets SOLVER.MAX_ITER: leave one of them out")
    if (solver.AUTO_BATCH or solver.REFERENCE_BATCH) and solver.REFERENCE_WORLD_SIZE:
        key = "AUTO_BATCH" if solver.AUTO_BATCH else "REFERENCE_BATCH"
        raise ConfigError(f"SOLVER.{key} and SOLVER.REFERENCE_WORLD_SIZE exclude each other: leave one out")


def scale_rate(cfg: CfgNode) -> None:
    """Let SOLVER.BASE_LR, which is for SOLVER.REFERENCE_BATCH images, be for SOLVER.IMS_PER_BATCH.

    The mean gradient of B images has a variance of 1 / B. SGD's steps are proportional to it, and B small
    ones are like one B times as long: the rate is too (Goyal et al., 2017). AdamW divides by the gradient's
    root mean square, where noise prevails: the same noise an image then takes the square root (Malladi et
    al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", 2022).
    """
    solver = cfg.SOLVER
    ratio = solver.IMS_PER_BATCH / solver.REFERENCE_BATCH
    solver.BASE_LR *= ratio if solver.OPTIMIZER == "SGD" else math.sqrt(ratio)
    solver.REFERENCE_BATCH = solver.IMS_PER_BATCH


def schedule_by_epochs(cfg: CfgNode, images: int) -> None:
    """Set what is counted in iterations from SOLVER.EPOCHS, MIN_ITER and STEP_EPOCHS and TEST.EVAL_EPOCHS.

    Args:
        cfg: with SOLVER.IMS_PER_BATCH as it will be; changed in place.
        images: of an epoch.
    """
    solver, test = cfg.SOLVER, cfg.TEST
    epoch = images / solver.IMS_PER_BATCH  # iterations
    if solver.EPOCHS:
        end = max(1, round(solver.EPOCHS * epoch), solver.MIN_ITER)
        scale = end / solver.MAX_ITER

        def period(iterations: int) -> int:
            wished = max(iterations * scale, min(epoch, _LEAST_SHARE * end), 1.0)
            return round(wished) if wished < epoch else round(round(wished / epoch) * epoch)

        steps = solver.STEP_EPOCHS
        if not steps and len(solver.STEPS) == 1 and solver.EPOCHS in _PUBLISHED_STEPS:
            steps = (_PUBLISHED_STEPS[solver.EPOCHS],)
        shares = [x / solver.EPOCHS for x in steps] or [x / solver.MAX_ITER for x in solver.STEPS]
        solver.STEPS = tuple(round(share * end) for share in shares)
        solver.WARMUP_ITERS = round(solver.WARMUP_ITERS * scale)
        solver.CHECKPOINT_PERIOD = period(solver.CHECKPOINT_PERIOD)
        if test.EVAL_PERIOD:
            test.EVAL_PERIOD = period(test.EVAL_PERIOD)
        solver.MAX_ITER = end
    if test.EVAL_EPOCHS:
        test.EVAL_PERIOD = max(1, round(test.EVAL_EPOCHS * epoch))


def count_training_images(cfg: CfgNode) -> int:
    """Images of an epoch of DATASETS.TRAIN, after a look at all data sets.

    Raises:
        DataError: there is none, or a data set cannot be used.
    """
    names = cfg.DATASETS.TRAIN
    if not names:
        raise DataError("DATASETS.TRAIN is empty: name at least one data set to train on.")
    preflight(cfg)
    count = 0
    if comm.is_main_process():
        if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
            count = len(load_training_records(cfg))
        else:
            count = sum(examined_images(cfg, name) for name in names)
    return comm.all_gather(count)[0]


def _section(key: str) -> str:
    return "TEST" if key == "EVAL_PERIOD" else "SOLVER"


def _changes(before: CfgNode, after: CfgNode) -> Iterator[str]:
    keys = ["IMS_PER_BATCH", "BASE_LR", "MAX_ITER", "STEPS", "WARMUP_ITERS", "CHECKPOINT_PERIOD"]
    for name, key in (*(("SOLVER", key) for key in keys), ("TEST", "EVAL_PERIOD")):
        was, now = before[name][key], after[name][key]
        of_use = key != "STEPS" or after.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR"
        if was != now and of_use:
            yield f"{name}.{key} {now:.4g}" if isinstance(now, float) else f"{name}.{key} {now}"
