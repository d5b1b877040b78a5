"""A small trained-looking model and a data set on disk for the commands that draw."""

import json
from dataclasses import dataclass

import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

from detr_d2.shapes import ShapesConfig, ShapesSize, register_shapes, write_shapes
from tests.conftest import make_mask_config, make_tiny_config

# One plain color for each image, exactly kept by PNG.
GROUNDS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200), (200, 40, 200)]


@dataclass(frozen=True)
class Project:
    """Paths of a config, a checkpoint and a registered data set of six 48 x 64 images."""

    config: str
    weights: str
    dataset: str
    images: list[str]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("project")
    images, annotations = [], []
    for index, color in enumerate(GROUNDS):
        name = f"image_{index}.png"
        Image.new("RGB", (64, 48), color).save(folder / name)
        images.append({"id": index + 1, "file_name": name, "width": 64, "height": 48})
        annotations.append(
            {
                "id": index + 1,
                "image_id": index + 1,
                "category_id": 1 + index % 3,
                "bbox": [8, 10, 20, 24],
                "area": 480,
                "iscrowd": 0,
            }
        )
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(("ant", "bee", "cat"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "data.json").write_text(json.dumps(content))

    cfg = make_tiny_config()
    cfg.DATASETS.COCO_JSON = (("tools_test_data", str(folder / "data.json"), str(folder)),)
    cfg.DATASETS.TEST = ("tools_test_data",)
    cfg.INPUT.MIN_SIZE_TEST = 64
    (folder / "config.yaml").write_text(cfg.dump())
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, folder / "model.pth")
    return Project(
        config=str(folder / "config.yaml"),
        weights=str(folder / "model.pth"),
        dataset="tools_test_data",
        images=[str(folder / str(image["file_name"])) for image in images],
    )


@pytest.fixture(scope="session")
def panoptic_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A panoptic model with random weights, and four generated images of 64 x 64 pixels."""
    folder = tmp_path_factory.mktemp("panoptic_project")
    write_shapes(folder / "shapes", ShapesConfig(height=64, width=64), ShapesSize(train=1, val=4))
    register_shapes(folder / "shapes", prefix="tools_shapes")
    cfg = make_mask_config()
    cfg.MODEL.DETR.NUM_CLASSES = 6
    cfg.MODEL.DETR.TEST.PANOPTIC_ON = True
    cfg.MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD = 0.1
    cfg.INPUT.DATASET_MAPPER_NAME = "DetrPanopticDatasetMapper"
    cfg.INPUT.MIN_SIZE_TEST = 64
    cfg.DATASETS.TRAIN = ("tools_shapes_train_panoptic",)
    cfg.DATASETS.TEST = ("tools_shapes_val_panoptic",)
    (folder / "config.yaml").write_text(cfg.dump())
    torch.manual_seed(0)
    weights = build_model(cfg).state_dict()
    weights["class_embed.bias"][-1] = -10.0  # every query shows something
    torch.save({"model": weights}, folder / "model.pth")
    images = sorted(str(file) for file in (folder / "shapes" / "val").iterdir())
    return Project(
        str(folder / "config.yaml"), str(folder / "model.pth"), "tools_shapes_val_panoptic", images
    )
