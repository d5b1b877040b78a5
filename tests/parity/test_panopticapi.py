"""Panoptic quality beside COCO's own, on the same png and json files.

``PANOPTICAPI`` names a folder that holds a clone of github.com/cocodataset/panopticapi (7bb4655). None of
it is part of this project, so these tests are skipped without it, and say so.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.data.datasets.builtin_meta import _get_builtin_metadata
from PIL import Image

from benchmarks.clones import import_panopticapi
from detr_d2.data.segment_map import read_segment_ids
from detr_d2.evaluation import PanopticEvaluator, PanopticQuality
from detr_d2.evaluation.panoptic_files import PanopticGroundTruth

from ..evaluation.panoptic_cases import ISTHING, describe, perturbed, random_case

FOLDER = os.environ.get("PANOPTICAPI", "")
COCO = Path(os.environ.get("DETECTRON2_DATASETS", ""), "coco")
NAME = "panopticapi_tests"
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="PANOPTICAPI names no clone of github.com/cocodataset/panopticapi"
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    MetadataCatalog.pop(NAME, None)


def coco(split: str) -> tuple[Path, Path]:
    """Panoptic json and folder of maps of COCO images, or a skip."""
    json_file = COCO / "annotations" / f"panoptic_{split}2017.json"
    if "DETECTRON2_DATASETS" not in os.environ or not json_file.is_file():
        pytest.skip(f"no coco/annotations/{json_file.name} in DETECTRON2_DATASETS")
    return json_file, COCO / f"panoptic_{split}2017"


def ground_truth(json_file: Path, maps: Path) -> PanopticGroundTruth:
    MetadataCatalog.pop(NAME, None)
    MetadataCatalog.get(NAME).set(panoptic_json=str(json_file), panoptic_root=str(maps))
    return PanopticGroundTruth(NAME, MetadataCatalog.get(NAME))


def their_results(
    truth: tuple[Path, Path], predictions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """All of ``pq_compute``, in this process."""
    api = import_panopticapi(FOLDER)
    monkeypatch.setattr(
        api,
        "pq_compute_multi_core",
        lambda pairs, *folders_and_categories: api.pq_compute_single_core(0, pairs, *folders_and_categories),
    )
    return api.pq_compute(*map(str, (truth[0], predictions[0], truth[1], predictions[1])))


def assert_equal(quality: PanopticQuality, theirs: dict[str, Any]) -> None:
    scores = quality.scores()
    for ours, name in ((scores.all, "All"), (scores.things, "Things"), (scores.stuff, "Stuff")):
        expected = [theirs[name][key] for key in ("pq", "sq", "rq", "n")]
        assert ours == pytest.approx(expected, abs=1e-9)
        assert 0.1 < ours.pq < 0.95
    assert scores.per_category.keys() == theirs["per_class"].keys()
    for category, expected in theirs["per_class"].items():
        found = scores.per_category[category][:3]
        assert found == pytest.approx([expected[key] for key in ("pq", "sq", "rq")], abs=1e-9)


def write(folder: Path, ids: np.ndarray, file_name: str) -> None:
    bytes_of_ids = ids.astype("<u4").view(np.uint8).reshape(*ids.shape, 4)
    Image.fromarray(np.ascontiguousarray(bytes_of_ids[..., :3])).save(folder / file_name)


@pytest.mark.parametrize("seed", [0, 1])
def test_changed_copies_of_coco_images_give_its_numbers(tmp_path, monkeypatch, seed):
    """Segments are shifted, merged, dropped and relabeled, voids and crowds are planted."""
    json_file, maps = coco("train")
    rng = np.random.default_rng(seed)
    content = json.loads(json_file.read_text())
    categories = [c["id"] for c in content["categories"]]
    changed = copy.deepcopy(content)
    (tmp_path / "changed").mkdir()
    crowds = 0
    for truth, prediction in zip(content["annotations"], changed["annotations"], strict=True):
        for segment in truth["segments_info"]:
            segment["iscrowd"] = int(segment["iscrowd"] or rng.random() < 0.08)
            crowds += segment["iscrowd"]
        ids = read_segment_ids(str(maps / truth["file_name"])).astype(np.int64)
        ids, prediction["segments_info"] = perturbed(rng, ids, truth["segments_info"], categories)
        write(tmp_path / "changed", ids, prediction["file_name"])
    assert crowds > 10
    planted = tmp_path / "planted.json"
    planted.write_text(json.dumps(content))
    changed_json = tmp_path / "changed.json"
    changed_json.write_text(json.dumps(changed))

    gt = ground_truth(planted, maps)
    quality = gt.new_quality()
    for prediction in changed["annotations"]:
        ids = read_segment_ids(str(tmp_path / "changed" / prediction["file_name"]))
        truth = gt.annotation(prediction["image_id"])
        gt.compare(quality, truth, ids, prediction["segments_info"])
    theirs = their_results((planted, maps), (changed_json, tmp_path / "changed"), monkeypatch)
    assert_equal(quality, theirs)


def test_two_hundred_random_maps_give_its_numbers(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    quality = PanopticQuality(ISTHING)
    contents: dict[str, dict[str, Any]] = {}
    for kind in ("truth", "predicted"):
        (tmp_path / kind).mkdir()
        categories = [{"id": i, "name": str(i), "isthing": int(thing)} for i, thing in ISTHING.items()]
        contents[kind] = {"categories": categories, "annotations": []}
    for number in range(200):
        case = random_case(rng)
        quality.add(*case)
        for kind, ids, segments in (("truth", *case[:2]), ("predicted", *case[2:])):
            write(tmp_path / kind, ids, f"{number}.png")
            contents[kind]["annotations"].append(
                {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
            )
    files = {}
    for kind, content in contents.items():
        files[kind] = tmp_path / f"{kind}.json"
        files[kind].write_text(json.dumps(content))
    theirs = their_results(
        (files["truth"], tmp_path / "truth"), (files["predicted"], tmp_path / "predicted"), monkeypatch
    )
    assert_equal(quality, theirs)


def test_it_reads_the_files_that_the_evaluator_writes(tmp_path, monkeypatch):
    json_file, maps = coco("val")
    MetadataCatalog.get(NAME).set(
        panoptic_json=str(json_file),
        panoptic_root=str(maps),
        **_get_builtin_metadata("coco_panoptic_standard"),
    )
    metadata = MetadataCatalog.get(NAME)
    evaluator = PanopticEvaluator(NAME, str(tmp_path))
    rng = np.random.default_rng(0)
    content = json.loads(json_file.read_text())
    isthing = {c["id"]: bool(c["isthing"]) for c in content["categories"]}
    numbers = {**metadata.thing_dataset_id_to_contiguous_id, **metadata.stuff_dataset_id_to_contiguous_id}
    for annotation in content["annotations"]:
        ids = read_segment_ids(str(maps / annotation["file_name"])).astype(np.int64)
        ids, segments = perturbed(rng, ids, annotation["segments_info"], list(isthing))
        for segment in segments:
            segment["isthing"] = isthing[segment["category_id"]]
            segment["category_id"] = numbers[segment["category_id"]]
        output = {"panoptic_seg": (torch.from_numpy(ids).int(), segments)}
        file_name = annotation["file_name"].replace(".png", ".jpg")
        evaluator.process([{"image_id": annotation["image_id"], "file_name": file_name}], [output])
    results = evaluator.evaluate()["panoptic_seg"]

    predictions = tmp_path / "predictions.json"
    theirs = their_results((json_file, maps), (predictions, tmp_path / "predictions"), monkeypatch)
    for suffix, name in (("", "All"), ("_th", "Things"), ("_st", "Stuff")):
        for key in ("PQ", "SQ", "RQ"):
            assert results[key + suffix] == pytest.approx(100 * theirs[name][key.lower()], abs=1e-7)
    assert describe(ids, {}.fromkeys(np.unique(ids).tolist(), 0))  # the last map was not empty


@pytest.mark.slow
def test_it_reads_what_eval_only_writes_and_finds_the_same(tmp_path, monkeypatch):
    """On real images, with random weights."""
    json_file, maps = coco("val")
    command = [sys.executable, "train_net.py", "--eval-only", "--config-file"]
    command += ["configs/COCO-PanopticSegmentation/detr_panoptic_R_50.yaml", "MODEL.DEVICE", "cpu"]
    command += ["MODEL.WEIGHTS", "", "MODEL.DETR.FROZEN_WEIGHTS", "", "INPUT.MIN_SIZE_TEST", "160"]
    command += ["MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD", "0.0", "OUTPUT_DIR", str(tmp_path)]
    command += ["DATALOADER.NUM_WORKERS", "0", "SEED", "0"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr

    predictions = tmp_path / "inference" / "predictions"
    predicted = json.loads(predictions.with_suffix(".json").read_text())["annotations"]
    assert len(predicted) == len(json.loads(json_file.read_text())["annotations"])
    assert any(annotation["segments_info"] for annotation in predicted)
    theirs = their_results((json_file, maps), (predictions.with_suffix(".json"), predictions), monkeypatch)
    printed = re.search(r"copypaste: PQ,SQ,RQ,.*\n.*copypaste: ([\d.]+),([\d.]+),([\d.]+),", done.stdout)
    assert printed is not None
    expected = [100 * theirs["All"][key] for key in ("pq", "sq", "rq")]
    assert [float(number) for number in printed.groups()] == pytest.approx(expected, abs=1e-4)
    categories = {name: theirs[name]["n"] for name in ("All", "Things", "Stuff")}
    rows = re.findall(r"\| (All|Things|Stuff) .*\| +(\d+) \|", done.stdout)
    assert {name: int(number) for name, number in rows} == categories
