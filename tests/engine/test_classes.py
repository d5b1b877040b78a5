"""Rows of a class head find their classes by name wherever weights are loaded."""

from __future__ import annotations

from pathlib import Path

import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.engine import class_names, evaluated_class_names
from detr_d2.engine.frozen import load_frozen_weights

from .helpers import add_masks

NAMES = ["class1", "class2", "class3"]


def save_reordered(cfg: CfgNode, file: Path) -> None:
    """Write a checkpoint whose classes are in the reverse order."""
    weights = build_model(cfg).state_dict()
    weights["class_embed.bias"] = torch.tensor([3.0, 2.0, 1.0, 9.0])
    torch.save({"model": weights, "metadata": {"thing_classes": NAMES[::-1]}}, file)


def test_names_are_read_from_a_json_that_was_not_loaded_yet(training_config: CfgNode) -> None:
    assert "thing_classes" not in MetadataCatalog.get(training_config.DATASETS.TRAIN[0]).as_dict()
    assert class_names(training_config) == {"thing_classes": NAMES}


def test_training_counts_first_and_evaluation_does_not_need_it(training_config: CfgNode) -> None:
    MetadataCatalog.get("classes_of_training").thing_classes = ["a"]
    training_config.DATASETS.TRAIN = ("classes_of_training",)
    assert class_names(training_config) == {"thing_classes": ["a"]}
    training_config.DATASETS.TRAIN = ("not_registered",)
    assert evaluated_class_names(training_config) == {"thing_classes": NAMES}
    training_config.DATASETS.TEST = ()
    assert evaluated_class_names(training_config) == {}


def test_things_are_told_from_stuff_where_they_share_a_numbering(training_config: CfgNode) -> None:
    names = ["sky", "cat"]
    numbers = {"thing_dataset_id_to_contiguous_id": {7: 1}, "stuff_dataset_id_to_contiguous_id": {3: 0}}
    MetadataCatalog.get("classes_of_both").set(thing_classes=names, stuff_classes=names, **numbers)
    training_config.DATASETS.TRAIN = ("classes_of_both",)
    expected = {"thing_classes": names, "stuff_classes": names, "things": [1]}
    assert class_names(training_config) == expected
    MetadataCatalog.remove("classes_of_both")


def test_evaluated_weights_follow_the_names(training_config: CfgNode, tmp_path: Path) -> None:
    save_reordered(training_config, tmp_path / "model.pth")
    model = build_model(training_config)
    DetrCheckpointer(model, metadata=lambda: evaluated_class_names(training_config)).load(
        str(tmp_path / "model.pth")
    )
    assert model.class_embed.bias.tolist() == [1.0, 2.0, 3.0, 9.0]


def test_frozen_weights_follow_the_names(training_config: CfgNode, tmp_path: Path) -> None:
    add_masks(training_config)
    save_reordered(training_config, tmp_path / "model.pth")
    training_config.MODEL.DETR.FROZEN_WEIGHTS = str(tmp_path / "model.pth")
    model = build_model(training_config)
    load_frozen_weights(training_config, model)
    assert model.class_embed.bias.tolist() == [1.0, 2.0, 3.0, 9.0]
