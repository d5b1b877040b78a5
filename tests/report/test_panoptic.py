"""PQ by class, from the files that an evaluation wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog

from detr_d2.errors import DataError
from detr_d2.evaluation import PanopticEvaluator
from detr_d2.report.blocks import percent
from detr_d2.report.panoptic import panoptic_section

from ..evaluation.predictions import changed_predictions


def test_pq_by_class_is_that_of_the_evaluation(crowd_folder: Path, tmp_path: Path) -> None:
    name = "crowded_val_panoptic"
    evaluator = PanopticEvaluator(name, str(tmp_path))
    for entry, result in changed_predictions(name):
        evaluator.process([entry], [result])
    results = evaluator.evaluate()
    assert results is not None
    averages, classes = panoptic_section(name, tmp_path).tables
    panoptic = results["panoptic_seg"]
    for row, suffix in zip(averages.rows, ("", "_th", "_st"), strict=True):
        assert row[1] == f"{panoptic[f'PQ{suffix}']:.1f}"
    expected = evaluator.quality.scores().per_category
    by_name = {row[0]: row for row in classes.rows}
    metadata = MetadataCatalog.get(name)
    assert set(by_name) == set(metadata.stuff_classes)
    for number, quality in expected.items():
        own = metadata.stuff_dataset_id_to_contiguous_id | metadata.thing_dataset_id_to_contiguous_id
        row = by_name[metadata.stuff_classes[own[number]]]
        assert row[2:5] == [percent(quality.pq), percent(quality.sq), percent(quality.rq)]
        assert row[5:] == [str(quality.tp), str(quality.fp), str(quality.fn)]

    (tmp_path / "predictions.json").write_text("[]")
    with pytest.raises(DataError, match=r"predictions\.json"):
        panoptic_section(name, tmp_path)
