"""Training on a data set of one's own: what is inferred, what is written, what is read again."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from detr_d2.config_file import find_config, read_config
from detr_d2.data import register_configured
from detr_d2.engine.own_data import default_config, use_own_data
from detr_d2.engine.setup import argument_parser, setup
from detr_d2.errors import ConfigError, DataError, MissingFileError

from ..data.conftest import sound_panoptic
from ..data.formats.layouts import WRITERS, sample, targets, write_coco, write_voc
from ..data.formats.test_coco import write_panoptic

pytestmark = pytest.mark.usefixtures("catalog")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """COCO's plain layout of a train, val and test split."""
    return write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "dishes")


def config(folder: Path, **keys: Any) -> CfgNode:
    cfg = read_config("Custom-Detection/own_data.yaml")
    cfg.OUTPUT_DIR = str(folder.parent / "output")
    cfg.DATASETS.PATH = str(folder)
    return cfg


def written(cfg: CfgNode) -> set[str]:
    return {file.name for file in Path(cfg.OUTPUT_DIR).rglob("*") if file.is_file()}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_format_registers_the_same_targets(layout: str, tmp_path: Path) -> None:
    sets = sample(tmp_path)
    cfg = config(WRITERS[layout](sets, tmp_path / "images", tmp_path / "dishes"))
    use_own_data(cfg, keep=False)
    register_configured(cfg)
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == (("dishes-train",), ("dishes-val",))
    assert cfg.MODEL.DETR.NUM_CLASSES == 3
    for split in sets:
        records = DatasetCatalog.get(f"dishes-{split}")
        names = MetadataCatalog.get(f"dishes-{split}").thing_classes
        assert names == ["cup", "jug", "plate"]
        found = {
            Path(record["file_name"]).name: sorted(
                (names[x["category_id"]], *x["bbox"]) for x in record["annotations"]
            )
            for record in records
        }
        for (of, file), objects in targets(sets).items():
            if of == split:
                wanted = [(name, x0, y0, x1 - x0, y1 - y0) for name, (x0, y0, x1, y1) in objects]
                assert [x[0] for x in found[file]] == [x[0] for x in sorted(wanted)]
                for have, want in zip(found[file], sorted(wanted), strict=True):
                    assert have[1:] == pytest.approx(want[1:], abs=0.01)


def test_the_config_says_all_afterwards(folder: Path) -> None:
    cfg = config(folder)
    use_own_data(cfg, keep=False)
    assert cfg.DATASETS.PATH == ""
    assert [
        [f"dishes-{split}", str(folder / f"{split}.json"), str(folder / "images")]
        for split in ("train", "val", "test")
    ] == cfg.DATASETS.COCO_JSON
    # COCO's files that agree are not copied.
    assert written(cfg) == {"summary.json"}


def test_evaluation_is_on_the_test_split_where_there_is_one(folder: Path) -> None:
    cfg = config(folder)
    use_own_data(cfg, keep=True, testing=True)
    assert cfg.DATASETS.TEST == ("dishes-test",)
    (folder / "test.json").unlink()
    shutil.rmtree(cfg.OUTPUT_DIR)
    cfg = config(folder)
    use_own_data(cfg, keep=True, testing=True)
    assert cfg.DATASETS.TEST == ("dishes-val",)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_to_evaluate_on_is_enough_for_an_evaluation(split: str, folder: Path) -> None:
    for other in {"train", "val", "test"} - {split}:
        (folder / f"{other}.json").unlink()
    cfg = config(folder)
    cfg.MODEL.DETR.NUM_CLASSES = 9  # of a model that knows more
    use_own_data(cfg, keep=True, testing=True)
    assert (f"dishes-{split}",) == cfg.DATASETS.TEST
    assert cfg.MODEL.DETR.NUM_CLASSES == 9
    with pytest.raises(DataError, match="train"):
        use_own_data(config(folder), keep=False)


@pytest.mark.parametrize(("objects", "queries"), [(1, 60), (50, 60), (51, 70), (200, 240)])
def test_queries_are_raised_for_the_fullest_image(objects: int, queries: int, folder: Path) -> None:
    content = json.loads((folder / "test.json").read_text())
    first = content["annotations"][0]
    content["annotations"] = [{**first, "id": number} for number in range(objects)]
    (folder / "test.json").write_text(json.dumps(content))
    cfg = config(folder)
    use_own_data(cfg, keep=False)
    assert queries == cfg.MODEL.DETR.NUM_OBJECT_QUERIES
    assert max(100, objects) == cfg.TEST.DETECTIONS_PER_IMAGE


@pytest.mark.parametrize(
    ("class_loss", "limit"),
    [("cross_entropy", 3), ("focal", 6), ("position_supervised", 6), ("matchability_aware", 6)],
)
def test_the_limit_of_detections_is_of_a_class_or_of_all(class_loss: str, limit: int, folder: Path) -> None:
    cfg = config(folder)
    cfg.MODEL.DETR.CLASS_LOSS, cfg.TEST.DETECTIONS_PER_IMAGE = class_loss, 1
    content = json.loads((folder / "train.json").read_text())
    first = content["annotations"][0]
    content["annotations"] = [
        {**first, "id": number, "category_id": category}
        for number, category in enumerate([1, 1, 1, 2, 2, 3], start=1)
    ]
    (folder / "train.json").write_text(json.dumps(content))
    use_own_data(cfg, keep=False)
    assert limit == cfg.TEST.DETECTIONS_PER_IMAGE


def test_keys_of_the_command_line_stay(folder: Path) -> None:
    cfg = config(folder)
    cfg.MODEL.DETR.NUM_CLASSES = 7
    cfg.MODEL.DETR.NUM_OBJECT_QUERIES = 2
    cfg.TEST.DETECTIONS_PER_IMAGE = 1
    cfg.DATASETS.TEST = ("dishes-test",)
    keys = ("MODEL.DETR.NUM_CLASSES", "MODEL.DETR.NUM_OBJECT_QUERIES", "TEST.DETECTIONS_PER_IMAGE")
    use_own_data(cfg, keep=False, fixed=(*keys, "DATASETS.TEST"))
    assert (cfg.MODEL.DETR.NUM_CLASSES, cfg.MODEL.DETR.NUM_OBJECT_QUERIES) == (7, 2)
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 1
    assert cfg.DATASETS.TEST == ("dishes-test",)


def without_val(folder: Path, seed: int, keep: bool = False) -> CfgNode:
    for split in ("val", "test"):
        (folder / f"{split}.json").unlink(missing_ok=True)
    cfg = config(folder)
    cfg.SEED = seed
    use_own_data(cfg, keep=keep)
    return cfg


def images_of(cfg: CfgNode) -> list[list[str]]:
    files = [json.loads(Path(entry[1]).read_text()) for entry in cfg.DATASETS.COCO_JSON]
    return [[image["file_name"] for image in content["images"]] for content in files]


def test_a_validation_split_is_cut_where_there_is_none_and_kept(folder: Path) -> None:
    cfg = without_val(folder, seed=1)
    assert written(cfg) == {"summary.json", "dishes-train.json", "dishes-val.json"}
    train, val = images_of(cfg)
    assert len(val) == 1
    assert sorted(train + val) == [f"train{number}.png" for number in range(1, 6)]
    # Another seed, and a data set that has changed, change nothing of what is resumed.
    (folder / "train.json").write_text("{}")
    assert images_of(without_val(folder, seed=2, keep=True)) == [train, val]


def test_the_folder_of_a_training_can_be_moved(folder: Path) -> None:
    train, val = images_of(without_val(folder, seed=1))
    cfg = config(folder)
    moved = folder.parent / "moved"
    shutil.move(cfg.OUTPUT_DIR, moved)
    cfg.OUTPUT_DIR = str(moved)
    use_own_data(cfg, keep=True)
    assert images_of(cfg) == [train, val]
    assert all(Path(entry[1]).parent == moved / "data" for entry in cfg.DATASETS.COCO_JSON)


def test_a_split_that_is_cut_anew_for_an_evaluation_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    without_val(folder, seed=1)
    cfg = config(folder)
    use_own_data(cfg, keep=True, testing=True)
    assert not [r for r in caplog.records if r.levelname == "WARNING"], "that of the training is there"
    cfg = config(folder)
    cfg.OUTPUT_DIR = str(folder.parent / "elsewhere")
    use_own_data(cfg, keep=True, testing=True)
    assert [r for r in caplog.records if r.levelname == "WARNING" and cfg.OUTPUT_DIR in r.getMessage()]


def test_a_folder_of_another_data_set_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    use_own_data(config(folder), keep=False)
    other = write_voc(sample(tmp_path), tmp_path / "images", tmp_path / "other")
    with pytest.raises(ConfigError) as error:
        use_own_data(config(other), keep=True)
    assert str(folder) in str(error.value)
    assert str(other) in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"parts": [{}]}', '{"parts": 3}'])
def test_a_damaged_summary_is_named(text: str, folder: Path) -> None:
    cfg = config(folder)
    use_own_data(cfg, keep=False)
    file = Path(cfg.OUTPUT_DIR, "data", "summary.json")
    file.write_text(text)
    with pytest.raises(DataError, match=r"summary\.json"):
        use_own_data(config(folder), keep=True)


def break_image(folder: Path) -> None:
    (folder / "images/val1.png").write_bytes(b"no image")


def break_json(folder: Path) -> None:
    (folder / "val.json").write_text("")


def break_folder(folder: Path) -> None:
    shutil.move(folder / "images", folder.parent / "elsewhere")


def break_splits(folder: Path) -> None:
    shutil.copy(folder / "train.json", folder / "val.json")


def remove_train(folder: Path) -> None:
    (folder / "train.json").unlink()


@pytest.mark.parametrize("fault", [break_image, break_json, break_folder, break_splits, remove_train])
def test_what_cannot_be_used_is_an_error_and_nothing_is_written(fault: Any, folder: Path) -> None:
    fault(folder)
    cfg = config(folder)
    with pytest.raises(DataError) as error:
        use_own_data(cfg, keep=False)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert written(cfg) == set()


def test_the_kind_of_the_model_is_that_of_the_data_set(folder: Path, tmp_path: Path) -> None:
    panoptic = tmp_path / "panoptic"
    panoptic.mkdir()
    for split in ("train", "val"):
        write_panoptic(panoptic, split, sound_panoptic(), f"images/{split}", f"maps/{split}")
    assert "Panoptic" in default_config(str(panoptic))
    with pytest.raises(ConfigError, match="Panoptic"):
        use_own_data(config(panoptic), keep=False)
    cfg = read_config(default_config(str(panoptic)))
    cfg.OUTPUT_DIR, cfg.DATASETS.PATH = str(tmp_path / "output"), str(folder)
    with pytest.raises(ConfigError, match="own_data"):
        use_own_data(cfg, keep=False)
    cfg.DATASETS.PATH = str(panoptic)
    use_own_data(cfg, keep=False)
    assert cfg.MODEL.DETR.NUM_CLASSES == 2
    assert [entry[3] for entry in cfg.DATASETS.COCO_PANOPTIC] == [
        str(panoptic / "maps" / split) for split in ("train", "val")
    ]


def test_a_data_set_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingFileError, match="absent"):
        default_config("absent")


def parsed(folder: Path) -> argparse.Namespace:
    keys = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(folder.parent / "output")]
    keys += ["DATASETS.PATH", str(folder), "TEST.DETECTIONS_PER_IMAGE", "5"]
    return argument_parser().parse_args(
        ["--config-file", find_config("Custom-Detection/own_data.yaml"), *keys]
    )


def test_set_up_writes_a_config_that_needs_the_path_no_more(folder: Path) -> None:
    cfg = setup(parsed(folder))
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 5
    again = read_config(str(folder.parent / "output" / "config.yaml"))
    assert again.DATASETS.PATH == ""
    assert list(again.DATASETS.TRAIN) == ["dishes-train"]
    assert again.MODEL.DETR.NUM_CLASSES == 3
    log = (folder.parent / "output" / "log.txt").read_text()
    assert "dishes-val" in log
    assert "cup, jug, plate" in log
