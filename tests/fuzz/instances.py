"""Mutated instance annotations: each works, or ends in a UserError. ``python -m tests.fuzz.instances``.

A small sound data set is changed at random places of its json. What loads goes through the preflight, the
mapper (every record, with and without masks) and, as its own prediction, through the evaluator, where AP has
to be 100 unless a finding says why not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import math
import resource
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import detr_d2

# isort: split
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from detr_d2.data import DetrDatasetMapper, register_configured
from detr_d2.data.masks import rasterize
from detr_d2.data.preflight import preflight
from detr_d2.data.preflight.run import Needs, examine
from detr_d2.data.records import corners, load_records
from detr_d2.errors import UserError
from detr_d2.evaluation import ThingsEvaluator

from .instance_mutations import Content, mutated

NUMBER = 2000
MEMORY_LIMIT = 1024  # MiB above the imports

# The findings after which AP need not be 100.
REASONS = {"no-area", "outside", "beyond", "more-than-detections", "no-objects", "no-mask", "no-good-polygon"}


def sound(folder: Path) -> Content:
    """Four images of 64 x 48 with three objects each, of polygons and RLE; the images are written."""
    (folder / "images").mkdir(exist_ok=True)
    images, annotations = [], []
    for i in range(1, 5):
        pixels = np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 48})
        for c in range(3):
            x, y, w, h = 4 + 20 * c, 6 + 4 * i, 14, 12
            polygon: Any = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            if i == 4:
                mask = np.zeros((48, 64), dtype=bool)
                mask[y : y + h, x : x + w] = True
                runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=False)), prepend=0).tolist()
                polygon = {"size": [48, 64], "counts": [*runs, 48 * 64 - sum(runs)]}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": c + 1,
                    "iscrowd": 0,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "segmentation": polygon,
                }
            )
    categories = [{"id": c + 1, "name": n} for c, n in enumerate(("circle", "square", "triangle"))]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_config(name: str, folder: Path, masks: bool) -> CfgNode:
    cfg = get_cfg()
    detr_d2.add_detr_config(cfg)
    cfg.MODEL.MASK_ON = masks
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (32, 48), 96
    cfg.DATASETS.COCO_JSON = ((name, str(folder / "mutated.json"), str(folder / "images")),)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (name,)
    return cfg


def try_case(number: int, content: Content, folder: Path, masks: bool) -> str:
    """Run one mutation; returns "works", or "refused" for a UserError that names the file.

    Raises:
        AssertionError: AP is not 100 and nothing says why.
        ValueError: an error does not name the file, or is longer than a line.
    """
    (folder / "mutated.json").write_text(json.dumps(mutated(content, number)))
    name = f"fuzz_{number}_{masks}"
    cfg = make_config(name, folder, masks)
    try:
        register_configured(cfg)
        preflight(cfg)
        records = load_records(name)
        mapper = DetrDatasetMapper(cfg, True)
        for record in records:
            mapper(record)
        score_truth(name, records, folder, masks)
    except UserError as error:
        if "\n" in str(error) or ("mutated.json" not in str(error) and ".png" not in str(error)):
            raise ValueError(f"not one line that names a file: {error}") from error
        return "refused"
    finally:
        DatasetCatalog.pop(name, None)
        MetadataCatalog.pop(name, None)
    return "works"


def truth_as_prediction(record: dict[str, Any], masks: bool) -> Instances:
    """The objects of a record as a model would give them."""
    instances = Instances((int(record["height"]), int(record["width"])))
    objects = [x for x in record["annotations"] if not x.get("iscrowd")]
    bitmaps = []
    if masks:
        objects = [x for x in objects if x.get("segmentation")]
        for annotation in list(objects):
            try:
                bitmaps.append(rasterize(annotation["segmentation"], *instances.image_size))
            except ValueError:  # no good part, which the preflight says
                objects.remove(annotation)
        empty = np.zeros((0, *instances.image_size), dtype=bool)
        instances.pred_masks = torch.from_numpy(np.stack(bitmaps) if bitmaps else empty)
    boxes = np.array([corners(x) for x in objects], dtype=np.float32).reshape(-1, 4)
    instances.pred_boxes = Boxes(torch.from_numpy(boxes))
    instances.scores = torch.linspace(1, 0.5, len(objects))
    instances.pred_classes = torch.tensor([x["category_id"] for x in objects], dtype=torch.int64)
    return instances


def score_truth(name: str, records: Sequence[dict[str, Any]], folder: Path, masks: bool) -> None:
    """AP of the truth has to be 100, or a finding says why not."""
    task = "segm" if masks else "bbox"
    evaluator = ThingsEvaluator(name, (task,), str(folder / "output"))
    evaluator.reset()
    for record in records:
        instances = truth_as_prediction(record, masks)
        evaluator.process([record], [{"instances": instances}])
    results = evaluator.evaluate()
    ap = results.get(task, {}).get("AP", math.nan)
    found = {finding.kind for finding in examine(name, Needs(num_detections=100, masks=masks)).findings}
    reason = found & REASONS
    assert ap >= 99.999 or reason, f"AP of the truth is {ap}; findings: {found or 'none'}"


def peak_memory() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(numbers: Sequence[int], folder: Path) -> tuple[Counter[str], list[str]]:
    """Outcomes of some mutations, counted, and what should not have happened."""
    content = sound(folder)
    outcomes: Counter[str] = Counter()
    violations = []
    logging.disable(logging.CRITICAL)
    try:
        for number in numbers:
            for masks in (False, True):
                try:
                    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                        warnings.simplefilter("ignore")
                        outcome = try_case(number, content, folder, masks)
                except Exception as error:
                    outcome = "violation"
                    violations.append(f"{number}, masks {masks}: {type(error).__name__}: {error}")
                outcomes[outcome] += 1
    finally:
        logging.disable(logging.NOTSET)
    return outcomes, violations


def main(argv: Sequence[str] | None = None) -> int:
    """Run all mutations, print what became of them; returns 1 where something should not have happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--number", type=int, default=NUMBER)
    args = parser.parse_args(argv)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, violations = run(range(args.first, args.first + args.number), Path(folder))
    memory = peak_memory() - before
    print(f"{dict(outcomes)}; {memory:.0f} MiB above the imports")
    for violation in violations:
        print(violation)
    return int(bool(violations) or memory > MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
