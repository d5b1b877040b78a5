"""Statistics of data sets."""

from __future__ import annotations

from pathlib import Path

from detr_d2.data import load_dataset
from detr_d2.report.data_statistics import data_section

from .conftest import NAMES, Output


def test_objects_are_counted_by_class_and_size(output: Output) -> None:
    facts, classes = data_section(output.cfg.DATASETS.TEST).tables
    told = {row[0]: row[1] for row in facts.rows}
    assert told["images"] == "3"
    assert told["images without objects"] == "0"
    assert told["objects"] == "11"
    assert told["crowds"] == "1"
    assert told["objects of an image, mean and most"] == "3.7, 4"
    assert told["small, medium, large"] == "100 % / 0 % / 0 %"
    assert told["image widths"] == "520 to 520"
    assert {row[0]: row[1] for row in classes.rows} == dict(zip(NAMES, "344", strict=True))


def test_segments_of_panoptic_sets_are_counted(shapes_folder: Path) -> None:
    facts, classes = data_section(["small_val_panoptic"]).tables
    records = load_dataset("small_val_panoptic")
    total = sum(not s["iscrowd"] for record in records for s in record["segments_info"])
    assert {row[0]: row[1] for row in facts.rows}["objects"] == f"{total:,}"
    assert sum(int(row[1]) for row in classes.rows) == total
    assert {"circle", "sky"} <= {row[0] for row in classes.rows}


def test_a_data_set_that_is_not_there_is_named() -> None:
    section = data_section(["no_such_data"])
    assert "no_such_data" in section.text[0]
    assert data_section([]).tables == ()
