from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, DatasetEvaluators

from detr_d2.errors import ConfigError, DataError
from detr_d2.evaluation import (
    PanopticEvaluator,
    ThingsEvaluator,
    build,
    build_evaluator,
    register_evaluator,
)

NAME = "evaluation_build_tests"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    MetadataCatalog.pop(NAME, None)


PANOPTIC = "evaluated_val_panoptic"


@pytest.mark.parametrize(("masks", "tasks"), [(False, ("bbox",)), (True, ("bbox", "segm"))])
@pytest.mark.parametrize("name", ["evaluated_val", PANOPTIC])
def test_things_are_evaluated_by_detectron2s_evaluator_with_masks_where_there_are_some(
    tiny_config: CfgNode, tmp_path: Path, shapes: Path, name: str, masks: bool, tasks: tuple[str, ...]
) -> None:
    """The detector of a panoptic model, which is trained before the masks, has boxes only."""
    tiny_config.MODEL.MASK_ON = masks
    evaluators = parts(build_evaluator(tiny_config, name, str(tmp_path)))
    assert [type(evaluator) for evaluator in evaluators] == [ThingsEvaluator]
    assert isinstance(evaluators[0], COCOEvaluator)
    assert evaluators[0]._tasks == tasks


def parts(evaluator: DatasetEvaluator) -> list[DatasetEvaluator]:
    return evaluator._evaluators if isinstance(evaluator, DatasetEvaluators) else [evaluator]


@pytest.mark.parametrize("instances", [True, False])
def test_panoptic_maps_are_evaluated_where_the_model_gives_some(
    tiny_config: CfgNode, tmp_path: Path, shapes: Path, instances: bool
) -> None:
    tiny_config.MODEL.DETR.TEST.PANOPTIC_ON = True
    tiny_config.MODEL.DETR.TEST.INSTANCE_ON = instances
    evaluators = parts(build_evaluator(tiny_config, PANOPTIC, str(tmp_path)))
    assert [type(e) for e in evaluators] == [ThingsEvaluator] * instances + [PanopticEvaluator]


@pytest.mark.parametrize("name", ["evaluated_val", PANOPTIC])
def test_a_model_that_gives_nothing_is_refused_with_the_keys(
    tiny_config: CfgNode, tmp_path: Path, shapes: Path, name: str
) -> None:
    tiny_config.MODEL.DETR.TEST.INSTANCE_ON = False
    with pytest.raises(ValueError, match=f"{name}.*MODEL.DETR.TEST.INSTANCE_ON"):
        build_evaluator(tiny_config, name, str(tmp_path))


def test_things_of_a_panoptic_data_set_without_a_json_of_instances_are_evaluated(
    tiny_config: CfgNode, tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MetadataCatalog.get(PANOPTIC).__dict__, "json_file", None)
    (evaluator,) = parts(build_evaluator(tiny_config, PANOPTIC, str(tmp_path)))
    assert isinstance(evaluator, ThingsEvaluator)


def test_the_limit_of_detections_is_detectron2s_key(
    tiny_config: CfgNode, tmp_path: Path, shapes: Path
) -> None:
    for name in ("evaluated_val", PANOPTIC):
        tiny_config.TEST.DETECTIONS_PER_IMAGE = 200
        (evaluator,) = parts(build_evaluator(tiny_config, name, str(tmp_path)))
        assert evaluator._max_dets == 200
        tiny_config.TEST.DETECTIONS_PER_IMAGE = 0
        with pytest.raises(ConfigError, match="TEST.DETECTIONS_PER_IMAGE"):
            build_evaluator(tiny_config, name, str(tmp_path))


def test_names_of_the_models_classes_reach_every_evaluator(
    tiny_config: CfgNode, tmp_path: Path, shapes: Path
) -> None:
    tiny_config.MODEL.DETR.TEST.PANOPTIC_ON = True
    for name in ("evaluated_val", PANOPTIC):
        with pytest.raises(DataError, match="hexagon"):
            build_evaluator(tiny_config, name, str(tmp_path), model_classes=["hexagon"])
    tiny_config.MODEL.DETR.TEST.INSTANCE_ON = False
    with pytest.raises(DataError, match="hexagon"):
        build_evaluator(tiny_config, PANOPTIC, str(tmp_path), model_classes=["hexagon"])


def test_a_registered_type_is_found(
    tiny_config: CfgNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_BUILDERS", dict(build._BUILDERS))
    asked = []

    @register_evaluator("mine")
    def mine(cfg: CfgNode, name: str, folder: str) -> DatasetEvaluator:
        asked.append((name, folder))
        return DatasetEvaluators([])

    MetadataCatalog.get(NAME).evaluator_type = "mine"
    assert isinstance(build_evaluator(tiny_config, NAME, str(tmp_path)), DatasetEvaluators)
    assert asked == [(NAME, str(tmp_path))]

    @register_evaluator("mine")
    def with_names(cfg: CfgNode, name: str, folder: str, model_classes: list[str] | None) -> DatasetEvaluator:
        asked.append(model_classes)
        return DatasetEvaluators([])

    build_evaluator(tiny_config, NAME, str(tmp_path), ["a"])
    build_evaluator(tiny_config, NAME, str(tmp_path))
    assert asked[1:] == [["a"], None]


@pytest.mark.parametrize(("kind", "words"), [("lvis", "evaluator_type 'lvis'"), (None, "no evaluator_type")])
def test_unknown_and_missing_types_are_refused_with_what_is_known(
    tiny_config: CfgNode, tmp_path: Path, kind: str | None, words: str
) -> None:
    if kind is not None:
        MetadataCatalog.get(NAME).evaluator_type = kind
    with pytest.raises(ValueError, match=words) as error:
        build_evaluator(tiny_config, NAME, str(tmp_path))
    assert NAME in str(error.value)
    assert "coco" in str(error.value)
