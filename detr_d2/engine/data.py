"""The data of a training: looked at before it, and what decides which images come when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm

from ..data.preflight import preflight
from ..errors import ConfigError
from ..evaluation.build import evaluator_builder

_LOGGER = logging.getLogger(__name__)


def check_data(cfg: CfgNode, build_evaluator: Callable[..., Any]) -> None:
    """The preflight, and whether what is evaluated can be: before anything is loaded or trained.

    Args:
        cfg: of the training.
        build_evaluator: of the trainer; only that of :class:`DetrTrainer` is known to need anything.

    Raises:
        ConfigError: a data set has no evaluator, or the best metric is one that the model does not have.
        DataError: a data set has errors.
    """
    preflight(cfg)
    if build_evaluator.__qualname__ != "DetrTrainer.build_evaluator":
        return
    for name in cfg.DATASETS.TEST:
        evaluator_builder(name)
    task = cfg.TEST.BEST_METRIC.partition("/")[0]
    if task == "val" or "loss" in cfg.TEST.BEST_METRIC:
        raise ConfigError(
            f"TEST.BEST_METRIC is {cfg.TEST.BEST_METRIC!r}, but the best is the highest: name a metric such "
            "as bbox/AP"
        )
    if cfg.DATASETS.TEST and task == "segm" and not cfg.MODEL.MASK_ON:
        raise ConfigError(f"TEST.BEST_METRIC is {cfg.TEST.BEST_METRIC!r}, which needs MODEL.MASK_ON True")


def data_facts(cfg: CfgNode, data_loader: Any) -> dict[str, int]:
    """What the position of a loader of training data depends on, beside seed and iteration; kept in
    checkpoints."""
    facts = {
        "SOLVER.IMS_PER_BATCH": cfg.SOLVER.IMS_PER_BATCH,
        "SOLVER.ACCUMULATION_STEPS": cfg.SOLVER.ACCUMULATION_STEPS,
        "number of processes": comm.get_world_size(),
    }
    dataset = getattr(data_loader, "dataset", None)
    if dataset is not None:
        facts["images in the data set"] = len(dataset)
    return facts


def warn_of_other_data(was: Mapping[str, int], now: Mapping[str, int]) -> None:
    """Say where a resumed training sees other images than an uninterrupted one would have."""
    changed = [f"{key}: {was[key]} -> {now[key]}" for key in was.keys() & now.keys() if was[key] != now[key]]
    if changed:
        _LOGGER.warning(
            "Resuming with other data than before (%s): which images come next is not what an "
            "uninterrupted training would have seen",
            ", ".join(changed),
        )
