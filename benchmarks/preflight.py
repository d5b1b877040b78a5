"""What the preflight costs on a data set of COCO's size: ``python -m benchmarks.preflight``.

A json of 118,000 images and 860,000 annotations with polygons, and its image files (links to a few small
ones), are generated in a temporary folder. Detectron2's own loading and the preflight then run by turns, each
in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from detectron2.data.datasets import load_coco_json
from PIL import Image

from detr_d2.data.preflight import Needs, Report, check_instances
from detr_d2.tools.command import run_command

from . import timing

_WIDTH, _HEIGHT = 640, 480
# A file may have so many names on most file systems, and some to spare.
_LINKS = 30_000


def write_dataset(folder: Path, images: int, annotations: int, points: int, seed: int = 0) -> Path:
    """Write ``instances.json`` and ``images/``; returns the json's path.

    Args:
        points: of each object's polygon; COCO has 25 on average.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir()
    pixels = rng.integers(0, 255, (_HEIGHT // 8, _WIDTH // 8, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((_WIDTH, _HEIGHT))
    for i in range(images):
        if i % _LINKS == 0:
            source = folder / "images" / f"{i:012}.jpg"
            picture.save(source)
        else:
            os.link(source, folder / "images" / f"{i:012}.jpg")
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    with (folder / "instances.json").open("w") as file:
        listed = [
            {"id": i + 1, "file_name": f"{i:012}.jpg", "width": _WIDTH, "height": _HEIGHT}
            for i in range(images)
        ]
        categories = [{"id": c + 1, "name": f"class {c}"} for c in range(80)]
        file.write(f'{{"images": {json.dumps(listed)}, "categories": {json.dumps(categories)}, ')
        file.write('"annotations": [')
        owners, classes = rng.integers(1, images + 1, annotations), rng.integers(1, 81, annotations)
        sides = rng.uniform(10, 200, (annotations, 2))
        corners = rng.uniform(0, 1, (annotations, 2)) * ((_WIDTH, _HEIGHT) - sides)
        for i in range(annotations):
            (x, y), (width, height) = corners[i], sides[i]
            outline = np.stack(
                [x + width * (1 + np.cos(angles)) / 2, y + height * (1 + np.sin(angles)) / 2], 1
            )
            annotation = {
                "id": i + 1,
                "image_id": int(owners[i]),
                "category_id": int(classes[i]),
                "iscrowd": 0,
                "bbox": [round(float(v), 2) for v in (x, y, width, height)],
                "area": round(float(width * height), 2),
                "segmentation": [outline.round(2).flatten().tolist()],
            }
            file.write((", " if i else "") + json.dumps(annotation))
        file.write("]}")
    return folder / "instances.json"


def load(json_file: str, images: str) -> None:
    """Detectron2's loading."""
    load_coco_json(json_file, images, "benchmark")


def look(json_file: str, images: str) -> None:
    """The preflight, with masks."""
    report = check_instances(Report(json_file), images, Needs(80, 100, 100, masks=True))
    assert not report.errors, report.table()


def prepare(work: Callable[[str, str], None], json_file: Path) -> Callable[[], None]:
    """One of the two, in a process of its own."""
    return partial(work, str(json_file), str(json_file.parent / "images"))


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = timing.build_parser(
        "preflight", "Time and memory of the preflight beside Detectron2's loading.", 2
    )
    parser.add_argument("--images", type=int, default=118_000, metavar="N")
    parser.add_argument("--annotations", type=int, default=860_000, metavar="N")
    parser.add_argument("--points", type=int, default=25, metavar="N", help="of each polygon (default: 25)")
    return parser


def benchmark(args: argparse.Namespace) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        json_file = write_dataset(Path(folder), args.images, args.annotations, args.points)
        print(f"{json_file.stat().st_size / 2**20:.0f} MiB of json")
        for _ in range(args.repeats):
            for name, work in (("Detectron2's loading", load), ("preflight", look)):
                seconds, mebibytes = timing.cost_alone(prepare, work, json_file)
                print(f"{name:22} {seconds:6.1f} s   {mebibytes:6.0f} MiB", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), benchmark, argv)


if __name__ == "__main__":
    sys.exit(main())
