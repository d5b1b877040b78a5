"""One small data set written in every format that is read, for tests.

The writers go their own way from COCO's records to a format's files: they are oracles of the readers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

Json = dict[str, Any]
Sets = dict[str, Json]

SIZES = ((64, 48), (40, 60), (50, 50))
# "plate" is in the validation split alone, and comes first by the alphabet after "jug".
NAMES = ("cup", "jug", "plate")


def sample(folder: Path, polygons: bool = False, splits: tuple[int, ...] = (5, 3, 2)) -> Sets:
    """Write images/*.png of noise in large squares, and make COCO's records of train, val and test."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    sets: Sets = {}
    for split, count in zip(("train", "val", "test"), splits, strict=False):
        images, annotations = [], []
        for number in range(1, count + 1):
            width, height = SIZES[number % len(SIZES)]
            squares = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(squares).resize((width, height), Image.Resampling.NEAREST)
            picture.save(folder / "images" / f"{split}{number}.png")
            images.append(
                {"id": number, "file_name": f"{split}{number}.png", "width": width, "height": height}
            )
            for place in range(number % 3 + 1):
                # Whole pixels, as Pascal VOC has them; the first column and row too.
                x, y = (0, 3) if place == 0 else rng.integers(1, 20, 2).tolist()
                w, h = rng.integers(5, 20, 2).tolist()
                category = place % 2 + 1 + (split == "val" and place == 1)
                entry = {"id": len(annotations) + 1, "image_id": number, "category_id": category}
                entry.update(bbox=[x, y, w, h], area=w * h, iscrowd=0)
                if polygons:
                    entry["segmentation"] = [[x, y, x + w, y, x + w, y + h * 0.7, x + w / 3, y + h]]
                annotations.append(entry)
        categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, start=1)]
        sets[split] = {"images": images, "annotations": annotations, "categories": categories}
    return sets


def targets(contents: Sets) -> dict[tuple[str, str], list[tuple[str, tuple[float, ...]]]]:
    """By split and name of the image file: classes by name, and boxes (x0, y0, x1, y1), in order."""
    found = {}
    for split, content in contents.items():
        names = {category["id"]: category["name"] for category in content["categories"]}
        for image in content["images"]:
            listed = []
            for entry in content["annotations"]:
                if entry["image_id"] == image["id"]:
                    x, y, w, h = entry["bbox"]
                    listed.append((names[entry["category_id"]], (x, y, x + w, y + h)))
            found[split, Path(image["file_name"]).name] = sorted(listed)
    return found


def write_coco(sets: Sets, images: Path, root: Path) -> Path:
    """train.json, val.json, test.json and images/."""
    shutil.copytree(images, root / "images", dirs_exist_ok=True)
    for split, content in sets.items():
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def write_detectron2(sets: Sets, images: Path, root: Path) -> Path:
    """annotations/instances_train2017.json and train2017/."""
    for split, content in sets.items():
        _copy(content, images, root / f"{split}2017")
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
        (root / "annotations" / f"captions_{split}2017.json").write_text('{"annotations": []}')
    return root


def write_roboflow(sets: Sets, images: Path, root: Path) -> Path:
    """train/_annotations.coco.json beside the images, valid/ and test/, with the category that groups all."""
    for split, content in sets.items():
        folder = root / {"val": "valid"}.get(split, split)
        _copy(content, images, folder)
        categories = [{**category, "supercategory": "dishes"} for category in content["categories"]]
        categories.insert(0, {"id": 0, "name": "dishes", "supercategory": "none"})
        written = json.dumps({**content, "categories": categories})
        (folder / "_annotations.coco.json").write_text(written)
    return root


def write_yolo(sets: Sets, images: Path, root: Path) -> Path:
    """data.yaml, images/train and labels/train and so on; polygons where there are some."""
    for split, content in sets.items():
        _copy(content, images, root / "images" / split)
        (root / "labels" / split).mkdir(parents=True)
        for image in content["images"]:
            size = (image["width"], image["height"])
            lines = []
            for entry in content["annotations"]:
                if entry["image_id"] != image["id"]:
                    continue
                x, y, w, h = entry["bbox"]
                numbers = [x + w / 2, y + h / 2, w, h]
                if "segmentation" in entry:
                    (numbers,) = entry["segmentation"]
                shares = [f"{number / size[i % 2]:.6f}" for i, number in enumerate(numbers)]
                lines.append(" ".join([str(entry["category_id"] - 1), *shares]))
            file = root / "labels" / split / f"{Path(image['file_name']).stem}.txt"
            file.write_text("\n".join(lines))
    names = {i: category["name"] for i, category in enumerate(next(iter(sets.values()))["categories"])}
    paths = {split: f"images/{split}" for split in sets}
    (root / "data.yaml").write_text(yaml.safe_dump({**paths, "names": names}))
    return root


def write_voc(sets: Sets, images: Path, root: Path) -> Path:
    """Annotations/*.xml with boxes counted from 1, JPEGImages/ and ImageSets/Main/*.txt."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for split, content in sets.items():
        names = {category["id"]: category["name"] for category in content["categories"]}
        _copy(content, images, root / "JPEGImages")
        stems = [Path(image["file_name"]).stem for image in content["images"]]
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(stems))
        for image, stem in zip(content["images"], stems, strict=True):
            text = f"<annotation><filename>{image['file_name']}</filename><size>"
            text += f"<width>{image['width']}</width><height>{image['height']}</height></size>"
            for entry in content["annotations"]:
                if entry["image_id"] == image["id"]:
                    x, y, w, h = map(int, entry["bbox"])
                    text += f"<object><name>{names[entry['category_id']]}</name><bndbox><xmin>{x + 1}</xmin>"
                    text += f"<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
            (root / "Annotations" / f"{stem}.xml").write_text(f"{text}</annotation>")
    return root


def write_labelme(sets: Sets, images: Path, root: Path) -> Path:
    """A json beside each image, in a folder for each split; rectangles, or polygons where there are some."""
    for split, content in sets.items():
        names = {category["id"]: category["name"] for category in content["categories"]}
        _copy(content, images, root / split)
        for image in content["images"]:
            shapes = []
            for entry in content["annotations"]:
                if entry["image_id"] == image["id"]:
                    x, y, w, h = entry["bbox"]
                    points, kind = [[x, y], [x + w, y + h]], "rectangle"
                    if "segmentation" in entry:
                        points, kind = np.reshape(entry["segmentation"][0], (-1, 2)).tolist(), "polygon"
                    label = names[entry["category_id"]]
                    shapes.append({"label": label, "points": points, "group_id": None, "shape_type": kind})
            content_of_file = {"version": "5", "shapes": shapes, "imagePath": image["file_name"]}
            file = root / split / f"{Path(image['file_name']).stem}.json"
            file.write_text(json.dumps(content_of_file))
    return root


WRITERS: dict[str, Callable[[Sets, Path, Path], Path]] = {
    "COCO": write_coco,
    "Detectron2": write_detectron2,
    "Roboflow": write_roboflow,
    "YOLO": write_yolo,
    "Pascal VOC": write_voc,
    "labelme": write_labelme,
}


def _copy(content: Json, images: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image in content["images"]:
        shutil.copy(images / image["file_name"], folder)
