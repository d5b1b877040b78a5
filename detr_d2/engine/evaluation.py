"""Loading of weights that are evaluated, and of what is known of their classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from detectron2.config import CfgNode
from torch import nn

from ..checkpoint import DetrCheckpointer
from ..checkpoint.class_rows import class_list
from ..checkpoint.layout import HEAD
from ..data import preflight
from ..errors import CheckpointError, ConfigError, DataError
from ..evaluation.build import evaluator_builder
from ..modeling import Detr
from .classes import category_numbers, evaluated_class_names

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
    if cfg.DATASETS.TEST and task == "segm" and not cfg.MODEL.MASK_ON:
        raise ConfigError(f"TEST.BEST_METRIC is {cfg.TEST.BEST_METRIC!r}, which needs MODEL.MASK_ON True")


def load_for_evaluation(cfg: CfgNode, model: nn.Module, resume: bool = False) -> None:
    """Load MODEL.WEIGHTS, or with ``resume`` the last checkpoint of OUTPUT_DIR, into a model of the config.

    The model's ``class_names`` become those of the file where it has as many as the model, and data sets are
    then compared by them. Else the file's classes are carried over by name to those of the first of
    DATASETS.TEST, which all have to be among them.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it cannot be used, or has not all the classes that are evaluated.
        DataError: the data set's classes cannot be read.
    """
    checkpointer = DetrCheckpointer(
        model,
        cfg.OUTPUT_DIR,
        metadata=partial(evaluated_class_names, cfg),
        class_rows=cfg.MODEL.DETR.CLASS_ROWS,
        category_ids=partial(category_numbers, cfg.DATASETS.TEST),
        keep_classes=True,
    )
    content = checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    if not checkpointer.loaded:  # a model as it was initialised
        return
    count = cfg.MODEL.DETR.NUM_CLASSES
    in_file, wanted = content.get("metadata") or {}, evaluated_class_names(cfg)
    names = class_list(in_file, count)
    if HEAD[0] in model.state_dict() and HEAD[0] not in checkpointer.loaded:
        raise CheckpointError(
            f"{cfg.MODEL.WEIGHTS or cfg.OUTPUT_DIR} has not all {count} classes that are evaluated: "
            f"{_listed(wanted)}. Its own classes: {_listed(in_file)}. Set MODEL.DETR.NUM_CLASSES as "
            "it was for these weights, or MODEL.DETR.CLASS_ROWS to say how their rows are numbered"
        )
    if names is None and in_file:
        names = class_list(wanted, count)
    if names is None:
        _LOGGER.warning("The weights name no classes, which are taken to be those of the data sets, in order")
        listed = wanted.get("thing_classes", ())
        if len(listed) > count:
            raise DataError(
                f"{cfg.DATASETS.TEST[0]} has more classes ({', '.join(listed)}) than MODEL.DETR.NUM_CLASSES "
                f"({count}), and {cfg.MODEL.WEIGHTS} does not name the model's"
            )
    cast(Detr, model).class_names = names


def _listed(metadata: Mapping[str, Any]) -> str:
    return ", ".join(metadata.get("thing_classes", ())) or "not named"
