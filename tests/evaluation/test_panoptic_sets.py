"""Both evaluators on panoptic data sets of all kinds: truth as predictions, and classes by name."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluators

from detr_d2.data import panoptic_to_detection
from detr_d2.data.preflight import preflight
from detr_d2.data.segment_map import read_segment_ids
from detr_d2.errors import DataError
from detr_d2.evaluation import PanopticEvaluator, ThingsEvaluator, build_evaluator

from .panoptic_set import Output, perfect_outputs, write_panoptic

NAME = "panoptic_sets_tests"
THINGS_FIRST = [("cat", True), ("dog", True), ("sky", False), ("sea", False)]
STUFF_FIRST = [("sky", False), ("cat", True), ("sea", False), ("dog", True)]
THINGS = [("cat", True), ("dog", True)]
STUFF = [("sky", False), ("sea", False)]
TASKS = ("bbox", "segm")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    DatasetCatalog.remove(NAME)
    MetadataCatalog.pop(NAME, None)


def evaluate(
    folder: Path, outputs: Sequence[Output], model_classes: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    evaluator = DatasetEvaluators(
        [
            ThingsEvaluator(NAME, TASKS, str(folder), model_classes=model_classes),
            PanopticEvaluator(NAME, str(folder), model_classes),
        ]
    )
    evaluator.reset()
    for record, output in outputs:
        evaluator.process([record], [output])
    return evaluator.evaluate()


@pytest.mark.parametrize("own_id", [lambda n: 10 * n + 3, lambda n: n, lambda n: 7 - n])
@pytest.mark.parametrize("classes", [THINGS_FIRST, STUFF_FIRST])
def test_the_truth_is_perfect_whichever_classes_come_first(
    tmp_path: Path, either: None, classes: list[tuple[str, bool]], own_id: Callable[[int], int]
) -> None:
    write_panoptic(tmp_path, NAME, classes, [[0, 1, 2, 3, 1], [3, None, 1]], own_id)
    found = evaluate(tmp_path, perfect_outputs(NAME))
    for task in TASKS:
        assert found[task]["AP"] == pytest.approx(100)
        assert [key for key in found[task] if key.startswith("AP-")] == ["AP-cat", "AP-dog"]
    assert list(found["panoptic_seg"].values()) == pytest.approx([100] * 9)
    things = {own_id(number) for number, (_, isthing) in enumerate(classes) if isthing}
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert {entry["category_id"] for entry in written} == things


@pytest.mark.parametrize(
    ("classes", "images", "pq", "ap"),
    [
        (THINGS, [[0, 1], [1]], (100, 100, math.nan), 100),
        (STUFF, [[0, 1], [1]], (100, math.nan, 100), math.nan),
        (THINGS_FIRST, [[0, 2], [None]], (100, 100, 100), 100),
        (THINGS_FIRST, [[None], [None]], (math.nan, math.nan, math.nan), math.nan),
    ],
    ids=["things alone", "stuff alone", "an image of void", "nothing but void"],
)
def test_classes_and_images_of_one_kind(
    tmp_path: Path,
    either: None,
    classes: list[tuple[str, bool]],
    images: list[list[int]],
    pq: tuple[float, float, float],
    ap: float,
) -> None:
    write_panoptic(tmp_path, NAME, classes, images)
    found = evaluate(tmp_path, perfect_outputs(NAME))
    qualities = [found["panoptic_seg"][key] for key in ("PQ", "PQ_th", "PQ_st")]
    assert qualities == pytest.approx(pq, nan_ok=True)
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([ap, ap], nan_ok=True)


@pytest.mark.parametrize("void", [True, False], ids=["all void", "invented segments"])
def test_what_is_not_found_is_0(tmp_path: Path, either: None, void: bool) -> None:
    write_panoptic(tmp_path, NAME, THINGS_FIRST, [[0, 2, 3], [1]])
    outputs = perfect_outputs(NAME)
    for _, output in outputs:
        ids, segments = output["panoptic_seg"]
        if void:
            output["panoptic_seg"] = torch.zeros_like(ids), []
            output["instances"] = output["instances"][[]]
        else:
            for segment in segments:
                segment.update({"category_id": {0: 1, 1: 0, 2: 3, 3: 2}[segment["category_id"]]})
            output["instances"].pred_classes = 1 - output["instances"].pred_classes
    found = evaluate(tmp_path, outputs)
    assert [found["panoptic_seg"][key] for key in ("PQ", "PQ_th", "PQ_st")] == [0, 0, 0]
    for task in TASKS:
        assert found[task]["AP"] == pytest.approx(math.nan if void else 0, nan_ok=True)


def permuted(outputs: Sequence[Output], numbers: dict[int, int]) -> list[Output]:
    """The same of a model that numbers the classes otherwise."""
    for _, output in outputs:
        for segment in output["panoptic_seg"][1]:
            segment["category_id"] = numbers[segment["category_id"]]
        of_things = [numbers[n] for n in output["instances"].pred_classes.tolist()]
        output["instances"].pred_classes = torch.tensor(of_things, dtype=torch.int64)
    return list(outputs)


def test_classes_of_a_model_are_found_by_name(tmp_path: Path, either: None) -> None:
    write_panoptic(tmp_path, NAME, STUFF_FIRST, [[0, 1, 2, 3, 1], [3, None, 1]])
    model = ["Dog", "grass", " cat", "bird", "sea", "SKY"]
    outputs = permuted(perfect_outputs(NAME), {0: 5, 1: 2, 2: 4, 3: 0})
    found = evaluate(tmp_path, outputs, model)
    assert [found[task]["AP"] for task in TASKS] == pytest.approx([100, 100])
    assert found["panoptic_seg"]["PQ"] == pytest.approx(100)


def test_predictions_of_classes_that_the_data_set_has_not_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A void segment counts for nothing; where the bird was there is nothing now."""
    caplog.set_level(logging.INFO)
    write_panoptic(tmp_path, NAME, THINGS_FIRST, [[0, None, 2], [1, 3]])
    outputs = perfect_outputs(NAME)
    ids, segments = outputs[0][1]["panoptic_seg"]
    ids[ids == 0] = 77
    segments.append({"id": 77, "category_id": 4, "isthing": True})
    instances = outputs[1][1]["instances"]
    instances.pred_classes[:] = 4
    found = evaluate(tmp_path, outputs, [*(name for name, _ in THINGS_FIRST), "bird"])
    assert found["panoptic_seg"]["PQ"] == pytest.approx(100)
    assert found["bbox"]["AP-cat"] == pytest.approx(100)
    assert found["bbox"]["AP-dog"] == 0
    said = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(said) == 2
    assert "1 predictions" in said[0]
    assert "1 segments" in said[1]
    written = json.loads((tmp_path / "predictions.json").read_text())
    assert [len(a["segments_info"]) for a in written["annotations"]] == [2, 2]
    assert set(read_segment_ids(str(tmp_path / "predictions" / "1.png")).ravel()) == {1005, 0, 1019}


@pytest.mark.parametrize("kind", [ThingsEvaluator, PanopticEvaluator])
def test_a_class_that_the_model_has_not_is_an_error_before_anything_is_predicted(
    tmp_path: Path, kind: type
) -> None:
    write_panoptic(tmp_path, NAME, THINGS_FIRST, [[0, 1, 2, 3]])
    arguments = (TASKS, None, 100) if kind is ThingsEvaluator else (None,)
    with pytest.raises(DataError) as error:
        kind(NAME, *arguments, ["cat", "cow", "sky"])
    assert NAME in str(error.value)
    for name in ("cat", "cow", "sky", "dog"):
        assert name in str(error.value)


def test_a_detector_of_the_things_needs_no_stuff(tmp_path: Path) -> None:
    write_panoptic(tmp_path, NAME, STUFF_FIRST, [[0, 1, 2, 3]])
    evaluator = ThingsEvaluator(NAME, ("bbox",), None, model_classes=["dog", "cat"])
    ((record, output),) = permuted(perfect_outputs(NAME), {0: 9, 1: 1, 2: 9, 3: 0})
    evaluator.process([record], [output])
    assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100)


def test_an_instance_of_stuff_is_an_error_that_names_the_numbers(tmp_path: Path) -> None:
    write_panoptic(tmp_path, NAME, STUFF_FIRST, [[0, 1, 2, 3]])
    evaluator = ThingsEvaluator(NAME, ("bbox",), None)
    ((record, output),) = perfect_outputs(NAME)
    output["instances"].pred_classes[:] = 2
    evaluator.process([record], [output])
    with pytest.raises(DataError, match=f"class 2.*{NAME}.*2.*1, 3"):
        evaluator.evaluate()


def test_by_config(tmp_path: Path, mask_config: CfgNode) -> None:
    write_panoptic(tmp_path, NAME, STUFF_FIRST, [[0, 1, 2, 3, 1], [3, None, 1]])
    mask_config.MODEL.DETR.TEST.PANOPTIC_ON = True
    evaluator = build_evaluator(mask_config, NAME, str(tmp_path), [name for name, _ in STUFF_FIRST])
    evaluator.reset()
    for record, output in perfect_outputs(NAME):
        evaluator.process([record], [output])
    found: dict[str, Any] = evaluator.evaluate()
    assert [found["bbox"]["AP"], found["segm"]["AP"]] == pytest.approx([100, 100])
    assert found["panoptic_seg"]["PQ"] == pytest.approx(100)


def test_the_json_of_instances_is_looked_at_before_anything_runs(
    tmp_path: Path, tiny_config: CfgNode
) -> None:
    write_panoptic(tmp_path, NAME, THINGS_FIRST, [[0, 1, 2, 3]])
    MetadataCatalog.get(NAME).set(json_file=str(tmp_path / "instances.json"))
    tiny_config.MODEL.DETR.TEST.PANOPTIC_ON = True
    with pytest.raises(DataError, match=r"instances\.json"):
        preflight(tiny_config, train=(), test=(NAME,))
    tiny_config.MODEL.DETR.TEST.INSTANCE_ON = False
    preflight(tiny_config, train=(), test=(NAME,))


@pytest.mark.parametrize("beside", [True, False], ids=["json of instances", "maps alone"])
def test_more_things_than_the_limit_are_said_before_anything_runs(
    tmp_path: Path, tiny_config: CfgNode, caplog: pytest.LogCaptureFixture, beside: bool
) -> None:
    write_panoptic(tmp_path, NAME, THINGS_FIRST, [[0, 1], [0, 1, 0, 1, 1]])
    if beside:
        content = panoptic_to_detection(str(tmp_path / "panoptic.json"), str(tmp_path / "maps"))
        (tmp_path / "instances.json").write_text(json.dumps(content))
        MetadataCatalog.get(NAME).set(json_file=str(tmp_path / "instances.json"))
    tiny_config.MODEL.DETR.TEST.PANOPTIC_ON = True
    tiny_config.TEST.DETECTIONS_PER_IMAGE = 2
    preflight(tiny_config, train=(), test=(NAME,))
    (table,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "(up to 3)" in table
    assert "TEST.DETECTIONS_PER_IMAGE (2)" in table
    assert "2.jpg" in table
