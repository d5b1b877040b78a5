"""``detr-d2 draw``."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import Metadata, MetadataCatalog
from detectron2.engine import DefaultPredictor
from detectron2.structures import Instances
from detectron2.utils.visualizer import Visualizer
from PIL import Image

from detr_d2.data import DataError, load_dataset
from detr_d2.predict import ImagePredictor, class_metadata, inference_config
from detr_d2.tools.draw_predictions import choose_records, in_numbers_of, main, panoptic_sample

from .conftest import GROUNDS, Project


def grounds_in(file: Path) -> list[int]:
    """Return which images' grounds fill a good part of the picture."""
    picture = np.asarray(Image.open(file))
    return [index for index, color in enumerate(GROUNDS) if (picture == color).all(axis=2).sum() > 5000]


def arguments(project: Project, output: Path, *more: str) -> list[str]:
    return ["--config-file", project.config, "--weights", project.weights, "--output", str(output), *more]


def test_the_asked_number_of_images_is_drawn(project: Project, tmp_path: Path) -> None:
    output = tmp_path / "new folder" / "picture.png"
    assert main(arguments(project, output, "--num-images", "4", "--score-threshold", "1")) == 0
    assert len(grounds_in(output)) == 4


def test_all_images_are_drawn_where_more_are_asked_for(project: Project, tmp_path: Path) -> None:
    output = tmp_path / "picture.png"
    assert main(arguments(project, output, "--num-images", "100", "--score-threshold", "1")) == 0
    assert grounds_in(output) == [0, 1, 2, 3, 4, 5]


def test_the_seed_decides_which_images(project: Project, tmp_path: Path) -> None:
    pictures = []
    for name, seed in (("a.png", "1"), ("b.png", "1"), ("c.png", "2")):
        assert main(arguments(project, tmp_path / name, "--num-images", "3", "--seed", seed)) == 0
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0] != pictures[2]


def test_records_are_drawn_once_and_in_order() -> None:
    records = [{"image_id": number} for number in range(20)]
    chosen = [record["image_id"] for record in choose_records(records, 7, seed=3)]
    assert len(set(chosen)) == 7
    assert chosen == sorted(chosen)


def test_a_lower_threshold_draws_more(project: Project, tmp_path: Path) -> None:
    counts = []
    for threshold in ("0", "1"):
        output = tmp_path / f"{threshold}.png"
        assert main(arguments(project, output, "--num-images", "1", "--score-threshold", threshold)) == 0
        picture = np.asarray(Image.open(output))
        counts.append(sum(int((picture == color).all(axis=2).sum()) for color in GROUNDS))
    assert counts[0] < counts[1]


def test_predictions_are_those_of_detectron2s_predictor(project: Project) -> None:
    """A 64 x 48 image resized to 85 x 64 in both: the truncated and the rounded longer side agree."""
    cfg = inference_config(project.config, (), project.weights)
    ours = ImagePredictor(cfg)({"file_name": project.images[0], "height": 48, "width": 64})["instances"]
    image = np.asarray(Image.open(project.images[0]))[:, :, ::-1]
    theirs = DefaultPredictor(cfg)(image)["instances"]
    torch.testing.assert_close(ours.pred_boxes.tensor, theirs.pred_boxes.tensor)
    torch.testing.assert_close(ours.scores, theirs.scores)
    assert ours.image_size == (48, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--dataset", "tools_test_dat"], "tools_test_data"),
        (["--weights", "absent.pth"], "absent.pth does not exist"),
        (["--weights", ""], "no weights"),
        (["--config-file", "absent.yaml"], "absent.yaml does not exist"),
        (["--num-images", "0"], "--num-images must be at least 1"),
        (["--score-threshold", "70"], "--score-threshold must be from 0 to 1"),
        (["--output", "picture.txt"], "picture.txt"),
        (["MODEL.DETR.NO_SUCH_KEY", "1"], "MODEL.DETR.NO_SUCH_KEY"),
        (["MODEL.DETR.NHEADS"], "MODEL.DETR.NHEADS"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    assert main(arguments(project, tmp_path / "picture.png", *change)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["notes.txt", "notes.pth"])
def test_a_file_that_is_no_checkpoint_is_named(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("these are not weights")
    assert main(arguments(project, tmp_path / "picture.png", "--weights", str(tmp_path / name))) == 2
    error = capsys.readouterr().err
    assert name in error
    assert "weights_only" not in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has the device that is asked for")
def test_an_absent_gpu_is_an_error(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(project, tmp_path / "picture.png", "--device", "cuda")) == 2
    assert "MODEL.DEVICE" in capsys.readouterr().err


def test_class_names_come_from_the_checkpoint_then_from_a_data_set(project: Project, tmp_path: Path) -> None:
    cfg = inference_config(project.config, (), project.weights)
    assert ImagePredictor(cfg).class_names == []
    assert list(class_metadata(cfg).thing_classes) == ["ant", "bee", "cat"]
    checkpoint = torch.load(project.weights)
    torch.save({**checkpoint, "metadata": {"thing_classes": ["x", "y", "z"]}}, tmp_path / "named.pth")
    named = inference_config(project.config, (), str(tmp_path / "named.pth"))
    names = ImagePredictor(named).class_names
    assert names == ["x", "y", "z"]
    assert list(class_metadata(named, names).thing_classes) == ["x", "y", "z"]


def test_names_of_stuff_come_from_the_checkpoint_too(panoptic_project: Project, tmp_path: Path) -> None:
    """A data set's colors are used where it has the same classes, of both kinds."""
    cfg = inference_config(panoptic_project.config, (), panoptic_project.weights)
    registered = MetadataCatalog.get(panoptic_project.dataset)
    own = list(registered.thing_classes)
    assert class_metadata(cfg, own, own) is registered
    other = [*own[:5], "lava"]
    metadata = class_metadata(cfg, other, other)
    assert metadata.thing_classes == metadata.stuff_classes == other
    assert metadata.get("stuff_colors", None) is None


def test_results_get_the_numbers_of_the_data_set_they_are_drawn_beside() -> None:
    """Of a model with sky before cat and dog, and a bird that the data set has not."""
    instances = Instances((2, 2), pred_classes=torch.tensor([2, 1, 3]), scores=torch.tensor([0.5, 0.6, 0.7]))
    ids = torch.tensor([[4, 5], [6, 0]], dtype=torch.int32)
    segments = [{"id": 4, "category_id": 0}, {"id": 5, "category_id": 3}, {"id": 6, "category_id": 2}]
    model = ["sky", "cat", "dog", "bird"]
    metadata = Metadata(thing_classes=["cat", "dog", "sky"])
    result = in_numbers_of(
        metadata, {"instances": instances, "panoptic_seg": (ids, segments)}, model, "the data set"
    )
    assert result["instances"].pred_classes.tolist() == [1, 0]
    assert result["instances"].scores.tolist() == pytest.approx([0.5, 0.6])
    assert result["panoptic_seg"][0].tolist() == [[4, 0], [6, 0]]
    assert result["panoptic_seg"][1] == [{"id": 4, "category_id": 2}, {"id": 6, "category_id": 1}]
    assert instances.pred_classes.tolist() == [2, 1, 3]
    unnamed = {"instances": instances}
    assert in_numbers_of(metadata, unnamed, [], "it") is unnamed
    assert in_numbers_of(Metadata(), unnamed, model, "it") is unnamed
    with pytest.raises(DataError, match="it has .*cat"):
        in_numbers_of(metadata, unnamed, ["dog", "sky"], "it")


def test_a_detector_is_drawn_beside_things_of_a_panoptic_data_set() -> None:
    instances = Instances((2, 2), pred_classes=torch.tensor([0, 1]))
    names = ["sky", "cat", "dog"]
    metadata = Metadata(thing_classes=names, thing_dataset_id_to_contiguous_id={7: 1, 9: 2})
    result = in_numbers_of(metadata, {"instances": instances}, ["dog", "cat"], "it")
    assert result["instances"].pred_classes.tolist() == [2, 1]


def test_a_panoptic_models_segments_are_drawn_beside_the_panoptic_ground_truth(
    panoptic_project: Project, tmp_path: Path
) -> None:
    output = tmp_path / "picture.png"
    assert main(arguments(panoptic_project, output, "--num-images", "2", "--image-size", "128")) == 0
    page = np.asarray(Image.open(output))
    assert page.shape[1] > 3 * 128, "three columns"
    # Stuff in the ground truth and in the legend has its class's color, borders are black and white.
    metadata = MetadataCatalog.get(panoptic_project.dataset)
    for color in metadata.stuff_colors:
        assert (page == color).all(2).any()
    assert (page == 0).all(2).sum() > 100


def test_a_panoptic_models_segments_are_those_of_detectron2s_predictor_and_its_visualizer_shows_them(
    panoptic_project: Project,
) -> None:
    cfg = inference_config(panoptic_project.config, (), panoptic_project.weights)
    record = {"file_name": panoptic_project.images[0], "height": 64, "width": 64, "image_id": 1}
    ours, segments = ImagePredictor(cfg)(record)["panoptic_seg"]
    image = np.asarray(Image.open(panoptic_project.images[0]))
    ids, theirs = DefaultPredictor(cfg)(image[:, :, ::-1])["panoptic_seg"]
    # Of equals, which this model of random weights has many of, rounding decides.
    assert (ours != ids).float().mean() < 0.01
    for one, other in zip(segments, theirs, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
        assert one["area"] == pytest.approx(other["area"], abs=0.01 * 64 * 64)
        assert {**one, "score": 0, "area": 0} == {**other, "score": 0, "area": 0}
    assert len(segments) > 1
    visualizer = Visualizer(image, MetadataCatalog.get(panoptic_project.dataset))
    picture = visualizer.draw_panoptic_seg(ids, theirs, area_threshold=0).get_image()
    assert picture.shape == (64, 64, 3)
    for segment in segments:
        assert (picture != image)[ids.numpy() == segment["id"]].any()


def test_a_segmentation_map_that_does_not_fit_its_segments_is_named(panoptic_project: Project) -> None:
    record = load_dataset(panoptic_project.dataset)[0]
    ids = torch.ones(record["height"], record["width"], dtype=torch.int32)
    result = {"panoptic_seg": (ids, [{"id": 1, "category_id": 0, "isthing": True}])}
    image = np.zeros((record["height"], record["width"], 3), dtype=np.uint8)
    assert panoptic_sample(record, image, result).name == os.path.basename(record["file_name"])
    with pytest.raises(DataError, match=record["pan_seg_file_name"]):
        panoptic_sample({**record, "segments_info": record["segments_info"][1:]}, image, result)


def test_objects_of_a_mask_model_are_drawn_with_their_masks(
    panoptic_project: Project, tmp_path: Path
) -> None:
    pictures = []
    for mask_on in ("True", "False"):
        output = tmp_path / f"{mask_on}.png"
        changes = ["MODEL.DETR.TEST.PANOPTIC_ON", "False", "MODEL.MASK_ON", mask_on]
        options = [
            "--dataset",
            "tools_shapes_val",
            "--num-images",
            "1",
            "--score-threshold",
            "0.15",
            *changes,
        ]
        assert main(arguments(panoptic_project, output, *options)) == 0
        pictures.append(np.asarray(Image.open(output)).astype(int))
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any(2).sum() > 1000


def test_panoptic_segments_need_a_panoptic_data_set(
    panoptic_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dataset", "tools_shapes_val", "MODEL.DETR.TEST.INSTANCE_ON", "False"]
    assert main(arguments(panoptic_project, tmp_path / "picture.png", *options)) == 2
    assert "tools_shapes_val has none to draw" in capsys.readouterr().err
