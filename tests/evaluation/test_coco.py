"""Average precision on things, by pycocotools and by faster-coco-eval."""

from __future__ import annotations

import json
import logging

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.data import Metadata, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, coco_evaluation

from detr_d2.compat import has_compiled_ops
from detr_d2.evaluation import ThingsEvaluator, coco
from detr_d2.evaluation.coco import things_metadata

from .predictions import Samples, changed_predictions

NAME = "evaluated_val_panoptic"
TASKS = ("bbox", "segm")


def evaluate(evaluator: COCOEvaluator, samples: Samples) -> dict[str, dict[str, float]]:
    evaluator.reset()
    for record, output in samples:
        evaluator.process([record], [output])
    return evaluator.evaluate()


@pytest.fixture
def without_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "COCOeval_faster", None)


@pytest.mark.parametrize("seed", range(4))
def test_faster_coco_eval_gives_pycocotools_numbers(shapes, tmp_path, monkeypatch, caplog, seed):
    """With crowds, equal scores, and predictions of wrong classes."""
    if coco.COCOeval_faster is None:
        pytest.skip("faster-coco-eval is not installed")
    caplog.set_level(logging.INFO)
    samples = changed_predictions(NAME, seed)
    fast = evaluate(ThingsEvaluator(NAME, TASKS, str(tmp_path)), samples)
    assert "computed by faster-coco-eval" in caplog.text
    caplog.clear()
    monkeypatch.setattr(coco, "COCOeval_faster", None)
    slow = evaluate(ThingsEvaluator(NAME, TASKS, str(tmp_path)), samples)
    assert "faster-coco-eval" not in caplog.text
    for task in TASKS:
        assert fast[task] == pytest.approx(slow[task], abs=1e-9, nan_ok=True)
        assert 5 < fast[task]["AP"] < 95


def test_detectron2s_own_evaluation_is_left_as_it_was(shapes, tmp_path):
    before = coco_evaluation.COCOeval_opt
    evaluate(ThingsEvaluator(NAME, TASKS, str(tmp_path)), changed_predictions(NAME))
    assert coco_evaluation.COCOeval_opt is before


def test_without_faster_coco_eval_the_compiled_operators_or_pycocotools_are_used(
    shapes, tmp_path, without_faster
):
    assert ThingsEvaluator(NAME, TASKS, str(tmp_path))._use_fast_impl == has_compiled_ops()


def test_panoptic_data_set_gives_the_numbers_of_its_instance_data_set(shapes, tmp_path):
    """Detectron2's evaluator refuses the panoptic metadata, whose thing_classes hold the stuff too."""
    samples = changed_predictions(NAME)
    results = evaluate(ThingsEvaluator(NAME, TASKS, str(tmp_path)), samples)
    plain = evaluate(COCOEvaluator("evaluated_val", TASKS, False, use_fast_impl=False), samples)
    assert results.keys() == plain.keys()
    for task in TASKS:
        assert results[task] == pytest.approx(plain[task], abs=1e-9, nan_ok=True)
        assert {"AP-circle", "AP-square", "AP-triangle"} < results[task].keys()
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert {entry["category_id"] for entry in written} == {1, 2, 3}
    with pytest.raises(AssertionError):
        evaluate(COCOEvaluator(NAME, TASKS, False, use_fast_impl=False), samples)


def test_no_predictions_give_nan_for_every_task(shapes, tmp_path):
    samples = changed_predictions(NAME)
    for _, output in samples:
        output["instances"] = output["instances"][[]]
    results = evaluate(ThingsEvaluator(NAME, TASKS, str(tmp_path)), samples)
    assert [value != value for task in TASKS for value in results[task].values()] == [True] * 12


def test_things_are_numbered_by_themselves_in_the_order_of_their_classes():
    metadata = Metadata(
        name="m",
        thing_classes=["sky", "cat", "sea", "dog"],
        thing_dataset_id_to_contiguous_id={30: 1, 7: 3},
        json_file="f.json",
    )
    things = things_metadata(metadata)
    assert things.thing_classes == ["cat", "dog"]
    assert things.thing_dataset_id_to_contiguous_id == {30: 0, 7: 1}
    assert things.json_file == "f.json"
    assert metadata.thing_classes == ["sky", "cat", "sea", "dog"]


@pytest.mark.parametrize("name", ["coco_2017_val_panoptic", "coco_2017_val_panoptic_separated"])
def test_both_panoptic_forms_of_coco_have_its_80_things(name):
    things = things_metadata(MetadataCatalog.get(name))
    expected = MetadataCatalog.get("coco_2017_val")
    assert things.thing_classes == expected.thing_classes
    assert things.thing_dataset_id_to_contiguous_id == expected.thing_dataset_id_to_contiguous_id


def test_metadata_without_numbering_stay_as_they_are():
    metadata = Metadata(name="m", json_file="f.json")
    assert things_metadata(metadata) is metadata
