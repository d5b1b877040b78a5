from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode

from detr_d2.data import load_dataset
from detr_d2.data.segment_map import read_segment_ids
from detr_d2.evaluation import PanopticQuality
from detr_d2.modeling.inference import Sizes
from detr_d2.predict import inference_config
from detr_d2.tools import choose_panoptic_threshold
from detr_d2.tools.choose_panoptic_threshold import main

from ..modeling.recipe import make_inference
from .conftest import Project

THRESHOLDS = (0.25, 0.4, 0.5, 0.6, 0.7)


def arguments(project: Project) -> list[str]:
    return ["--config-file", project.config, "--weights", project.weights, "--device", "cpu"]


class HalfKnowing:
    """Finds every segment, with a score drawn by lot, and also invents some."""

    def __init__(self, cfg: CfgNode):
        threshold = cfg.MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD
        things = (0, 1, 2)
        self.model = SimpleNamespace(
            inference=make_inference(panoptic_on=True, things=things, panoptic_score_threshold=threshold)
        )

    def __call__(self, record: dict[str, Any]) -> dict[Any, Any]:
        rng = np.random.default_rng(record["image_id"])
        ids = read_segment_ids(record["pan_seg_file_name"])
        segments, size = record["segments_info"], ids.shape
        masks = np.stack([ids == segment["id"] for segment in segments] + [np.zeros(size, dtype=bool)] * 2)
        for invented in masks[-2:]:
            y, x = rng.integers(0, 40, 2)
            invented[y : y + 24, x : x + 24] = True
        logits = np.where(masks, 5.0, -5.0)
        logits[-2:] *= 2
        scores = np.append(rng.uniform(0.45, 0.95, len(segments)), rng.uniform(0.3, 0.45, 2))
        probabilities = np.repeat((1 - scores)[:, None] / 6, 7, axis=1)
        classes = [segment["category_id"] for segment in segments] + rng.integers(0, 6, 2).tolist()
        probabilities[np.arange(len(masks)), classes] = scores
        return self.model.inference(
            torch.from_numpy(np.log(probabilities))[None],
            torch.full((1, len(masks), 4), 0.5),
            Sizes(size, [size], [size]),
            lambda queries, chunk: [torch.from_numpy(logits)[of_image] for of_image in queries],
        )[0]


def quality(predictor: HalfKnowing, name: str, images: int) -> list[float]:
    """PQ of all, things and stuff in percent."""
    result = PanopticQuality({number: number < 3 for number in range(6)})
    for record in load_dataset(name)[:images]:
        ids, segments = predictor(record)["panoptic_seg"]
        truth = read_segment_ids(record["pan_seg_file_name"])
        result.add(truth, record["segments_info"], ids.numpy(), segments)
    scores = result.scores()
    return [100 * part.pq for part in (scores.all, scores.things, scores.stuff)]


def test_each_row_is_the_quality_of_the_model_with_that_threshold(panoptic_project, capsys, monkeypatch):
    """On the images that the fixture tests on, as if they were training images."""
    monkeypatch.setattr(choose_panoptic_threshold, "ImagePredictor", HalfKnowing)
    name = panoptic_project.dataset
    more = ["--dataset", name, "--thresholds", ",".join(map(str, THRESHOLDS)), "--images", "3"]
    swapped = ["DATASETS.TEST", "('tools_shapes_train_panoptic',)"]
    assert main([*arguments(panoptic_project), *more, *swapped]) == 0

    out = capsys.readouterr().out
    assert f"first 3 images of {name}" in out
    rows = [line.strip("| ").split("|") for line in out.splitlines() if line.startswith("|")][2:]
    assert [float(row[0]) for row in rows] == list(THRESHOLDS)
    expected = []
    for threshold in THRESHOLDS:
        opts = ["MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD", str(threshold)]
        cfg = inference_config(panoptic_project.config, opts, panoptic_project.weights, "cpu")
        expected.append(quality(HalfKnowing(cfg), name, images=3))
    assert [[float(row[i]) for i in (1, 4, 5)] for row in rows] == [
        pytest.approx(row, abs=1e-3) for row in expected
    ]
    averages = [row[0] for row in expected]
    assert len(set(averages)) == len(averages)
    assert 0 < np.argmax(averages) < len(averages) - 1
    best = THRESHOLDS[int(np.argmax(averages))]
    assert out.splitlines()[-1] == f"best: MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD {best:g}"


def test_the_training_images_are_the_default(panoptic_project, capsys):
    assert main([*arguments(panoptic_project), "--thresholds", "0.5"]) == 0
    assert "first 1 images of tools_shapes_train_panoptic" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--dataset", "tools_shapes_val_panoptic"], "is one of DATASETS.TEST"),
        (["DATASETS.TRAIN", "()"], "no data set"),
        (["--images", "0"], "--images must be at least 1"),
        (["--thresholds", "0.3;0.4"], "numbers with commas"),
        (["--thresholds", "0.5,1.5"], "--thresholds must be from 0 to 1, got 0.5,1.5"),
        (["--thresholds", "nan"], "--thresholds must be from 0 to 1"),
        (["--dataset", "shapes_trian_panoptic"], "Did you mean"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(panoptic_project, capsys, more, words):
    assert main([*arguments(panoptic_project), *more]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
