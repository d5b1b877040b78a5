"""``detr-d2 make-coco``: any format as COCO's, with the same objects and pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

from detr_d2.tools.make_coco import main

from ..data.formats.layouts import sample, targets, write_coco, write_labelme, write_yolo


def blobs(folder: Path, count: int = 50) -> dict[str, np.ndarray]:
    """Write five images, and files for the masks of rings and speckled ellipses, which it returns by name."""
    rng = np.random.default_rng(0)
    for below in ("images", "masks"):
        (folder / below).mkdir(parents=True)
    y, x = np.mgrid[:90, :120]
    masks = {}
    for number in range(count):
        image = f"photo{number % 5}"
        noise = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((120, 90)).save(folder / "images" / f"{image}.png")
        x0, y0, a, b = (*rng.uniform(20, 70, 2), *rng.uniform(5, 30, 2))
        distance = np.hypot((x - x0) / a, (y - y0) / b)
        mask = (distance < 1) & (distance > 0.4 if number % 2 else rng.random(x.shape) > 0.1)
        name = f"{image}_{'ring' if number % 2 else 'speckled'}_{number}"
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
        masks[name] = mask
    return masks


@pytest.mark.parametrize("form", [[], ["--rle"], ["--polygons"]])
def test_files_of_masks_keep_their_pixels(form: list[str], tmp_path: Path) -> None:
    masks = blobs(tmp_path / "blobs")
    output = tmp_path / "deep" / "coco"
    assert main([str(tmp_path / "blobs"), "--output", str(output), *form]) == 0
    coco = COCO(str(output / "train.json"))
    assert len(coco.anns) == len(masks)
    left = list(masks.values())
    for entry in coco.anns.values():
        assert isinstance(entry["segmentation"], list if form == ["--polygons"] else dict)
        pixels = coco.annToMask(entry)
        (same,) = (i for i, mask in enumerate(left) if np.array_equal(mask, pixels))
        assert entry["area"] == left.pop(same).sum()
        assert entry["bbox"] == mask_util.toBbox(coco.annToRLE(entry)).tolist()
    for image in coco.imgs.values():
        assert (output / image["file_name"]).resolve().is_file()


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def test_other_formats_keep_their_objects(tmp_path: Path) -> None:
    sets = sample(tmp_path)
    root = write_yolo(sets, tmp_path / "images", tmp_path / "written")
    assert main([str(root), "--output", str(tmp_path / "coco")]) == 0
    found = targets({split: read(tmp_path / "coco" / f"{split}.json") for split in sets})
    for key, objects in targets(sets).items():
        assert [name for name, _ in found[key]] == [name for name, _ in objects]
        np.testing.assert_allclose([b for _, b in found[key]], [b for _, b in objects], atol=0.01)
    entry = read(tmp_path / "coco" / "val.json")["annotations"][0]
    assert entry["area"] == pytest.approx(entry["bbox"][2] * entry["bbox"][3])
    assert entry["iscrowd"] == 0


def test_polygons_stay_as_they_are_unless_rle_is_asked_for(tmp_path: Path) -> None:
    sets = sample(tmp_path, polygons=True)
    root = write_labelme(sets, tmp_path / "images", tmp_path / "written")
    for form, kind in (([], list), (["--polygons"], list), (["--rle"], dict)):
        assert main([str(root), "--output", str(tmp_path / "coco"), *form]) == 0
        (first, *_) = read(tmp_path / "coco" / "train.json")["annotations"]
        assert isinstance(first["segmentation"], kind)
        if kind is list:
            assert first["segmentation"] == sets["train"]["annotations"][0]["segmentation"]


def test_masks_of_no_use_and_crowds(tmp_path: Path) -> None:
    """Of the first the boxes are kept; the second are RLE for COCO's own tools."""
    sets = sample(tmp_path, splits=(2,))
    bad, crowd, *_ = sets["train"]["annotations"]
    bad["segmentation"] = {"size": [1, 1], "counts": "x"}
    crowd.update(iscrowd=1, segmentation={"size": [60, 40], "counts": [7, 30, 2363]})
    root = write_coco(sets, tmp_path / "images", tmp_path / "written")
    assert main([str(root), "--output", str(tmp_path / "coco"), "--polygons"]) == 0
    first, second, *_ = read(tmp_path / "coco" / "train.json")["annotations"]
    assert "segmentation" not in first
    assert second["segmentation"] == crowd["segmentation"]


def test_nothing_is_written_of_a_data_set_with_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_yolo(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "labels/val/val1.txt").write_text("no label")
    assert main([str(root), "--output", str(tmp_path / "coco")]) == 2
    output, error = capsys.readouterr()
    assert "val1.txt" in output
    assert error.count("\n") == 1
    assert not (tmp_path / "coco").exists()


def test_what_is_read_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_coco(sample(tmp_path, polygons=True), tmp_path / "images", tmp_path / "written")
    before = (root / "train.json").read_bytes()
    assert main([str(root), "--output", str(root), "--boxes"]) == 2
    assert "train.json" in capsys.readouterr().err
    assert (root / "train.json").read_bytes() == before
