"""Truth as predictions, of records that come from no json file."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_util

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from detr_d2.data.preflight import preflight
from detr_d2.errors import DataError
from detr_d2.evaluation import ThingsEvaluator

from .truth import HEIGHT, WIDTH, evaluate_truth, forget, objects_as_instances, register_records, sound

NAME = "truth_of_records_tests"
TASKS = ("bbox", "segm")

pytestmark = pytest.mark.usefixtures("either", "nothing_was_said_yet")


@pytest.fixture(autouse=True)
def _images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for image in (0, 1):
        Image.new("RGB", (WIDTH, HEIGHT)).save(f"{image}.png")
    yield
    forget(NAME)


def records(shift: int = 0) -> list[dict[str, Any]]:
    """Of two images, with corners for boxes, and polygons, RLE and bitmaps for masks."""
    made = []
    for image in (0, 1):
        annotations = []
        for number in range(3):
            x, y, size = 20 * number + 2 + shift, 6, 8 + 2 * number
            polygons = [[x, y, x + size, y, x + size, y + size, x, y + size]]
            rle = mask_util.merge(mask_util.frPyObjects(polygons, HEIGHT, WIDTH))
            annotations.append(
                {
                    "bbox": [x, y, x + size, y + size],
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": number,
                    "segmentation": [polygons, rle, mask_util.decode(rle)][number],
                }
            )
        record = {"file_name": f"{image}.png", "image_id": image, "height": HEIGHT, "width": WIDTH}
        made.append({**record, "annotations": annotations})
    return made


def test_records_without_a_json_are_scored_and_never_those_of_an_earlier_run(tmp_path: Path) -> None:
    for shift in (0, 9):
        register_records(NAME, records(shift), thing_classes=["a", "b", "c"])
        before = copy.deepcopy(records(shift))
        found = evaluate_truth(ThingsEvaluator(NAME, TASKS, str(tmp_path)), NAME)
        assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])
        assert "AP-b" in found["bbox"]
        for record, old in zip(records(shift), before, strict=True):
            assert [a["bbox"] for a in record["annotations"]] == [a["bbox"] for a in old["annotations"]]
    assert [file.name for file in tmp_path.glob("*.json")] == ["coco_instances_results.json"]


def test_a_file_that_an_earlier_version_left_in_the_output_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}_coco_format.json").write_text(json.dumps(sound(annotations=[])))
    register_records(NAME, records(), thing_classes=["a", "b", "c"])
    found = evaluate_truth(ThingsEvaluator(NAME, TASKS, str(tmp_path)), NAME)
    assert found["bbox"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"thing_classes": ["a", "b", "c"], "thing_dataset_id_to_contiguous_id": {"x": 0, "y": 1, "z": 2}}],
)
def test_records_may_have_no_names_and_ids_of_any_kind(tmp_path: Path, metadata: dict[str, Any]) -> None:
    made = [{**record, "image_id": np.int64(record["image_id"])} for record in records()]
    register_records(NAME, made, **metadata)
    found = evaluate_truth(ThingsEvaluator(NAME, TASKS, str(tmp_path)), NAME)
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert {entry["category_id"] for entry in written} == ({"x", "y", "z"} if metadata else {0, 1, 2})
    assert {entry["image_id"] for entry in written} == {0, 1}


def test_objects_of_records_without_masks_count_neither_way_in_mask_precision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = records()
    del made[0]["annotations"][1]["segmentation"]
    register_records(NAME, made, thing_classes=["a", "b", "c"])
    evaluator = ThingsEvaluator(NAME, TASKS, str(tmp_path))
    for record in records():
        evaluator.process([record], [{"instances": objects_as_instances(record)}])
    found = evaluator.evaluate()
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "1 of 6 objects" in warning
    assert "0.png" in warning


def test_a_class_beyond_the_names_is_an_error_before_anything_runs(tiny_config: CfgNode) -> None:
    made = records()
    made[1]["annotations"][2]["category_id"] = 3
    register_records(NAME, made, thing_classes=["a", "b", "c"])
    with pytest.raises(DataError, match=r"annotation 2 .*1\.png: 3"):
        preflight(tiny_config, train=(), test=(NAME,))


def test_polygons_of_records_may_be_flat_or_points(tmp_path: Path) -> None:
    made = records()
    for record in made:
        (polygon,) = record["annotations"][0]["segmentation"]
        record["annotations"][0]["segmentation"] = polygon
        points = np.reshape(polygon, (-1, 2)) + 20
        square = {"bbox": [22, 26, 30, 34], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1}
        record["annotations"].append({**square, "segmentation": points.tolist()})
    register_records(NAME, made, thing_classes=["a", "b", "c"])
    found = evaluate_truth(ThingsEvaluator(NAME, TASKS, str(tmp_path)), NAME)
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])
