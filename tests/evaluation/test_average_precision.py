"""Average precision of random data sets, against pycocotools on the files themselves."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances

from detr_d2.evaluation import ThingsEvaluator, coco
from detr_d2.evaluation.average_precision import evaluate_coco
from detr_d2.evaluation.ground_truth import load_ground_truth

from .truth import forget, register

NAME = "average_precision_tests"
TASKS = ("bbox", "segm")
HEIGHT, WIDTH = 200, 260
IMPLEMENTATIONS = {"pycocotools": COCOeval, "faster-coco-eval": coco.COCOeval_faster}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget(NAME)


def random_content(rng: np.random.Generator) -> dict[str, Any]:
    """Well-formed annotations of all sizes, some of them crowds, some of two polygons; ids with gaps."""
    images = [{"id": 3 * i + 5, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(6)]
    categories = [{"id": i, "name": f"class {i}"} for i in (2, 3, 11, 17)]  # of 17 there are none
    annotations = []
    for image in images:
        for _ in range(rng.integers(0, 9)):
            polygons = []
            x, y = rng.integers(0, (WIDTH - 20, HEIGHT - 20))
            for part in range(rng.integers(1, 3)):
                angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
                radius = rng.choice([6, 20, 60])
                points = np.stack([x + part * 9 + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
                polygons.append(points.clip(0, (WIDTH, HEIGHT)).round(2).ravel().tolist())
            rle = mask_util.merge(mask_util.frPyObjects(polygons, HEIGHT, WIDTH))
            crowd = int(rng.random() < 0.2)
            pixels = mask_util.decode(rle)
            if not pixels.any():
                continue
            runs = np.diff(np.flatnonzero(np.diff(pixels.ravel("F"), prepend=0, append=0)), prepend=0)
            runs = [*runs.tolist(), pixels.size - int(runs.sum())]
            uncompressed = {"size": [HEIGHT, WIDTH], "counts": runs}
            annotations.append(
                {
                    "id": 10 * len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": int(rng.choice([2, 3, 11])),
                    "iscrowd": crowd,
                    "bbox": mask_util.toBbox(rle).tolist(),
                    "area": float(mask_util.area(rle)) * rng.choice([1, 0.7]),
                    "segmentation": uncompressed if crowd else polygons,
                }
            )
    return {"images": images, "annotations": annotations, "categories": categories}


def random_outputs(
    rng: np.random.Generator, content: dict[str, Any]
) -> list[tuple[dict[str, Any], Instances]]:
    """For each image its objects moved, some left out, doubled or of another class, and invented ones."""
    outputs = []
    for image in content["images"]:
        masks, classes = [], []
        for annotation in content["annotations"]:
            if annotation["image_id"] != image["id"] or rng.random() < 0.2:
                continue
            own = COCO()
            own.imgs = {image["id"]: image}
            pixels = own.annToMask(annotation)
            for _ in range(rng.integers(1, 3)):
                masks.append(np.roll(pixels, rng.integers(-3, 4, 2), (0, 1)))
                true = [2, 3, 11].index(annotation["category_id"])
                classes.append(true if rng.random() < 0.8 else rng.integers(4))
        for _ in range(rng.integers(0, 4)):
            y, x = rng.integers(0, (HEIGHT - 30, WIDTH - 30))
            masks.append(np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
            masks[-1][y : y + rng.integers(1, 30), x : x + rng.integers(1, 30)] = 1
            classes.append(rng.integers(4))
        instances = Instances((HEIGHT, WIDTH))
        pixels = np.array(masks, dtype=np.uint8).reshape(-1, HEIGHT, WIDTH)
        boxes = [mask_util.toBbox(mask_util.encode(np.asfortranarray(mask))) for mask in pixels]
        corners = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], dtype=np.float32).reshape(-1, 4)
        instances.pred_boxes = Boxes(torch.from_numpy(corners))
        instances.scores = torch.from_numpy(rng.choice(np.linspace(0, 1, 8), len(masks)))  # some are equal
        instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
        instances.pred_masks = torch.from_numpy(pixels.astype(bool))
        outputs.append(({"image_id": image["id"]}, instances))
    return outputs


def plain(json_file: Path, written: list[dict[str, Any]], task: str) -> COCOeval:
    """pycocotools alone: of a json file and results as they are written for its users."""
    written = copy.deepcopy(written)
    if task == "segm":
        for entry in written:
            del entry["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(json_file))
        evaluation = COCOeval(truth, truth.loadRes(written), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("seed", range(4))
def test_random_sets_have_the_precision_and_recall_of_pycocotools(
    tmp_path: Path, seed: int, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if IMPLEMENTATIONS[implementation] is None:
        pytest.skip("faster-coco-eval is not installed")
    monkeypatch.setattr(coco, "implementation", lambda: IMPLEMENTATIONS[implementation])
    computed = {}

    def remembered(*args: Any) -> Any:
        evaluation, summary = evaluate_coco(*args)
        computed[args[3]] = evaluation
        return evaluation, summary

    monkeypatch.setattr(coco, "evaluate_coco", remembered)
    rng = np.random.default_rng(seed)
    content = random_content(rng)
    register(NAME, tmp_path, content)
    DatasetCatalog.get(NAME)
    evaluator = ThingsEvaluator(NAME, TASKS, str(tmp_path))
    for record, instances in random_outputs(rng, content):
        evaluator.process([record], [{"instances": instances}])
    found = evaluator.evaluate()
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert any(a["iscrowd"] for a in content["annotations"])
    for task in TASKS:
        expected = plain(tmp_path / f"{NAME}.json", written, task)
        assert computed[task].stats == pytest.approx(expected.stats.tolist(), abs=1e-9)
        for key in ("precision", "recall"):
            np.testing.assert_allclose(computed[task].eval[key], expected.eval[key], atol=1e-9)
        metrics = [found[task][name] for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")]
        wanted = [100 * x if x >= 0 else np.nan for x in expected.stats[:6]]
        assert metrics == pytest.approx(wanted, abs=1e-7, nan_ok=True)
        assert 5 < metrics[0] < 95
        for place, name in enumerate(("class 2", "class 3", "class 11")):
            of_class = expected.eval["precision"][:, :, place, 0, -1]
            assert found[task][f"AP-{name}"] == pytest.approx(100 * of_class.mean(), abs=1e-7)
        assert np.isnan(found[task]["AP-class 17"])


@pytest.mark.parametrize("limit", [1, 3, 10, 40, 100, 300])
def test_both_implementations_agree_for_any_limit(tmp_path: Path, limit: int) -> None:
    if coco.COCOeval_faster is None:
        pytest.skip("faster-coco-eval is not installed")
    rng = np.random.default_rng(limit)
    content = random_content(rng)
    register(NAME, tmp_path, content)
    DatasetCatalog.get(NAME)
    evaluator = ThingsEvaluator(NAME, TASKS, str(tmp_path), max_dets=limit)
    for record, instances in random_outputs(rng, content):
        evaluator.process([record], [{"instances": instances}])
    evaluator.evaluate()
    truth = load_ground_truth(NAME, masks=True)
    found = json.loads((tmp_path / "coco_instances_results.json").read_text())
    for entry in found:
        entry["image_id"] = truth.image_numbers[entry["image_id"]]
        entry["category_id"] = 1 + [2, 3, 11, 17].index(entry["category_id"])
    for task in TASKS:
        (one, text), (other, same_text) = (
            evaluate_coco(i, truth, found, task, limit) for i in IMPLEMENTATIONS.values()
        )
        assert text == same_text
        assert one.stats == pytest.approx(other.stats, abs=1e-9)
        np.testing.assert_allclose(one.eval["precision"], other.eval["precision"], atol=1e-9)
        np.testing.assert_allclose(one.eval["recall"], other.eval["recall"], atol=1e-9)
        assert one.stats[0] > 0
