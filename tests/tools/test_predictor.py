"""Prediction from Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from PIL import Image

from detr_d2.data import load_dataset
from detr_d2.engine import DetrTrainer
from detr_d2.errors import MissingFileError, UserError
from detr_d2.predict import ImagePredictor, Predictor, inference_config
from detr_d2.tools.demo import main

from .conftest import Project


@pytest.mark.parametrize("kind", ["project", "panoptic_project"])
def test_the_picture_is_the_demos(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: Project = request.getfixturevalue(kind)
    picture = Predictor(model.config, model.weights).draw(model.images[0], confidence=0.0)
    drawn = str(tmp_path / "drawn.png")
    arguments = ["--config-file", model.config, "--input", model.images[0], "--output", drawn]
    assert main([*arguments, "--weights", model.weights, "--confidence", "0"]) == 0
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(drawn)))


def test_a_lower_confidence_draws_more(project: Project) -> None:
    predictor = Predictor(project.config, project.weights)
    few, many = (np.asarray(predictor.draw(project.images[0], c)) for c in (1.0, 0.0))
    assert (few != many).any()


def test_what_is_not_there_is_said(project: Project) -> None:
    with pytest.raises(MissingFileError, match=r"COCO-Detection/detr_R_5\.yaml"):
        Predictor("COCO-Detection/detr_R_5.yaml")
    with pytest.raises(UserError, match="no weights were published"):
        Predictor("Shapes-Detection/detr_tiny.yaml")
    predictor = Predictor(project.config, project.weights)
    with pytest.raises(MissingFileError, match=r"none\.jpg"):
        predictor.draw("none.jpg")
    with pytest.raises(UserError, match="confidence"):
        predictor.draw(project.images[0], 1.5)


@pytest.mark.parametrize("kind", ["project", "panoptic_project"])
def test_files_arrays_and_batches_give_the_same(kind: str, request: pytest.FixtureRequest) -> None:
    """Images of two sizes: those of one go through the model together."""
    model: Project = request.getfixturevalue(kind)
    predictor = Predictor(model.config, model.weights)
    files = model.images[:3]
    arrays = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    arrays.append(np.ascontiguousarray(arrays[0][:60]))
    alone = [predictor(file) for file in files]
    for found in (predictor(files), predictor(arrays)[:3], [predictor(Path(file)) for file in files]):
        for one, other in zip(found, alone, strict=True):
            assert one.keys() == other.keys()
            same_instances(one["instances"], other["instances"])
    cut = predictor(arrays)[3]["instances"]
    assert cut.image_size == arrays[3].shape[:2]
    assert predictor([]) == []


def same_instances(one: Instances, other: Instances) -> None:
    assert one.image_size == other.image_size
    torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.pred_boxes.tensor, other.pred_boxes.tensor, rtol=1e-4, atol=1e-2)
    assert torch.equal(one.pred_classes, other.pred_classes)


def rows(found: dict[str, Any]) -> np.ndarray:
    """(n, 6): score, class, and x, y, width, height, best first."""
    instances = found["instances"]
    x0, y0, x1, y1 = instances.pred_boxes.tensor.double().unbind(1)
    columns = instances.scores.double(), instances.pred_classes.double(), x0, y0, x1 - x0, y1 - y0
    table = torch.stack(columns, 1).numpy()
    return table[np.argsort(-table[:, 0], kind="stable")]


def test_the_digits_are_those_of_an_evaluation(project: Project, tmp_path: Path) -> None:
    """Alone to the last one; in a batch to those of float32, whose sums have another order."""
    cfg = inference_config(project.config, ["OUTPUT_DIR", str(tmp_path)], project.weights, "cpu")
    DetrTrainer.test(cfg, ImagePredictor(cfg).model)
    written = json.loads((tmp_path / "inference" / "coco_instances_results.json").read_text())
    records = load_dataset(cfg.DATASETS.TEST[0])
    files = [record["file_name"] for record in records]
    predictor = Predictor(project.config, project.weights)
    for record, file, in_batch in zip(records, files, predictor(files), strict=True):
        entries = [entry for entry in written if entry["image_id"] == record["image_id"]]
        expected = np.array([[e["score"], e["category_id"] - 1, *e["bbox"]] for e in entries])
        expected = expected[np.argsort(-expected[:, 0], kind="stable")]
        assert len(expected) == 10
        np.testing.assert_allclose(rows(predictor(file)), expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(rows(in_batch), expected, rtol=1e-5, atol=1e-4)


def test_detections_are_the_instances_with_the_names_of_their_classes(project: Project) -> None:
    supervision = pytest.importorskip("supervision")
    predictor = Predictor(project.config, project.weights)
    instances = predictor(project.images[0])["instances"]
    least = float(instances.scores.median())
    kept = instances[instances.scores >= least]
    one = predictor.detections(project.images[0], least)
    assert isinstance(one, supervision.Detections)
    np.testing.assert_array_equal(one.xyxy, kept.pred_boxes.tensor.numpy())
    np.testing.assert_array_equal(one.confidence, kept.scores.numpy())
    np.testing.assert_array_equal(one.class_id, kept.pred_classes.numpy())
    names = ("ant", "bee", "cat")
    assert one.data["class_name"].tolist() == [names[number] for number in kept.pred_classes]
    assert (one.mask, one.tracker_id) == (None, None)
    several = predictor.detections(project.images[:2], least)
    assert len(several) == 2
    assert len(predictor.detections(project.images[0], 1.0)) == 0
    with pytest.raises(UserError, match="confidence"):
        predictor.detections(project.images[0], 1.5)


def test_detections_have_masks_where_the_model_does(panoptic_project: Project) -> None:
    pytest.importorskip("supervision")
    predictor = Predictor(panoptic_project.config, panoptic_project.weights)
    masks = predictor(panoptic_project.images[0])["instances"].pred_masks
    assert masks.any()
    np.testing.assert_array_equal(predictor.detections(panoptic_project.images[0], 0.0).mask, masks.numpy())


def test_detections_of_segments_alone_and_without_the_package_say_what_to_do(
    panoptic_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "segments.yaml"
    segments = "{DETR: {TEST: {INSTANCE_ON: False}}}"
    config.write_text(f"_BASE_: {panoptic_project.config}\nMODEL: {segments}\n")
    with pytest.raises(UserError, match="INSTANCE_ON"):
        Predictor(str(config), panoptic_project.weights).detections(panoptic_project.images[0])
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="pip install 'supervision'"):
        Predictor(panoptic_project.config, panoptic_project.weights).detections(panoptic_project.images[0])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(project: Project, image: np.ndarray) -> None:
    with pytest.raises(UserError, match="uint8"):
        Predictor(project.config, project.weights)(image)
