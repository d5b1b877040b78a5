"""The benchmarks as commands, and what they import from clones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.data.datasets import load_coco_json
from PIL import Image

from benchmarks import attention, criterion, inference, masks, panoptic_quality, preflight
from benchmarks.clones import import_from_clone
from detr_d2.errors import MissingFileError


@pytest.mark.parametrize("benchmark", [criterion, inference, masks])
def test_a_folder_that_is_no_clone_is_named(
    benchmark: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--published", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line
    assert "github.com/facebookresearch/detr" in line


def test_annotations_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert panoptic_quality.main(["--panopticapi", str(tmp_path), "--coco", str(tmp_path)]) == 2
    assert "panoptic_train2017.json" in capsys.readouterr().err


def test_a_module_is_imported_from_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "a_module_of_a_clone.py").write_text("VALUE = 3\n")
    clone = (str(tmp_path), "owner/name", "a_module_of_a_clone")
    assert import_from_clone(*clone, "a_module_of_a_clone.py").VALUE == 3
    with pytest.raises(MissingFileError, match=r"owner/name.*other\.py"):
        import_from_clone(*clone, "other.py")


def test_the_generated_data_set_passes_the_preflight(tmp_path: Path) -> None:
    json_file = preflight.write_dataset(tmp_path, images=4, annotations=12, points=5)
    content = json.loads(json_file.read_text())
    assert (len(content["images"]), len(content["annotations"]), len(content["categories"])) == (4, 12, 80)
    assert len({annotation["id"] for annotation in content["annotations"]}) == 12
    assert all(len(annotation["segmentation"][0]) == 10 for annotation in content["annotations"])
    records = load_coco_json(str(json_file), str(tmp_path / "images"))
    assert sum(len(record["annotations"]) for record in records) == 12
    for record in records:
        with Image.open(record["file_name"]) as image:
            assert image.size == (record["width"], record["height"])
    preflight.look(str(json_file), str(tmp_path / "images"))


def test_attention_inside_a_box_is_compared_with_that_outside() -> None:
    weights = torch.zeros(2, 4)
    weights[0, 0] = 3.0
    weights[1, 3] = 1.0
    pixels = weights.repeat_interleave(1, 0)
    # One cell is one pixel: inside are the left half's four cells.
    assert attention.inside_over_outside(pixels, torch.tensor([0.0, 0, 2, 2]), (2, 4)) == pytest.approx(3)
