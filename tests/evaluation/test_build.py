from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, DatasetEvaluators

from detr_d2.compat import has_compiled_ops
from detr_d2.evaluation import build, build_evaluator, register_evaluator

NAME = "evaluation_build_tests"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    MetadataCatalog.pop(NAME, None)


def test_coco_data_sets_get_detectron2s_evaluator(tiny_config: CfgNode, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    MetadataCatalog.get(NAME).set(json_file=str(file), evaluator_type="coco")
    evaluator = build_evaluator(tiny_config, NAME, str(tmp_path))
    assert isinstance(evaluator, COCOEvaluator)
    assert evaluator._use_fast_impl == has_compiled_ops()


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
