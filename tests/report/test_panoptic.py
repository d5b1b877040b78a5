"""PQ by class, from the files that an evaluation wrote."""

from __future__ import annotations

import json
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
    averages, classes, confusions = panoptic_section(name, tmp_path).tables
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
    most = max(int(row[2]) for row in confusions.rows)
    assert int(confusions.rows[0][2]) == most > 0
    assert all(row[0] != row[1] for row in confusions.rows)

    file = tmp_path / "predictions.json"
    content = json.loads(file.read_text())
    content["annotations"][3]["segments_info"].pop()  # the map has its pixels
    for wrong in ("[]", '{"annotations": [{}]}', '{"annotations": [1]}', json.dumps(content)):
        file.write_text(wrong)
        with pytest.raises(DataError, match=r"predictions\.json"):
            panoptic_section(name, tmp_path)
