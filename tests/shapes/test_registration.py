"""The sample data set in Detectron2's catalogs."""

from __future__ import annotations

import os

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from detr_d2.data import DataError, load_dataset
from detr_d2.shapes import register_shapes

NAMES = ("train", "val", "train_panoptic", "val_panoptic")


def test_importing_registers_shapes():
    assert {f"shapes_{name}" for name in NAMES} <= set(DatasetCatalog.list())


def test_instances_are_loaded_in_detectron2s_format(shapes_folder):
    records = DatasetCatalog.get("small_train")
    assert len(records) == 40
    assert all(os.path.isfile(record["file_name"]) for record in records)
    assert {a["category_id"] for record in records for a in record["annotations"]} == {0, 1, 2}
    metadata = MetadataCatalog.get("small_train")
    assert metadata.thing_classes == ["circle", "square", "triangle"]
    assert metadata.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2}
    assert metadata.evaluator_type == "coco"
    assert os.path.isfile(metadata.json_file)


def test_panoptic_segments_are_loaded_in_one_numbering(shapes_folder):
    records = DatasetCatalog.get("small_val_panoptic")
    assert len(records) == 25
    for record in records:
        assert os.path.isfile(record["file_name"])
        assert os.path.isfile(record["pan_seg_file_name"])
        for segment in record["segments_info"]:
            assert segment["isthing"] == (segment["category_id"] < 3)
    metadata = MetadataCatalog.get("small_val_panoptic")
    assert metadata.evaluator_type == "coco_panoptic_seg"
    assert metadata.stuff_classes == ["circle", "square", "triangle", "sky", "grass", "water"]
    assert os.path.isdir(metadata.panoptic_root)
    assert os.path.isfile(metadata.panoptic_json)


def test_panoptic_metadata_have_the_entries_of_detectron2s_own(shapes_folder):
    theirs = MetadataCatalog.get("coco_2017_val_panoptic").as_dict()
    ours = MetadataCatalog.get("small_val_panoptic").as_dict()
    assert set(theirs) == set(ours) - {"generated_by"}


def test_registering_again_is_fine_and_other_files_under_one_name_are_not(shapes_folder, tmp_path):
    register_shapes()
    register_shapes(shapes_folder, prefix="small")
    with pytest.raises(ValueError, match="small_train.*registered already"):
        register_shapes(tmp_path, prefix="small")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_data_set_names_the_command_that_makes_it(tmp_path, catalog, name):
    register_shapes(tmp_path / "nowhere", prefix="absent")
    with pytest.raises(FileNotFoundError, match="detr-d2 shapes"):
        DatasetCatalog.get(f"absent_{name}")
    with pytest.raises(DataError, match="detr-d2 shapes"):
        load_dataset(f"absent_{name}")


def test_registering_reads_the_environment(monkeypatch, catalog):
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/sets")
    register_shapes(prefix="home")
    folder = os.path.join(os.path.expanduser("~"), "sets", "shapes")
    assert MetadataCatalog.get("home_val").json_file == f"{folder}/annotations/instances_val.json"
    assert MetadataCatalog.get("home_val").image_root == f"{folder}/val"
