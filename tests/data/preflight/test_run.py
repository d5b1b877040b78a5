"""The preflight looks once at every data set of a config, compares classes, says all, and stops at errors."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from detr_d2.data import (
    DataError,
    build_detr_test_loader,
    build_detr_train_loader,
    load_dataset,
    register_configured,
)
from detr_d2.data.preflight import Report, preflight
from detr_d2.data.preflight.classes import compare_classes
from detr_d2.errors import ConfigError

from ..conftest import sound_coco

pytestmark = pytest.mark.usefixtures("catalog")

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def register(coco_folder: Path) -> Callable[..., str]:
    """Register the changed annotations under a name."""

    def write_and_register(name: str, edit: Edit = lambda c: None) -> str:
        content = sound_coco()
        edit(content)
        file = coco_folder / f"{name}.json"
        file.write_text(json.dumps(content))
        register_coco_instances(name, {}, str(file), str(coco_folder / "images"))
        return name

    return write_and_register


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The tables with errors or warnings so far."""
    caplog.set_level(logging.INFO, logger="detr_d2")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.name == "detr_d2.data.preflight.run" and "nothing was found" not in record.getMessage()
    ]


def configure(cfg: CfgNode, train: tuple[str, ...] = (), test: tuple[str, ...] = ()) -> CfgNode:
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = train, test
    cfg.MODEL.DETR.NUM_CLASSES = 2
    return cfg


def test_test_sets_are_looked_at_before_training(data_config: CfgNode, register: Any, said: Any) -> None:
    register("p_train")
    register("p_val", lambda c: c["images"].append({**c["images"][0], "id": 7, "file_name": "gone.png"}))
    with pytest.raises(DataError, match=r"p_val.*gone\.png"):
        preflight(configure(data_config, ("p_train",), ("p_val",)))
    (table,) = said()
    assert "p_val" in table
    assert "gone.png" in table


@pytest.mark.parametrize(("train", "test"), [(("absent_set",), ()), ((), ("absent_set",))])
def test_a_misspelt_data_set_is_an_error_with_near_names(
    data_config: CfgNode, register: Any, train: tuple[str, ...], test: tuple[str, ...]
) -> None:
    register("absent_sets")
    with pytest.raises(DataError, match="absent_set'.*absent_sets"):
        preflight(configure(data_config, train, test))


def test_a_missing_json_is_named_with_the_root(
    data_config: CfgNode, register: Any, coco_folder: Path
) -> None:
    register("p_gone")
    (coco_folder / "p_gone.json").unlink()
    with pytest.raises(DataError, match=r"p_gone\.json does not exist"):
        preflight(configure(data_config, ("p_gone",)))


def test_classes_in_another_order_are_matched_by_name(data_config: CfgNode, register: Any, said: Any) -> None:
    register("p_train")
    register(
        "p_val", lambda c: [x.update(name=n) for x, n in zip(c["categories"], ("jug", "cup"), strict=True)]
    )
    preflight(configure(data_config, ("p_train",), ("p_val",)))
    (table,) = said()
    assert "note" in table


def test_other_classes_are_an_error_that_shows_both_lists(data_config: CfgNode, register: Any) -> None:
    register("p_train")
    register("p_val", lambda c: c["categories"][1].update(name="fork"))
    with pytest.raises(DataError) as error:
        preflight(configure(data_config, ("p_train",), ("p_val",)))
    assert "cup, jug" in str(error.value)
    assert "cup, fork" in str(error.value)


def test_a_data_set_with_some_of_the_classes_passes(data_config: CfgNode, register: Any) -> None:
    register("p_train")
    register("p_val", lambda c: (c["categories"].pop(0), c["annotations"].pop(0)))
    preflight(configure(data_config, ("p_train",), ("p_val",)))


def test_training_sets_are_numbered_as_the_first_one(data_config: CfgNode, register: Any) -> None:
    register("p_first")
    register(
        "p_second",
        lambda c: [x.update(name=n) for x, n in zip(c["categories"], ("jug", "cup"), strict=True)],
    )
    configure(data_config, ("p_first", "p_second"))
    for _ in range(2):  # nothing of the registered records is changed
        loader = build_detr_train_loader(data_config)
        records = loader.dataset.records  # type: ignore[attr-defined]
        classes = [[x["category_id"] for x in record["annotations"]] for record in records]
        assert classes == [[0], [1], [1], [0]]


def test_a_data_set_is_looked_at_again_only_when_it_changed(
    data_config: CfgNode, register: Any, said: Any, coco_folder: Path
) -> None:
    register("p_train", lambda c: c["annotations"][0].update(bbox=[5, 5, 0, 10]))
    configure(data_config, ("p_train",))
    for _ in range(3):
        preflight(data_config)
        build_detr_train_loader(data_config)
        load_dataset("p_train")
    assert len(said()) == 1
    file = coco_folder / "p_train.json"
    file.write_text(file.read_text().replace("[5, 5, 0, 10]", "[5, 5]"))
    os.utime(file, (1, 1))
    with pytest.raises(DataError, match="annotation 11"):
        build_detr_train_loader(data_config)


def test_the_train_loader_looks_where_nobody_did(data_config: CfgNode, register: Any) -> None:
    register("p_unseen")
    configure(data_config, ("p_unseen",)).MODEL.DETR.NUM_CLASSES = 1
    with pytest.raises(DataError, match=r"MODEL\.DETR\.NUM_CLASSES"):
        build_detr_train_loader(data_config)


def test_the_test_loader_looks_where_nobody_did(data_config: CfgNode, register: Any) -> None:
    register("p_unseen", lambda c: c["images"][0].update(file_name="gone.png"))
    with pytest.raises(DataError, match="gone.png"):
        build_detr_test_loader(data_config, "p_unseen")


def test_masks_are_needed_for_training_alone(data_config: CfgNode, register: Any) -> None:
    register("p_maskless")
    configure(data_config, ("p_maskless",)).MODEL.MASK_ON = True
    with pytest.raises(DataError, match=r"MODEL\.MASK_ON"):
        build_detr_train_loader(data_config)
    assert len(list(build_detr_test_loader(data_config, "p_maskless"))) == 2


def test_objects_that_cannot_be_found_are_said_and_trained_on(
    data_config: CfgNode, register: Any, said: Any
) -> None:
    def edit(content: dict[str, Any]) -> None:
        for number in range(6):
            extra = {**content["annotations"][0], "id": 100 + number, "bbox": [number, 1, number, 9]}
            content["annotations"].append(extra)

    register("p_hard", edit)
    configure(data_config, ("p_hard",)).MODEL.DETR.NUM_OBJECT_QUERIES = 3
    data_config.INPUT.CROP.ENABLED = False
    data_config.SOLVER.IMS_PER_BATCH = 2
    data_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    batch = next(iter(build_detr_train_loader(data_config)))
    # 1 + 6 objects, of which the box of width 0 is skipped.
    assert sorted(len(sample["instances"]) for sample in batch) == [1, 6]
    (table,) = said()
    assert "NUM_OBJECT_QUERIES" in table
    assert "no area" in table


def test_data_sets_of_python_are_looked_at_as_records(data_config: CfgNode, record: dict[str, Any]) -> None:
    DatasetCatalog.register("p_python", lambda: [record])
    MetadataCatalog.get("p_python").set(thing_classes=["cup", "jug"])
    configure(data_config, ("p_python",))
    preflight(data_config)
    record["annotations"][0]["category_id"] = 6
    DatasetCatalog.remove("p_python")
    DatasetCatalog.register("p_python", lambda: [record])
    with pytest.raises(DataError, match=r"NUM_CLASSES to 7"):
        preflight(data_config)


def test_a_bug_in_a_loading_function_keeps_its_traceback(data_config: CfgNode) -> None:
    def fail() -> list[dict[str, Any]]:
        raise KeyError("a bug")

    DatasetCatalog.register("p_buggy", fail)
    with pytest.raises(KeyError, match="a bug"):
        preflight(configure(data_config, ("p_buggy",)))


def test_what_detectron2_s_logger_says_decides_nothing(data_config: CfgNode, register: Any) -> None:
    register("p_stray", lambda c: c["annotations"][1].update(image_id=404))
    logging.getLogger("detectron2").setLevel(logging.CRITICAL)
    try:
        with pytest.raises(DataError, match=r"p_stray\.json.*annotation 12"):
            load_dataset("p_stray")
    finally:
        logging.getLogger("detectron2").setLevel(logging.NOTSET)


def test_a_bug_that_raises_file_not_found_keeps_its_traceback(data_config: CfgNode) -> None:
    def fail() -> list[dict[str, Any]]:
        raise FileNotFoundError("a bug")

    DatasetCatalog.register("p_buggy_file", fail)
    with pytest.raises(FileNotFoundError, match="^a bug$"):
        preflight(configure(data_config, ("p_buggy_file",)))


@pytest.mark.parametrize("returned", [None, {"a": 1}, "text", [1], iter([])])
def test_what_is_no_list_of_records_is_said(data_config: CfgNode, returned: Any) -> None:
    DatasetCatalog.register("p_odd", lambda: returned)
    with pytest.raises(DataError, match="p_odd"):
        preflight(configure(data_config, ("p_odd",)))


def test_records_that_are_evaluated_need_ids(data_config: CfgNode, record: dict[str, Any]) -> None:
    del record["image_id"]
    DatasetCatalog.register("p_nameless", lambda: [record])
    preflight(configure(data_config, ("p_nameless",)))
    with pytest.raises(DataError, match="image_id"):
        preflight(configure(data_config, (), ("p_nameless",)))


def test_the_limit_of_detections_has_to_be_positive(data_config: CfgNode, register: Any) -> None:
    register("p_limit")
    data_config.TEST.DETECTIONS_PER_IMAGE = 0
    with pytest.raises(ConfigError, match=r"TEST\.DETECTIONS_PER_IMAGE"):
        preflight(configure(data_config, ("p_limit",)))


def test_the_note_tells_which_number_becomes_which() -> None:
    model, other = Report("a", classes=["cup", "jug"]), Report("b", classes=["jug", "Cup "])
    compare_classes(model, [other])
    (note,) = other.findings
    assert (note.kind, note.count) == ("class-order", 2)
    assert "jug 0 -> 1" in note.remedy
    assert "Cup  1 -> 0" in note.remedy
    same = Report("c", classes=["CUP ", "jug"])
    compare_classes(model, [same])
    assert same.findings == []


def test_a_thing_that_is_stuff_elsewhere_is_an_error(data_config: CfgNode, panoptic_folder: Path) -> None:
    content = json.loads((panoptic_folder / "panoptic.json").read_text())
    content["categories"][0]["isthing"] = 0
    (panoptic_folder / "other.json").write_text(json.dumps(content))
    folders = str(panoptic_folder / "images"), str(panoptic_folder / "maps")
    data_config.DATASETS.COCO_PANOPTIC = [
        ["p_segments", str(panoptic_folder / "panoptic.json"), *folders],
        ["p_others", str(panoptic_folder / "other.json"), *folders],
    ]
    register_configured(data_config)
    preflight(configure(data_config, ("p_segments",), ("p_segments",)))
    with pytest.raises(DataError, match="isthing"):
        preflight(configure(data_config, ("p_segments",), ("p_others",)))
