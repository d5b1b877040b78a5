"""Loading of weights that are evaluated, and of the detector that a mask head is trained on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, cast

from detectron2.config import CfgNode
from torch import nn

from ..checkpoint import DetrCheckpointer
from ..checkpoint.layout import HEAD
from ..checkpoint.queries import GROUP_SIZE
from ..classes import category_numbers, class_list, class_names
from ..errors import CheckpointError, DataError, MissingFileError
from ..modeling import Detr
from ..modeling.build import FREEZABLE

_LOGGER = logging.getLogger(__name__)


def build_checkpointer(
    cfg: CfgNode, model: nn.Module, datasets: Sequence[str], folder: str = "", **options: Any
) -> DetrCheckpointer:
    """A checkpointer for a model whose classes are those of the first of some data sets.

    Args:
        cfg: has MODEL.DETR.CLASS_ROWS.
        model: may be wrapped for distributed training.
        datasets: names; the first one is read when its classes are asked for.
        folder: of the files that it writes.
        options: the checkpointer's others.
    """
    return DetrCheckpointer(
        model,
        folder,
        metadata=partial(class_names, datasets),
        class_rows=cfg.MODEL.DETR.CLASS_ROWS,
        category_ids=partial(category_numbers, datasets),
        **options,
    )


def load_frozen_weights(cfg: CfgNode, model: Detr) -> set[str]:
    """Load MODEL.DETR.FROZEN_WEIGHTS into all of the model but its mask head.

    Args:
        cfg: names the file or URI.
        model: not wrapped for distributed training.

    Returns:
        names of the model's tensors that were loaded.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: the file lacks some of the detector's weights; names them.
    """
    path = cfg.MODEL.DETR.FROZEN_WEIGHTS
    datasets = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    checkpointer = build_checkpointer(cfg, model.detector(), datasets, save_to_disk=False)
    try:
        checkpointer.load(path, checkpointables=[])
    except FileNotFoundError as error:
        raise MissingFileError(f"MODEL.DETR.FROZEN_WEIGHTS: {error}") from error
    needed = {name for name in checkpointer.model.state_dict() if not name.endswith("num_batches_tracked")}
    missing = sorted(needed - checkpointer.loaded)
    if missing:
        listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise CheckpointError(
            f"MODEL.DETR.FROZEN_WEIGHTS {path} lacks {len(missing)} of the detector's {len(needed)} tensors, "
            f"or has them in another shape: {listed}. It must be a detector of the same configuration, with "
            "the same classes"
        )
    return checkpointer.loaded


def say_what_is_random(cfg: CfgNode, model: nn.Module, loaded: Collection[str]) -> None:
    """Say what starts without pretrained weights, and what comes of it.

    Args:
        cfg: of the training.
        model: not wrapped for distributed training.
        loaded: names of its tensors that were loaded.
    """
    if not loaded:
        total = sum(parameter.numel() for parameter in model.parameters())
        solver = cfg.SOLVER
        _LOGGER.warning(
            "No pretrained weights: all %.1f million start at random, and the training shows them %s images. "
            "Expect an AP near 0 in the first evaluations and less at the end than with weights; a model of "
            "published size needs a million images and more. Better is --weights (MODEL.WEIGHTS): a "
            "detector of the same config and any classes, or detr://detr_R_50 with "
            "Custom-Detection/detr_R_50.yaml",
            total / 1e6,
            f"{solver.MAX_ITER * solver.IMS_PER_BATCH:,}",
        )
    for part in cfg.MODEL.DETR.FREEZE:
        if not any(name.startswith(FREEZABLE[part]) for name in loaded):
            _LOGGER.warning(
                "MODEL.DETR.FREEZE has %r, which is frozen at random weights and will not learn: set "
                "MODEL.WEIGHTS, or leave it out",
                part,
            )


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
    checkpointer = build_checkpointer(cfg, model, cfg.DATASETS.TEST, cfg.OUTPUT_DIR, keep_classes=True)
    content = checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    if not checkpointer.loaded:  # a model as it was initialized
        return
    count = cfg.MODEL.DETR.NUM_CLASSES
    in_file, wanted = content.get("metadata") or {}, class_names(cfg.DATASETS.TEST)
    names = class_list(in_file, count)
    if HEAD[0] in model.state_dict() and HEAD[0] not in checkpointer.loaded:
        raise CheckpointError(
            f"{cfg.MODEL.WEIGHTS or cfg.OUTPUT_DIR} has not all {count} classes that are evaluated: "
            f"{_listed(wanted)}. Its own classes: {_listed(in_file)}. Set MODEL.DETR.NUM_CLASSES as "
            "it was for these weights, or MODEL.DETR.CLASS_ROWS to say how their rows are numbered"
        )
    if names is None and in_file.keys() - {GROUP_SIZE}:
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
