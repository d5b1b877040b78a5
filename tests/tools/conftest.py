"""A small trained-looking model and a data set on disk for the commands that draw."""

import json
from dataclasses import dataclass

import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

from tests.conftest import make_tiny_config

# One plain colour for each image, exactly kept by PNG.
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
