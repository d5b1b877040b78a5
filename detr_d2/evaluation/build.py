"""Evaluators by the ``evaluator_type`` that a data set's metadata names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators

from ..detectron2_keys import detections_limit
from ..errors import ConfigError
from .coco import ThingsEvaluator
from .panoptic import PanopticEvaluator

EvaluatorBuilder = Callable[..., DatasetEvaluator]

_BUILDERS: dict[str, EvaluatorBuilder] = {}


def register_evaluator(evaluator_type: str) -> Callable[[EvaluatorBuilder], EvaluatorBuilder]:
    """Decorator: build the evaluators of data sets of this type with the decorated function.

    It takes the config, the data set's name and the folder for its files; and, if it has a parameter of that
    name, ``model_classes``: the names of the model's classes by their numbers, None where they are unknown.
    """

    def register(builder: EvaluatorBuilder) -> EvaluatorBuilder:
        _BUILDERS[evaluator_type] = builder
        return builder

    return register


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str, model_classes: Sequence[str] | None = None
) -> DatasetEvaluator:
    """The evaluator of a registered data set.

    Args:
        output_folder: for the files of predictions.
        model_classes: names of the model's classes, by their numbers, of things and stuff in one list. The
            data set's classes are found among them by name. None: the model has the data set's own numbers.

    Raises:
        ConfigError: the data set's metadata names no evaluator, or one that is not registered.
        DataError: the ground truth cannot be used, or the model lacks a class of it.
    """
    build = evaluator_builder(dataset_name)
    if takes(build, "model_classes"):
        return build(cfg, dataset_name, output_folder, model_classes=model_classes)
    return build(cfg, dataset_name, output_folder)


def evaluator_builder(dataset_name: str) -> EvaluatorBuilder:
    """What builds the evaluator that a data set's metadata name.

    Raises:
        ConfigError: they name none, or one that is not registered.
    """
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type not in _BUILDERS:
        has = "no evaluator_type" if evaluator_type is None else f"evaluator_type {evaluator_type!r}"
        raise ConfigError(
            f"data set {dataset_name!r} cannot be evaluated: its metadata has {has}, known are "
            f"{', '.join(sorted(_BUILDERS))}. Set it with MetadataCatalog.get({dataset_name!r}), or add an "
            "evaluator with detr_d2.evaluation.register_evaluator"
        )
    return _BUILDERS[evaluator_type]


def takes(function: Callable[..., Any], parameter: str) -> bool:
    """Whether a function, which may be a user's, has a parameter of this name."""
    return parameter in inspect.signature(function).parameters


@register_evaluator("coco")
@register_evaluator("coco_panoptic_seg")
def _coco(
    cfg: CfgNode, dataset_name: str, output_folder: str, model_classes: Sequence[str] | None = None
) -> DatasetEvaluator:
    """Average precision of things, by boxes and, of a model with a mask head, by masks; panoptic quality.

    Each as far as the model gives instances and maps; the latter of panoptic data sets alone.
    """
    evaluators: list[DatasetEvaluator] = []
    if cfg.MODEL.DETR.TEST.INSTANCE_ON:
        tasks, limit = ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",), detections_limit(cfg)
        evaluators.append(ThingsEvaluator(dataset_name, tasks, output_folder, limit, model_classes))
    panoptic = MetadataCatalog.get(dataset_name).evaluator_type == "coco_panoptic_seg"
    if panoptic and cfg.MODEL.DETR.TEST.PANOPTIC_ON:
        evaluators.append(PanopticEvaluator(dataset_name, output_folder, model_classes))
    if not evaluators:
        raise ConfigError(
            f"there is nothing to evaluate on data set {dataset_name!r}: set MODEL.DETR.TEST.INSTANCE_ON or, "
            "for a panoptic data set, MODEL.DETR.TEST.PANOPTIC_ON to True"
        )
    return DatasetEvaluators(evaluators)
