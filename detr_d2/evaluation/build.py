"""Evaluators by the ``evaluator_type`` that a data set's metadata names."""

from __future__ import annotations

from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators

from ..errors import ConfigError
from .coco import ThingsEvaluator
from .panoptic import PanopticEvaluator

EvaluatorBuilder = Callable[[CfgNode, str, str], DatasetEvaluator]

_BUILDERS: dict[str, EvaluatorBuilder] = {}


def register_evaluator(evaluator_type: str) -> Callable[[EvaluatorBuilder], EvaluatorBuilder]:
    """Decorator: build the evaluators of data sets of this type with the decorated function.

    It takes the config, the data set's name and the folder for its files.
    """

    def register(builder: EvaluatorBuilder) -> EvaluatorBuilder:
        _BUILDERS[evaluator_type] = builder
        return builder

    return register


def build_evaluator(cfg: CfgNode, dataset_name: str, output_folder: str) -> DatasetEvaluator:
    """The evaluator of a registered data set.

    Raises:
        ConfigError: the data set's metadata names no evaluator, or one that is not registered.
    """
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type not in _BUILDERS:
        has = "no evaluator_type" if evaluator_type is None else f"evaluator_type {evaluator_type!r}"
        raise ConfigError(
            f"data set {dataset_name!r} cannot be evaluated: its metadata has {has}, known are "
            f"{', '.join(sorted(_BUILDERS))}. Set it with MetadataCatalog.get({dataset_name!r}), or add an "
            "evaluator with detr_d2.evaluation.register_evaluator"
        )
    return _BUILDERS[evaluator_type](cfg, dataset_name, output_folder)


@register_evaluator("coco")
def _coco(cfg: CfgNode, dataset_name: str, output_folder: str) -> DatasetEvaluator:
    """Average precision of boxes and, of a model with a mask head, of masks."""
    if not cfg.MODEL.DETR.TEST.INSTANCE_ON:
        raise ConfigError(
            f"data set {dataset_name!r} is evaluated by the model's instances: set "
            "MODEL.DETR.TEST.INSTANCE_ON to True"
        )
    return ThingsEvaluator(dataset_name, _tasks(cfg), output_folder)


@register_evaluator("coco_panoptic_seg")
def _coco_panoptic(cfg: CfgNode, dataset_name: str, output_folder: str) -> DatasetEvaluator:
    """Average precision of things and panoptic quality, as far as the model gives instances and maps."""
    evaluators: list[DatasetEvaluator] = []
    if cfg.MODEL.DETR.TEST.INSTANCE_ON:
        if not MetadataCatalog.get(dataset_name).get("json_file"):
            raise ConfigError(
                f"data set {dataset_name!r} has no json_file of instances in its metadata, which average "
                "precision needs: set it, or set MODEL.DETR.TEST.INSTANCE_ON to False"
            )
        evaluators.append(ThingsEvaluator(dataset_name, _tasks(cfg), output_folder))
    if cfg.MODEL.DETR.TEST.PANOPTIC_ON:
        evaluators.append(PanopticEvaluator(dataset_name, output_folder))
    if not evaluators:
        raise ConfigError(
            f"there is nothing to evaluate on data set {dataset_name!r}: set MODEL.DETR.TEST.INSTANCE_ON or "
            "MODEL.DETR.TEST.PANOPTIC_ON to True"
        )
    return DatasetEvaluators(evaluators)


def _tasks(cfg: CfgNode) -> tuple[str, ...]:
    return ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",)
