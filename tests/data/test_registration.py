"""Data sets in COCO's formats in Detectron2's catalogs."""

from __future__ import annotations

import os

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from detr_d2.config_file import read_config
from detr_d2.data import (
    build_detr_train_loader,
    load_dataset,
    read_classes,
    register_configured,
)
from detr_d2.data.builtin import datasets_root
from detr_d2.errors import ConfigError, MissingFileError
from detr_d2.paths import configs_folder


def test_root_follows_the_environment_and_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/sets")
    assert datasets_root() == os.path.join(os.path.expanduser("~"), "sets")
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert datasets_root() == "datasets"


def test_coco_json_files_are_registered_from_the_config(data_config, coco_folder, catalog):
    entry = ["cups", str(coco_folder / "train.json"), str(coco_folder / "images")]
    data_config.DATASETS.COCO_JSON = [entry]
    register_configured(data_config)
    register_configured(data_config)
    records = load_dataset("cups")
    assert [record["annotations"][0]["category_id"] for record in records] == [0, 1]
    assert MetadataCatalog.get("cups").thing_classes == ["cup", "jug"]
    assert MetadataCatalog.get("cups").evaluator_type == "coco"

    data_config.DATASETS.COCO_JSON = [["cups", "other.json", str(coco_folder / "images")]]
    with pytest.raises(ValueError, match="'cups' is registered already"):
        register_configured(data_config)


def test_relative_paths_are_found_below_the_folder_of_all_data_sets(
    data_config, coco_folder, catalog, monkeypatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(coco_folder))
    data_config.DATASETS.COCO_JSON = [["below", "train.json", "images"]]
    register_configured(data_config)
    assert MetadataCatalog.get("below").json_file == str(coco_folder / "train.json")
    assert len(load_dataset("below")) == 2


def test_annotations_that_are_not_there_are_named(data_config, catalog):
    data_config.DATASETS.COCO_JSON = [["cups", "nowhere/cups.json", "images"]]
    data_config.DATASETS.COCO_PANOPTIC = [["cup_segments", "nowhere/segments.json", "images", "maps"]]
    register_configured(data_config)
    for name, file in (("cups", "nowhere/cups.json"), ("cup_segments", "nowhere/segments.json")):
        with pytest.raises(MissingFileError, match=f"{name}.*{file}"):
            DatasetCatalog.get(name)


@pytest.mark.parametrize("entry", ["cups", ["cups", "a.json"], ["cups", "a.json", 3], ["", "a.json", "b"]])
def test_a_malformed_entry_names_the_key(data_config, entry):
    data_config.DATASETS.COCO_JSON = [entry]
    with pytest.raises(ValueError, match=r"DATASETS\.COCO_JSON"):
        register_configured(data_config)


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
    register_configured(data_config)
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
