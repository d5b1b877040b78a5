from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation.testing import print_csv_format

from detr_d2.data import DataError
from detr_d2.data.segment_map import read_segment_ids
from detr_d2.errors import MissingFileError
from detr_d2.evaluation import PanopticEvaluator, PanopticQuality

from .predictions import changed_predictions

NAME = "evaluated_val_panoptic"
# What Detectron2's COCOPanopticEvaluator gives.
METRICS = ["PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st"]


def evaluate(samples: list[tuple[dict, dict]], folder: Path | None = None) -> dict[str, float]:
    evaluator = PanopticEvaluator(NAME, folder and str(folder))
    for record, output in samples:
        evaluator.process([record], [output])
    return evaluator.evaluate()["panoptic_seg"]


def perfect() -> list[tuple[dict, dict]]:
    samples = []
    for record in DatasetCatalog.get(NAME):
        ids = torch.from_numpy(read_segment_ids(record["pan_seg_file_name"]).astype(np.int32))
        samples.append((record, {"panoptic_seg": (ids, record["segments_info"])}))
    return samples


@pytest.fixture
def copied(shapes, tmp_path, monkeypatch):
    """Ground truth that may be changed."""
    root = tmp_path / "copied"
    shutil.copytree(shapes, root)
    metadata = MetadataCatalog.get(NAME)
    monkeypatch.setitem(metadata.__dict__, "panoptic_json", str(root / "annotations" / "panoptic_val.json"))
    monkeypatch.setitem(metadata.__dict__, "panoptic_root", str(root / "panoptic_val"))
    return root


def test_the_ground_truth_itself_is_perfect(shapes):
    result = evaluate(perfect())
    assert list(result) == METRICS
    assert list(result.values()) == pytest.approx([100] * 9)


def test_changed_predictions_give_the_quality_of_their_maps_in_percent(shapes):
    samples = changed_predictions(NAME)
    content = json.loads((shapes / "annotations" / "panoptic_val.json").read_text())
    quality = PanopticQuality({i: i <= 3 for i in range(1, 7)})
    for truth, (_, output) in zip(content["annotations"], samples, strict=True):
        gt_map = read_segment_ids(str(shapes / "panoptic_val" / truth["file_name"]))
        ids, segments = output["panoptic_seg"]
        segments = [{**s, "category_id": s["category_id"] + 1} for s in segments]
        quality.add(gt_map, truth["segments_info"], ids.numpy(), segments)
    scores = quality.scores()
    expected = [100 * v for part in (scores.all, scores.things, scores.stuff) for v in part[:3]]
    assert list(evaluate(samples).values()) == pytest.approx(expected)
    assert 10 < expected[0] < 90
    assert expected[3] != expected[6]


def test_files_are_written_as_coco_defines_them(shapes, tmp_path):
    samples = changed_predictions(NAME)
    before = copy.deepcopy([output["panoptic_seg"][1] for _, output in samples])
    evaluate(samples[::-1], tmp_path / "output")
    assert [output["panoptic_seg"][1] for _, output in samples] == before

    content = json.loads((tmp_path / "output" / "predictions.json").read_text())
    truth = json.loads((shapes / "annotations" / "panoptic_val.json").read_text())
    assert content["categories"] == truth["categories"]
    assert content["images"] == truth["images"]
    assert len(content["annotations"]) == len(samples)
    for annotation, (record, output) in zip(content["annotations"], samples, strict=True):
        ids, segments = output["panoptic_seg"]
        assert annotation["image_id"] == record["image_id"]
        assert annotation["file_name"] == Path(record["file_name"]).with_suffix(".png").name
        found = [(s["id"], s["category_id"]) for s in annotation["segments_info"]]
        assert found == [(s["id"], s["category_id"] + 1) for s in segments]
        with Image.open(tmp_path / "output" / "predictions" / annotation["file_name"]) as image:
            assert image.mode == "RGB"
            r, g, b = np.moveaxis(np.asarray(image).astype(int), -1, 0)
        assert (r + 256 * g + 256**2 * b == ids.numpy()).all()


def rename_maps(root: Path, names: list[str]) -> None:
    """Give the first maps of a copied ground truth other names."""
    file = root / "annotations" / "panoptic_val.json"
    content = json.loads(file.read_text())
    for annotation, name in zip(content["annotations"], names, strict=False):
        new = root / "panoptic_val" / name
        new.parent.mkdir(exist_ok=True)
        (root / "panoptic_val" / annotation["file_name"]).rename(new)
        annotation["file_name"] = name
    file.write_text(json.dumps(content))


def test_images_of_one_name_in_two_folders_have_a_map_each(copied, tmp_path):
    rename_maps(copied, ["a/1.png", "b/1.png"])
    samples = perfect()
    for folder, (record, _) in zip("ab", samples, strict=False):
        record["file_name"] = f"{folder}/1.jpg"
    evaluate(samples, tmp_path / "output")
    content = json.loads((tmp_path / "output" / "predictions.json").read_text())
    assert [a["file_name"] for a in content["annotations"][:2]] == ["a/1.png", "b/1.png"]
    for annotation, (_, output) in zip(content["annotations"], samples, strict=True):
        found = read_segment_ids(str(tmp_path / "output" / "predictions" / annotation["file_name"]))
        assert (found == output["panoptic_seg"][0].numpy()).all()


def test_maps_are_not_written_outside_the_output_folder(copied, tmp_path):
    rename_maps(copied, ["../elsewhere.png"])
    with pytest.raises(DataError, match=r"\.\./elsewhere\.png, which lies outside panoptic_root"):
        evaluate(perfect(), tmp_path / "output")


def test_things_and_stuff_are_told_apart_where_they_are_numbered_apart(shapes, monkeypatch):
    """Detectron2's "separated" form: stuff has numbers of its own, from 1 on."""
    samples = perfect()
    metadata = MetadataCatalog.get(NAME)
    monkeypatch.setitem(metadata.__dict__, "stuff_dataset_id_to_contiguous_id", {4: 1, 5: 2, 6: 3})
    for _, output in samples:
        for segment in output["panoptic_seg"][1]:
            if segment["category_id"] > 2:
                segment.update(isthing=False, category_id=segment["category_id"] - 2)
    assert evaluate(samples)["PQ"] == pytest.approx(100)


def test_results_and_classes_are_logged(shapes, caplog):
    caplog.set_level("INFO")
    print_csv_format({"panoptic_seg": evaluate(perfect())})
    assert "copypaste: " + ",".join(METRICS) in caplog.text
    assert "| triangle | thing | 100.000 | 100.000 | 100.000 |" in " ".join(caplog.text.split(" ")).replace(
        "  ", " "
    )


def test_nothing_of_an_images_size_is_kept(shapes, tmp_path):
    def state(samples: list[Any]) -> int:
        evaluator = PanopticEvaluator(NAME, str(tmp_path))
        for record, output in samples:
            evaluator.process([record], [output])
        return len(pickle.dumps((evaluator.quality, evaluator._records)))

    assert state(perfect()) < 48 * 64 * 8  # a byte a pixel


def test_resetting_forgets(shapes):
    evaluator = PanopticEvaluator(NAME)
    for record, output in changed_predictions(NAME):
        evaluator.process([record], [output])
    evaluator.reset()
    for record, output in perfect():
        evaluator.process([record], [output])
    assert evaluator.evaluate()["panoptic_seg"]["PQ"] == pytest.approx(100)


class TestErrorsName:
    def refused(self, record: dict, output: dict, kind: type[Exception] = DataError) -> str:
        with pytest.raises(kind) as error:
            PanopticEvaluator(NAME).process([record], [output])
        return str(error.value)

    def test_the_key_that_switches_panoptic_segmentation_on(self, shapes):
        record, _ = perfect()[0]
        assert "MODEL.DETR.TEST.PANOPTIC_ON" in self.refused(record, {"instances": None})

    def test_an_image_without_ground_truth(self, shapes):
        record, output = perfect()[0]
        assert "panoptic_val.json has no annotations for image 77" in self.refused(
            {**record, "image_id": 77}, output
        )

    def test_a_prediction_of_another_size(self, shapes):
        record, output = perfect()[0]
        ids, segments = output["panoptic_seg"]
        words = self.refused(record, {"panoptic_seg": (ids[:40], segments)})
        assert "000000000001.png is 64 x 48 pixels" in words
        assert "prediction for image 1 is 64 x 40" in words

    def test_a_prediction_with_ids_that_are_not_listed(self, shapes):
        record, output = perfect()[0]
        ids, segments = output["panoptic_seg"]
        words = self.refused(record, {"panoptic_seg": (ids, segments[1:])})
        assert f"Image 1 ({shapes}/panoptic_val/000000000001.png" in words
        assert f"the prediction has pixels of segment {segments[0]['id']}, which is not listed" in words

    def test_a_class_that_the_data_set_has_not(self, shapes):
        record, output = perfect()[0]
        ids, segments = output["panoptic_seg"]
        segments[0]["category_id"] = 6
        assert "class 6, which the metadata of data set 'evaluated_val_panoptic'" in self.refused(
            record, output
        )

    def test_a_missing_map(self, copied):
        (copied / "panoptic_val" / "000000000001.png").unlink()
        words = self.refused(*perfect_of(copied)[0], kind=MissingFileError)
        assert "000000000001.png" in words

    def test_ground_truth_with_ids_that_are_not_listed(self, copied):
        file = copied / "annotations" / "panoptic_val.json"
        content = json.loads(file.read_text())
        removed = content["annotations"][0]["segments_info"].pop()
        samples = perfect()
        file.write_text(json.dumps(content))
        words = self.refused(*samples[0])
        assert str(copied / "panoptic_val" / "000000000001.png") in words
        assert f"ground truth has pixels of segment {removed['id']}, which is not listed" in words

    def test_a_missing_json_file(self, copied):
        (copied / "annotations" / "panoptic_val.json").unlink()
        with pytest.raises(FileNotFoundError, match="panoptic_val.json"):
            PanopticEvaluator(NAME)

    def test_a_category_of_which_is_not_said_whether_it_is_a_thing(self, copied):
        file = copied / "annotations" / "panoptic_val.json"
        content = json.loads(file.read_text())
        del content["categories"][2]["isthing"]
        file.write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"panoptic_val.json: category 3 has no 'isthing'"):
            PanopticEvaluator(NAME)

    @pytest.mark.parametrize("key", ["panoptic_json", "panoptic_root"])
    def test_metadata_without_ground_truth(self, shapes, key, monkeypatch):
        monkeypatch.setitem(MetadataCatalog.get(NAME).__dict__, key, "")
        with pytest.raises(DataError, match=f"{NAME}.*{key} of its metadata"):
            PanopticEvaluator(NAME)

    def test_images_without_prediction(self, shapes):
        with pytest.raises(DataError, match=r"2 of 8 images of .*panoptic_val.json.* image 7"):
            evaluate(perfect()[:6])

    def test_an_image_that_came_twice(self, shapes):
        samples = perfect()
        with pytest.raises(DataError, match="same image_id"):
            evaluate([*samples, samples[0]])


def perfect_of(root: Path) -> list[tuple[dict, dict]]:
    """The ground truth of a folder as predictions, without reading its first map."""
    ids = torch.zeros(48, 64, dtype=torch.int32)
    return [({"image_id": 1, "file_name": str(root / "val" / "1.jpg")}, {"panoptic_seg": (ids, [])})]
