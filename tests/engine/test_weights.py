"""Weights are evaluated by the names of their classes, whatever the numbering of the data sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from detr_d2.data import register_configured
from detr_d2.data.preflight import preflight
from detr_d2.engine import DetrTrainer, load_for_evaluation
from detr_d2.errors import CheckpointError, DataError

TRAINED = ["class1", "class2", "class3"]


@pytest.fixture
def evaluated(training_config: CfgNode, tmp_path: Path) -> Iterator[CfgNode]:
    """The tiny model, evaluated on the training images as ``val``, whose json a test may change."""
    cfg = training_config
    (name, file, images) = cfg.DATASETS.COCO_JSON[0]
    (tmp_path / "val.json").write_text(Path(file).read_text())
    val = f"val_{tmp_path.name}"
    cfg.DATASETS.COCO_JSON = ((name, file, images), (val, str(tmp_path / "val.json"), images))
    cfg.DATASETS.TEST = (val,)
    register_configured(cfg)
    yield cfg
    DatasetCatalog.remove(val)
    MetadataCatalog.pop(val, None)


def rename(folder: Path, *names: str) -> None:
    """Other names of the evaluated categories; those that are called "(none)" go, with their objects."""
    content = json.loads((folder / "val.json").read_text())
    content["categories"] = [
        {"id": i, "name": name} for i, name in enumerate(names, start=1) if name != "(none)"
    ]
    listed = {category["id"] for category in content["categories"]}
    content["annotations"] = [x for x in content["annotations"] if x["category_id"] in listed]
    (folder / "val.json").write_text(json.dumps(content))


def save(cfg: CfgNode, names: list[str] | None, classes: int = 3) -> dict[str, Any]:
    """Write weights of a model with so many classes; returns them."""
    changed = cfg.clone()
    changed.MODEL.DETR.NUM_CLASSES = classes
    weights: dict[str, Any] = build_model(changed).state_dict()
    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / "weights.pth")
    named = {} if names is None else {"metadata": {"thing_classes": names}}
    torch.save({"model": weights, **named}, cfg.MODEL.WEIGHTS)
    return weights


class Truthful(nn.Module):
    """Gives the objects of the evaluated data set, with the numbers of its own classes."""

    def __init__(self, folder: Path, class_names: list[str]) -> None:
        super().__init__()
        self.class_names = class_names
        content = json.loads((folder / "annotations.json").read_text())
        names = {category["id"]: category["name"] for category in content["categories"]}
        self.objects: dict[int, list[tuple[list[float], int]]] = {x["id"]: [] for x in content["images"]}
        for x in content["annotations"]:
            number = class_names.index(names[x["category_id"]])
            self.objects[x["image_id"]].append((x["bbox"], number))

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for x in batch:
            found = self.objects[x["image_id"]]
            instances = Instances((x["height"], x["width"]))
            boxes = torch.tensor([box for box, _ in found], dtype=torch.float32).reshape(-1, 4)
            instances.pred_boxes = Boxes(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1))
            instances.scores = torch.ones(len(found))
            instances.pred_classes = torch.tensor([number for _, number in found], dtype=torch.int64)
            results.append({"instances": instances})
        return results


@pytest.mark.parametrize(
    "numbering", [TRAINED, ["class3", "class1", "class2"], ["other", "class2", "class3", "class1"]]
)
def test_a_model_is_scored_by_the_names_of_its_classes(
    evaluated: CfgNode, tmp_path: Path, numbering: list[str]
) -> None:
    results = DetrTrainer.test(evaluated, Truthful(tmp_path, numbering))
    assert results["bbox"]["AP"] == pytest.approx(100)


def test_a_data_set_with_some_of_the_classes_is_scored_by_these(evaluated: CfgNode, tmp_path: Path) -> None:
    rename(tmp_path, "(none)", "class2", "class3")
    results = DetrTrainer.test(evaluated, Truthful(tmp_path, TRAINED))
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert {key for key in results["bbox"] if key.startswith("AP-")} == {"AP-class2", "AP-class3"}


def test_a_class_that_the_model_lacks_is_an_error_before_inference(
    evaluated: CfgNode, tmp_path: Path
) -> None:
    rename(tmp_path, "class1", "class2", "zebra")
    with pytest.raises(DataError) as error:
        DetrTrainer.test(evaluated, Truthful(tmp_path, TRAINED))
    assert all(name in str(error.value) for name in (*TRAINED, "zebra"))


def test_an_evaluator_of_a_subclass_that_knows_no_classes_is_built_as_before(evaluated: CfgNode) -> None:
    class Counting(DatasetEvaluator):
        def evaluate(self) -> dict[str, Any]:
            return {"seen": {"it": 1}}

    class Trainer(DetrTrainer):
        @classmethod
        def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:  # type: ignore[override]
            return Counting()

    assert Trainer.test(evaluated, Truthful(Path(evaluated.OUTPUT_DIR).parent, TRAINED)) == {
        "seen": {"it": 1}
    }


def test_training_scores_data_sets_of_another_order_by_name(evaluated: CfgNode, tmp_path: Path) -> None:
    rename(tmp_path, "class3", "class1", "class2")
    evaluated.SOLVER.MAX_ITER = 1
    seen: list[Any] = []

    class Trainer(DetrTrainer):
        @classmethod
        def build_evaluator(
            cls, cfg: CfgNode, dataset_name: str, model_classes: Any = None
        ) -> DatasetEvaluator:
            seen.append(model_classes)
            return super().build_evaluator(cfg, dataset_name, model_classes)

    trainer = Trainer(evaluated)
    trainer.resume_or_load(resume=False)
    trainer.train()
    assert seen == [TRAINED]


def test_weights_with_as_many_classes_as_the_model_keep_theirs(evaluated: CfgNode, tmp_path: Path) -> None:
    rename(tmp_path, "class3", "class1", "class2")
    weights = save(evaluated, TRAINED)
    preflight(evaluated, train=())
    model = build_model(evaluated)
    load_for_evaluation(evaluated, model)
    assert model.class_names == TRAINED
    assert torch.equal(model.class_embed.weight, weights["class_embed.weight"])


def test_weights_with_more_classes_are_carried_over_by_name(evaluated: CfgNode) -> None:
    weights = save(evaluated, ["zebra", "class2", "class1", "lion", "class3"], classes=5)
    model = build_model(evaluated)
    load_for_evaluation(evaluated, model)
    assert model.class_names == TRAINED
    assert torch.equal(model.class_embed.weight, weights["class_embed.weight"][[2, 1, 4, 5]])


def test_weights_without_one_of_the_classes_are_refused_with_both_lists(evaluated: CfgNode) -> None:
    save(evaluated, ["class1", "class2", "zebra", "lion"], classes=4)
    with pytest.raises(CheckpointError) as error:
        load_for_evaluation(evaluated, build_model(evaluated))
    assert all(name in str(error.value) for name in (*TRAINED, "zebra", "lion", "NUM_CLASSES"))


def test_weights_without_names_are_taken_in_the_data_set_s_order_and_this_is_said(
    evaluated: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    save(evaluated, None)
    model = build_model(evaluated)
    load_for_evaluation(evaluated, model)
    assert model.class_names is None
    assert any(record.name == "detr_d2.engine.weights" for record in caplog.records)


def test_a_model_without_weights_is_evaluated_as_it_is(evaluated: CfgNode) -> None:
    evaluated.MODEL.WEIGHTS = ""
    model = build_model(evaluated)
    load_for_evaluation(evaluated, model)
    assert model.class_names is None
