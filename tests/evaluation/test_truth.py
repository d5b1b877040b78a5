"""Truth as predictions: whatever loads has an average precision of 100, or a sentence says why not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_util

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances

from detr_d2.data.preflight import preflight
from detr_d2.evaluation import ThingsEvaluator
from detr_d2.evaluation.ground_truth import load_ground_truth

from .truth import (
    HEIGHT,
    WIDTH,
    evaluate_truth,
    forget,
    objects_as_instances,
    register,
    sound,
)

NAME = "truth_tests"
TASKS = ("bbox", "segm")
Content = dict[str, Any]


pytestmark = pytest.mark.usefixtures("either", "nothing_was_said_yet")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget(NAME)


def results(folder: Path, content: Content, **more: Any) -> dict[str, dict[str, float]]:
    register(NAME, folder, content)
    return evaluate_truth(ThingsEvaluator(NAME, TASKS, str(folder), **more), NAME)


def annotated(change: Callable[[Content], Any]) -> Content:
    content = sound()
    for annotation in content["annotations"]:
        change(annotation)
    return content


def renumbered(key: str, number: Callable[[int], Any]) -> Content:
    """Other ids of annotations, images or categories, everywhere."""
    content = sound()
    for record in content[key]:
        record["id"] = number(record["id"])
    other = {"images": "image_id", "categories": "category_id"}.get(key)
    for annotation in content["annotations"] if other else ():
        annotation[other] = number(annotation[other])
    return content


def with_crowds() -> Content:
    content = sound()
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    pixels[30:40, 10:50] = 1
    counts = mask_util.encode(pixels)["counts"].decode("ascii")
    content["annotations"].append(
        {
            "id": 99,
            "image_id": 1,
            "category_id": 2,
            "iscrowd": 1,
            "bbox": [10, 30, 40, 10],
            "area": 400,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts},
        }
    )
    return content


CASES = {
    "sound": sound(),
    "annotation ids from 0": renumbered("annotations", lambda i: i - 1),
    "annotation ids as text": renumbered("annotations", lambda i: f"a{i}"),
    "no annotation ids but one": annotated(lambda a: a.update(id=a["id"] * 1000)),
    "image ids from 0": renumbered("images", lambda i: i - 1),
    "image ids as text": renumbered("images", str),
    "image ids as floats": renumbered("images", float),
    "category ids from 0": renumbered("categories", lambda i: i - 1),
    "category ids as text": renumbered("categories", lambda i: f"c{i}"),
    "category ids as floats": renumbered("categories", float),
    "category ids with gaps": renumbered("categories", lambda i: 7 * i),
    "category ids in another order": sound(categories=sound()["categories"][::-1]),
    "no area": annotated(lambda a: a.pop("area")),
    "area 0": annotated(lambda a: a.update(area=0)),
    "area null": annotated(lambda a: a.update(area=None)),
    "area as text": annotated(lambda a: a.update(area="196")),
    "area NaN": annotated(lambda a: a.update(area=float("nan"))),
    "area of no image": annotated(lambda a: a.update(area=1e30)),
    "area negative": annotated(lambda a: a.update(area=-5)),
    "no iscrowd": annotated(lambda a: a.pop("iscrowd")),
    "iscrowd null": annotated(lambda a: a.update(iscrowd=None)),
    "crowds": with_crowds(),
    "row 0 without objects": sound(
        categories=[{"id": 0, "name": "objects", "supercategory": "none"}, *sound()["categories"]]
    ),
    "extra keys": annotated(lambda a: a.update(score=0.5, tags=["x"], ignore=0)),
    "a bad polygon beside a good one": annotated(
        lambda a: a.update(segmentation=[[1, 1, 2, 2], *a["segmentation"]])
    ),
    "an image without objects": sound(
        images=[*sound()["images"], {"id": 9, "file_name": "9.png", "height": HEIGHT, "width": WIDTH}]
    ),
    "one class": sound(
        categories=sound()["categories"][:1],
        annotations=[a for a in sound()["annotations"] if a["category_id"] == 1],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_truth_of_a_json_has_an_average_precision_of_100(tmp_path: Path, case: str) -> None:
    found = results(tmp_path, CASES[case])
    for task in TASKS:
        assert [found[task][metric] for metric in ("AP", "AP50", "AP75")] == pytest.approx([100] * 3)
        assert found[task]["APs"] == pytest.approx(100), "all objects are smaller than 32 x 32"


def test_objects_without_a_good_polygon_are_left_out_as_when_they_are_loaded(tmp_path: Path) -> None:
    content = sound()
    content["annotations"][0]["segmentation"] = [[1, 1, 2, 2], [3, 3, 9, 9]]
    register(NAME, tmp_path, content)
    evaluator = ThingsEvaluator(NAME, TASKS, str(tmp_path))
    loaded = DatasetCatalog.get(NAME)
    assert [len(record["annotations"]) for record in loaded] == [2, 3]
    for record in loaded:
        evaluator.process([record], [{"instances": objects_as_instances(record)}])
    found = evaluator.evaluate()
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("segmentation"),
        lambda a: a.update(segmentation=None),
        lambda a: a.update(segmentation=[]),
        lambda a: a.update(segmentation={"size": [1, 1], "counts": "?"}),
    ],
)
def test_boxes_alone_need_no_masks(tmp_path: Path, change: Callable[[Content], Any]) -> None:
    register(NAME, tmp_path, annotated(change))
    evaluator = ThingsEvaluator(NAME, ("bbox",), str(tmp_path))
    assert evaluate_truth(evaluator, NAME, masks=False)["bbox"]["AP"] == pytest.approx(100)


def test_the_files_own_area_decides_between_small_and_large(tmp_path: Path) -> None:
    found = results(tmp_path, annotated(lambda a: a.update(area=50**2)))
    assert found["bbox"]["APm"] == pytest.approx(100)
    assert np.isnan(found["bbox"]["APs"])


def crowded(count: int = 150) -> Content:
    """One image with so many objects of 4 x 3 pixels of one class."""
    annotations = []
    for number in range(count):
        x, y = 4 * (number % 16), 3 * (number // 16)
        shape = {"bbox": [x, y, 4, 3], "segmentation": [[x, y, x + 4, y, x + 4, y + 3, x, y + 3]]}
        annotations.append({"id": number + 1, "image_id": 1, "category_id": 1, "area": 12, **shape})
    return sound(annotations=annotations)


def test_more_objects_than_the_limit_are_reported_once_with_the_key(
    tmp_path: Path, tiny_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    register(NAME, tmp_path, crowded())
    tiny_config.MODEL.DETR.NUM_OBJECT_QUERIES = 200
    preflight(tiny_config, train=(), test=(NAME,))
    for _ in range(2):
        found = evaluate_truth(ThingsEvaluator(NAME, TASKS, str(tmp_path)), NAME)
        for task in TASKS:
            assert 60 < found[task]["AP"] < 70
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "TEST.DETECTIONS_PER_IMAGE (100)" in warning
    assert "val1.png" in warning


def test_a_higher_limit_reaches_all_objects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = results(tmp_path, crowded(), max_dets=200)
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("limit", [1, 5, 10])
def test_the_limit_may_be_below_ten(tmp_path: Path, limit: int) -> None:
    found = results(tmp_path, crowded(20), max_dets=limit)
    assert found["bbox"]["AP50"] == pytest.approx(100 * limit / 20, abs=2)


EMPTY = {
    "no annotations": sound(annotations=[]),
    "no list of annotations": {k: v for k, v in sound().items() if k != "annotations"},
    "crowds alone": annotated(lambda a: a.update(iscrowd=1)),
}


@pytest.mark.parametrize("case", EMPTY)
def test_nothing_to_score_gives_nan_and_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    register(NAME, tmp_path, EMPTY[case])
    evaluator = ThingsEvaluator(NAME, TASKS, str(tmp_path))
    caplog.clear()
    something = Instances((HEIGHT, WIDTH), pred_boxes=Boxes(torch.tensor([[1.0, 2, 3, 4]])))
    something.scores, something.pred_classes = torch.ones(1), torch.zeros(1, dtype=torch.int64)
    something.pred_masks = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    evaluator.process([{"image_id": 1}], [{"instances": something}])
    found = evaluator.evaluate()
    assert list(found) == list(TASKS)
    assert all(np.isnan(value) for task in TASKS for value in found[task].values())
    assert "AP" in found["bbox"]
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    assert len(json.loads((tmp_path / "coco_instances_results.json").read_text())) == 1


def test_no_image_at_all_gives_nan(tmp_path: Path) -> None:
    register(NAME, tmp_path, sound())
    found = ThingsEvaluator(NAME, TASKS, str(tmp_path)).evaluate()
    assert all(np.isnan(found[task]["AP"]) for task in TASKS)


@pytest.mark.parametrize(
    ("key", "own"),
    [("images", lambda i: f"image {i}"), ("categories", lambda i: 10 * i), ("categories", str)],
)
def test_predictions_are_written_with_the_jsons_own_ids(
    tmp_path: Path, key: str, own: Callable[[int], Any]
) -> None:
    content = renumbered(key, own)
    results(tmp_path, content)
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    for kind in ("image_id", "category_id"):
        assert [entry[kind] for entry in written] == [a[kind] for a in content["annotations"]]


def test_some_of_the_images_are_scored_by_their_own_ids(tmp_path: Path) -> None:
    register(NAME, tmp_path, renumbered("images", lambda i: f"image {i}"))
    evaluator = ThingsEvaluator(NAME, TASKS, str(tmp_path))
    first, second = DatasetCatalog.get(NAME)
    evaluator.process([first], [{"instances": objects_as_instances(first)}])
    evaluator.process([second], [{"instances": objects_as_instances(second)[[]]}])
    for images, ap in ((["image 1"], 100), (["image 2"], 0), (None, 50)):
        found = evaluator.evaluate(images)
        assert [found[task]["AP"] for task in TASKS] == pytest.approx([ap, ap], abs=1)


def test_masks_are_made_only_where_they_are_compared(tmp_path: Path) -> None:
    register(NAME, tmp_path, annotated(lambda a: a.pop("area")))
    truth = load_ground_truth(NAME, masks=False)
    assert all("segmentation" not in entry for entry in truth.objects)
    assert [entry["area"] for entry in truth.objects] == [100, 144, 196] * 2, "of the masks"
