"""What ``detr-d2 predict --json`` writes, held against the predictor and read by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from detr_d2.predict import Predictor

from .conftest import Project
from .predicting import predict, read

THINGS_ALONE = ("MODEL.DETR.TEST.PANOPTIC_ON", "False", "MODEL.DETR.TEST.INSTANCE_ON", "True")
NO_DATA = ("DATASETS.TRAIN", "()", "DATASETS.TEST", "()")


def test_objects_are_the_predictors(project: Project, tmp_path: Path) -> None:
    images, file = project.images[:2], tmp_path / "deep" / "found.json"
    assert predict(project, "--input", *images, "--json", file, "--confidence", 0.3) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["deep"], "no pictures"
    entries = read(file)
    predictor = Predictor(project.config, project.weights)
    expected = []
    for number, image in enumerate(images, 1):
        instances = predictor(image)["instances"]
        for row in np.flatnonzero(instances.scores.numpy() >= 0.3):
            x0, y0, x1, y1 = instances.pred_boxes.tensor[row].tolist()
            kind = int(instances.pred_classes[row])
            expected.append((number, image, kind + 1, ("ant", "bee", "cat")[kind], x0, y0, x1 - x0, y1 - y0,
                             float(instances.scores[row])))  # fmt: skip
    assert len(entries) == len(expected) > 0
    for entry, (image_id, name, category, category_name, *numbers) in zip(entries, expected, strict=True):
        assert (entry["image_id"], entry["file_name"]) == (image_id, name)
        assert (entry["category_id"], entry["category_name"]) == (category, category_name)
        np.testing.assert_allclose([*entry["bbox"], entry["score"]], numbers, rtol=1e-5, atol=1e-4)


def test_ids_are_numbers_of_the_model_where_nobody_knows_others(project: Project, tmp_path: Path) -> None:
    options = ("--json", tmp_path / "a.json", "--confidence", 0)
    assert predict(project, "--input", project.images[0], *options, opts=NO_DATA) == 0
    instances = Predictor(project.config, project.weights)(project.images[0])["instances"]
    assert [e["category_id"] for e in read(tmp_path / "a.json")] == instances.pred_classes.tolist()
    assert {e["category_name"] for e in read(tmp_path / "a.json")} <= {"class 0", "class 1", "class 2"}


def test_masks_are_the_predictors(panoptic_project: Project, tmp_path: Path) -> None:
    image, file = panoptic_project.images[0], tmp_path / "found.json"
    assert (
        predict(panoptic_project, "--input", image, "--json", file, "--confidence", 0, opts=THINGS_ALONE) == 0
    )
    masks = Predictor(panoptic_project.config, panoptic_project.weights)(image)[
        "instances"
    ].pred_masks.numpy()
    decoded = [coco_mask.decode(entry["segmentation"]) for entry in read(file)]
    np.testing.assert_array_equal(np.array(decoded, bool), masks)
    assert masks.any()


def test_images_have_the_ids_of_a_data_set_and_cocos_tools_read_them(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids by file name, with a folder or without; an image that is not listed is named at the end."""
    data = read(Path(project.images[0]).parent / "data.json")
    for image in data["images"]:
        image["id"] += 500
    data["images"][1]["file_name"] = f"{Path(project.images[1]).parent.name}/image_1.png"
    data["images"].pop(2)
    data["annotations"] = []
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(data))
    options = ("--json", tmp_path / "found.json", "--image-ids", truth, "--confidence", 0)
    assert predict(project, "--input", *project.images[:3], *options) == 2
    assert project.images[2] in capsys.readouterr().err
    coco = COCO(str(truth))
    found = coco.loadRes(str(tmp_path / "found.json"))
    assert sorted({entry["image_id"] for entry in found.anns.values()}) == [501, 502]


@pytest.mark.parametrize("content", ["{}", "[]", '{"images": [{"id": 1}]}', '{"images": 3}', "no json"])
def test_a_file_without_ids_is_named(
    project: Project, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.json").write_text(content)
    options = ("--json", tmp_path / "found.json", "--image-ids", tmp_path / "ids.json")
    assert predict(project, "--input", project.images[0], *options) == 2
    error = capsys.readouterr().err
    assert "ids.json" in error
    assert error.count("\n") == 1


def test_segments_are_the_predictors(panoptic_project: Project, tmp_path: Path) -> None:
    """A map's colors spell the ids, as COCO's format says; categories are the data set's."""
    file, images = tmp_path / "found.json", panoptic_project.images[:2]
    assert predict(panoptic_project, "--input", *images, "--json", file) == 0
    content = read(file)
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in content["images"]] == [
        (1, images[0], 64, 64),
        (2, images[1], 64, 64),
    ]
    annotated = read(Path(images[0]).parents[1] / "annotations" / "panoptic_val.json")
    categories = {category["id"]: category for category in annotated["categories"]}
    predictor = Predictor(panoptic_project.config, panoptic_project.weights)
    for image, annotation in zip(images, content["annotations"], strict=True):
        colors = np.asarray(Image.open(tmp_path / "found" / annotation["file_name"]), dtype=int)
        red, green, blue = colors.transpose(2, 0, 1)
        ids, segments = predictor(image)["panoptic_seg"]
        np.testing.assert_array_equal(red + 256 * green + 65536 * blue, ids.numpy())
        assert [s["id"] for s in annotation["segments_info"]] == [s["id"] for s in segments]
        assert segments
        for written, segment in zip(annotation["segments_info"], segments, strict=True):
            category = categories[written["category_id"]]
            assert bool(category["isthing"]) == segment["isthing"]
    for category in content["categories"]:
        known = categories[category["id"]]
        assert (category["name"], category["isthing"]) == (known["name"], known["isthing"])


def test_nothing_found_is_an_empty_list(project: Project, tmp_path: Path) -> None:
    options = ("--json", tmp_path / "a.json", "--confidence", 1)
    assert predict(project, "--input", project.images[0], *options) == 0
    assert read(tmp_path / "a.json") == []


def test_a_json_that_cannot_be_written_is_named(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "a.json", tmp_path):
        assert predict(project, "--input", project.images[0], "--json", target) == 2
        error = capsys.readouterr().err
        assert "--json" in error
        assert str(target) in error
        assert error.count("\n") == 1


def test_results_replace_nothing_that_is_read(
    panoptic_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    image = folder / "000001.png"
    Image.open(panoptic_project.images[0]).save(image)
    before = image.read_bytes()
    ids = tmp_path / "ids.json"
    ids.write_text("{}")
    for given in (("--json", tmp_path / "frames.json"), ("--json", ids, "--image-ids", ids)):
        assert predict(panoptic_project, "--input", folder, *given) == 2
        assert "--json" in capsys.readouterr().err
    assert image.read_bytes() == before
    assert ids.read_text() == "{}"
