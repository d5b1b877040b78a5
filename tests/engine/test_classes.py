"""Rows of a class head find their classes by name wherever weights are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.classes import class_names
from detr_d2.engine.weights import load_frozen_weights
from detr_d2.errors import MissingFileError, UserError

from .helpers import add_masks

NAMES = ["class1", "class2", "class3"]


def save_reordered(cfg: CfgNode, file: Path) -> None:
    """Write a checkpoint whose classes are in the reverse order."""
    weights = build_model(cfg).state_dict()
    weights["class_embed.bias"] = torch.tensor([3.0, 2.0, 1.0, 9.0])
    torch.save({"model": weights, "metadata": {"thing_classes": NAMES[::-1]}}, file)


def test_names_are_read_from_a_json_that_was_not_loaded_yet(training_config: CfgNode) -> None:
    assert "thing_classes" not in MetadataCatalog.get(training_config.DATASETS.TRAIN[0]).as_dict()
    assert class_names(training_config.DATASETS.TRAIN) == {"thing_classes": NAMES}


def test_the_first_data_set_counts_and_the_others_need_not_exist(training_config: CfgNode) -> None:
    MetadataCatalog.get("classes_of_training").thing_classes = ["a"]
    assert class_names(("classes_of_training", "not_registered")) == {"thing_classes": ["a"]}
    assert class_names((*training_config.DATASETS.TEST, "not_registered")) == {"thing_classes": NAMES}
    assert class_names(()) == {}


def test_a_json_that_cannot_be_read_is_named(training_config: CfgNode) -> None:
    name, file, _ = training_config.DATASETS.COCO_JSON[0]
    Path(file).write_text("{")
    with pytest.raises(UserError, match=name):
        class_names((name,))
    Path(file).unlink()
    with pytest.raises(MissingFileError, match=Path(file).name):
        class_names((name,))


def test_things_are_told_from_stuff_where_they_share_a_numbering() -> None:
    names = ["sky", "cat"]
    numbers = {"thing_dataset_id_to_contiguous_id": {7: 1}, "stuff_dataset_id_to_contiguous_id": {3: 0}}
    MetadataCatalog.get("classes_of_both").set(thing_classes=names, stuff_classes=names, **numbers)
    expected = {"thing_classes": names, "stuff_classes": names, "things": [1]}
    assert class_names(("classes_of_both",)) == expected
    MetadataCatalog.remove("classes_of_both")


def test_evaluated_weights_follow_the_names(training_config: CfgNode, tmp_path: Path) -> None:
    save_reordered(training_config, tmp_path / "model.pth")
    model = build_model(training_config)
    DetrCheckpointer(model, metadata=lambda: class_names(training_config.DATASETS.TEST)).load(
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
