"""Average precision on things, by pycocotools and by faster-coco-eval."""

from __future__ import annotations

import json
import logging

import pytest
from pycocotools.cocoeval import COCOeval

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.evaluation import COCOEvaluator, coco_evaluation

from detr_d2.compat import has_compiled_ops
from detr_d2.evaluation import ThingsEvaluator, coco

from .predictions import Samples, changed_predictions

NAME = "evaluated_val_panoptic"
TASKS = ("bbox", "segm")


def evaluate(evaluator: COCOEvaluator, samples: Samples) -> dict[str, dict[str, float]]:
    evaluator.reset()
    for record, output in samples:
        evaluator.process([record], [output])
    return evaluator.evaluate()


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


def test_without_faster_coco_eval_the_compiled_operators_or_pycocotools_are_used(monkeypatch):
    monkeypatch.setattr(coco, "COCOeval_faster", None)
    compiled = coco_evaluation.COCOeval_opt
    assert coco.implementation() is (compiled if has_compiled_ops() else COCOeval)


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
