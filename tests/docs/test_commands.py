"""Every command of README.md and docs/ is run, or says what it needs and is held against its arguments."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

import detr_d2_cli
from detr_d2 import model_zoo
from detr_d2.config_file import read_config
from detr_d2.shapes import ShapesConfig, ShapesSize, write_shapes

from ..checkpoint.key_sets import published_shapes
from .pages import PAGES, ROOT, Command, blocks, commands

ALL = [command for page in PAGES for command in commands(page)]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
MODELS = {
    "Shapes-Detection/detr_tiny.yaml": "demo",
    "Shapes-PanopticSegmentation/detr_tiny_panoptic_boxes.yaml": "demo-panoptic/boxes",
    "Shapes-PanopticSegmentation/detr_tiny_panoptic.yaml": "demo-panoptic",
}


def is_run(command: Command) -> bool:
    """Published weights alone have a stand-in; set-up's environment is the one that runs the tests."""
    own = bool(command.code) or command.words[0] in ("detr-d2", "python")
    return own and command.needs <= {"the network"}


def test_all_commands_are_found() -> None:
    assert sum(map(is_run, ALL)) > 30
    assert all(language in ("", "bash", "python", "text", "json", "yaml", "journey", "layers")
               for page in PAGES for language, _ in blocks(page))  # fmt: skip


@pytest.mark.parametrize("command", [command for command in ALL if not is_run(command)], ids=str)
def test_what_is_not_run_says_what_it_needs_and_would_be_understood(command: Command) -> None:
    words = list(command.words)
    if words == ["source", ".venv/bin/activate"]:
        return
    assert command.needs, "mark it: '# needs a GPU', 'COCO' or 'the network'"
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)
        return
    if words[0] == "torchrun":
        words = ["python", *words[words.index("train_net.py") :]]
    name = words[1] if words[0] == "detr-d2" else "train"
    assert words[0] == "detr-d2" or words[:2] == ["python", "train_net.py"]
    parser = import_module(f"detr_d2.tools.{detr_d2_cli.COMMANDS[name][0]}").build_parser()
    args = parser.parse_args(words[2:])
    if "config_file" in args:
        read_config(str(args.config_file), args.opts)
        assert words[0] == "detr-d2" or (ROOT / args.config_file).is_file()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random weights with the names and shapes of DETR-R50's."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.rand(shape, generator=generator) * 0.02 - (0 if "running_var" in name else 0.01)
        for name, shape in published_shapes(50, panoptic=False).items()
    }
    file = tmp_path_factory.mktemp("published") / "detr-r50.pth"
    torch.save({"model": weights}, file)
    return file


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """What a reader has: the clone, some data and an image, and what ``make demo`` left."""
    for name in ("configs", "docs", "train_net.py", "demo.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    shapes = tmp_path / "datasets" / "shapes"
    write_shapes(shapes, ShapesConfig(), ShapesSize(train=8, val=4))
    for folder, kind in (("my", "instances"), ("panoptic", "panoptic")):
        (tmp_path / folder).mkdir()
        content = json.loads((shapes / "annotations" / f"{kind}_train.json").read_text())
        for split, ids in (("train", range(1, 5)), ("val", range(5, 9))):
            part = {
                "images": [image for image in content["images"] if image["id"] in ids],
                "annotations": [entry for entry in content["annotations"] if entry["image_id"] in ids],
            }
            (tmp_path / folder / f"{split}.json").write_text(json.dumps({**content, **part}))
        (tmp_path / folder / "images").symlink_to(shapes / "train")
    (tmp_path / "panoptic" / "maps").symlink_to(shapes / "panoptic_train")
    with Image.open(
        shapes / "val" / "000000000001.jpg"
    ) as image:  # cut, because a long image takes less time
        image.crop((0, 0, 128, 40)).save(tmp_path / "photo.jpg")
        frame = np.asarray(image)
    video = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (128, 128))
    for _ in range(2):
        video.write(frame)
    video.release()
    for config, folder in MODELS.items():
        output = tmp_path / "output" / folder
        output.mkdir(parents=True, exist_ok=True)
        torch.save(
            {"model": build_model(model_zoo.get_config(config)).state_dict()}, output / "model_final.pth"
        )
        metrics = {"iteration": 0, "total_loss": 2.0, "lr": 0.1, "time": 0.5, "bbox/AP": 30.0}
        (output / "metrics.json").write_text(f"{json.dumps(metrics)}\n")
        (output / "config.yaml").write_text(model_zoo.get_config(config).dump())
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(is_run, commands(page)))], ids=lambda p: p.stem
)
def test_the_commands_of_a_page_do_what_they_say(page: Path, reader: Path, published: Path) -> None:
    lines = [{"words": c.words, "code": c.code} for c in commands(page) if is_run(c)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DETECTRON2_")}
    changed = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "FVCORE_CACHE": str(reader / "cache"),
        "DETR_D2_MIRROR": str(published.parent),
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_commands", str(published)],
        input=json.dumps(lines),
        cwd=reader,
        env=kept | changed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
