"""Data sets in Detectron2's catalogs."""

from __future__ import annotations

import os

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from detr_d2.data import (
    DataError,
    build_detr_train_loader,
    load_dataset,
    read_classes,
    register_coco_json,
    register_coco_panoptic_json,
    register_configured,
    register_shapes,
)
from detr_d2.data.builtin import datasets_root
from detr_d2.engine.setup import read_config
from detr_d2.errors import ConfigError
from detr_d2.paths import configs_folder

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
    with pytest.raises(FileNotFoundError, match="python -m detr_d2.tools.generate_shapes"):
        DatasetCatalog.get(f"absent_{name}")
    with pytest.raises(DataError, match="python -m detr_d2.tools.generate_shapes"):
        load_dataset(f"absent_{name}")


def test_root_follows_the_environment_and_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/sets")
    assert datasets_root() == os.path.join(os.path.expanduser("~"), "sets")
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert datasets_root() == "datasets"


def test_registering_reads_the_environment(monkeypatch, catalog):
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/sets")
    register_shapes(prefix="home")
    folder = os.path.join(os.path.expanduser("~"), "sets", "shapes")
    assert MetadataCatalog.get("home_val").json_file == f"{folder}/annotations/instances_val.json"
    assert MetadataCatalog.get("home_val").image_root == f"{folder}/val"


def test_coco_json_files_are_registered_from_the_config(data_config, coco_folder, catalog):
    entry = ["cups", str(coco_folder / "train.json"), str(coco_folder / "images")]
    data_config.DATASETS.COCO_JSON = [entry]
    register_coco_json(data_config)
    register_coco_json(data_config)
    records = load_dataset("cups")
    assert [record["annotations"][0]["category_id"] for record in records] == [0, 1]
    assert MetadataCatalog.get("cups").thing_classes == ["cup", "jug"]
    assert MetadataCatalog.get("cups").evaluator_type == "coco"

    data_config.DATASETS.COCO_JSON = [["cups", "other.json", str(coco_folder / "images")]]
    with pytest.raises(ValueError, match="'cups' is registered already"):
        register_coco_json(data_config)


def test_relative_paths_are_found_below_the_folder_of_all_data_sets(
    data_config, coco_folder, catalog, monkeypatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(coco_folder))
    data_config.DATASETS.COCO_JSON = [["below", "train.json", "images"]]
    register_coco_json(data_config)
    assert MetadataCatalog.get("below").json_file == str(coco_folder / "train.json")
    assert len(load_dataset("below")) == 2


@pytest.mark.parametrize("entry", ["cups", ["cups", "a.json"], ["cups", "a.json", 3], ["", "a.json", "b"]])
def test_a_malformed_entry_names_the_key(data_config, entry):
    data_config.DATASETS.COCO_JSON = [entry]
    with pytest.raises(ValueError, match=r"DATASETS\.COCO_JSON"):
        register_coco_json(data_config)


def panoptic_entry(name, folder):
    return [name, *(str(folder / part) for part in ("panoptic.json", "images", "maps"))]


def test_one_call_registers_the_data_sets_of_both_keys(data_config, coco_folder, panoptic_folder, catalog):
    data_config.DATASETS.COCO_JSON = [["boxes", str(coco_folder / "train.json"), str(coco_folder / "images")]]
    data_config.DATASETS.COCO_PANOPTIC = [panoptic_entry("segments", panoptic_folder)]
    register_configured(data_config)
    register_configured(data_config)
    assert len(load_dataset("boxes")) == 2
    assert len(load_dataset("segments")) == 1
    data_config.DATASETS.COCO_PANOPTIC = [panoptic_entry("boxes", panoptic_folder)]
    with pytest.raises(ConfigError, match="'boxes'"):
        register_configured(data_config)


def test_own_panoptic_sets_have_the_metadata_of_detectron2s_own(data_config, panoptic_folder, catalog):
    data_config.DATASETS.COCO_PANOPTIC = [panoptic_entry("segments", panoptic_folder)]
    register_coco_panoptic_json(data_config)
    load_dataset("segments")
    ours = MetadataCatalog.get("segments").as_dict()
    theirs = MetadataCatalog.get("coco_2017_val_panoptic").as_dict()
    assert set(theirs) - set(ours) == {"json_file", "thing_colors", "stuff_colors"}
    assert set(ours) <= set(theirs)
    for key in ("evaluator_type", "ignore_label", "label_divisor"):
        assert ours[key] == theirs[key]


def test_relative_panoptic_paths_are_found_below_the_folder_of_all_data_sets(
    data_config, panoptic_folder, catalog, monkeypatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(panoptic_folder))
    data_config.DATASETS.COCO_PANOPTIC = [["below", "panoptic.json", "images", "maps"]]
    register_configured(data_config)
    assert MetadataCatalog.get("below").panoptic_root == str(panoptic_folder / "maps")
    assert len(load_dataset("below")) == 1


@pytest.mark.parametrize("entry", ["cups", ["cups", "a.json", "b"], ["cups", "a.json", "b", 3], 5])
def test_a_malformed_panoptic_entry_names_the_key(data_config, entry):
    data_config.DATASETS.COCO_PANOPTIC = [entry]
    with pytest.raises(ConfigError, match=r"DATASETS\.COCO_PANOPTIC"):
        register_configured(data_config)


def test_the_config_for_own_panoptic_sets_builds_a_model_that_knows_their_things(panoptic_folder, catalog):
    opts = ["DATASETS.COCO_PANOPTIC", repr([panoptic_entry("segments", panoptic_folder)])]
    opts += ["DATASETS.TRAIN", "('segments',)", "MODEL.DETR.NUM_CLASSES", "2"]
    file = configs_folder() / "Custom-PanopticSegmentation" / "detr_small_panoptic.yaml"
    cfg = read_config(str(file), opts)
    register_configured(cfg)
    read_classes(cfg)
    model = build_model(cfg)
    assert model.inference.things == [0]
    assert model.inference.panoptic_on
    (sample, *_) = next(iter(build_detr_train_loader(cfg)))
    assert sample["instances"].gt_masks.tensor.shape[1:] == sample["image"].shape[1:]
