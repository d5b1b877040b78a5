"""The hooks of a training, in the order in which they run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

from ..checkpoint import DetrCheckpointer
from .early_stopping import EarlyStoppingHook, EvaluationHook, Evaluations
from .hooks import BestCheckpointHook, CheckpointHook, LearningRateHook, ReportHook
from .writers import WriterHook

_LOGGER = logging.getLogger(__name__)


def default_hooks(
    cfg: CfgNode,
    checkpointer: DetrCheckpointer,
    seed: int,
    evaluate: Callable[[], dict[str, Any]],
    build_writers: Callable[[], Sequence[EventWriter]],
) -> list[HookBase]:
    """Detectron2's hooks and ours.

    Args:
        cfg: of the training.
        checkpointer: writes its files.
        seed: that it drew.
        evaluate: gives the results of an evaluation; called by every process.
        build_writers: called by the main process alone.

    Raises:
        ConfigError: a key has a value that cannot be.
    """
    solver, period, metric = cfg.SOLVER, cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC
    # With several data sets Detectron2 puts their names before; the first one decides.
    metrics = [metric, f"{cfg.DATASETS.TEST[0]}/{metric}"] if metric and cfg.DATASETS.TEST else []
    evaluations, is_main = Evaluations(cfg.OUTPUT_DIR, metrics), comm.is_main_process()
    built: list[HookBase] = [hooks.IterationTimer(), LearningRateHook()]
    # Before the evaluation: if that fails, the training is not lost.
    if is_main:
        built.append(CheckpointHook(checkpointer, solver.CHECKPOINT_PERIOD, solver.CHECKPOINTS_KEPT))
    built.append(EvaluationHook(period, evaluate, evaluations))
    if is_main:
        if metrics:
            built.append(BestCheckpointHook(period, checkpointer, metrics))
        built.append(WriterHook(build_writers(), eval_period=period))
        if cfg.TEST.REPORT:
            built.append(ReportHook(cfg, seed))
    if cfg.TEST.PATIENCE and not (metrics and period):
        _LOGGER.warning(
            "TEST.PATIENCE ends nothing: it counts evaluations, by TEST.EVAL_PERIOD, TEST.BEST_METRIC and "
            "DATASETS.TEST"
        )
    built.append(EarlyStoppingHook(evaluations, period, cfg.TEST.PATIENCE))
    return built
