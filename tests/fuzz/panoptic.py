"""Mutated panoptic data sets: each works, or ends in a UserError. ``python -m tests.fuzz.panoptic``."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

import detr_d2

# isort: split
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from detr_d2.data import DetrPanopticDatasetMapper, load_dataset, register_configured
from detr_d2.data.preflight import Needs, examine, preflight
from detr_d2.data.segment_map import read_segment_ids
from detr_d2.errors import UserError
from detr_d2.evaluation import PanopticEvaluator

from .panoptic_mutations import MUTATIONS, Change
from .panoptic_sets import base_set
from .panoptic_variants import VARIANTS

SETS = 500
WORKS, REFUSED = "works", "refused"
_NAME = "fuzzed_panoptic"


@contextmanager
def registered(folder: Path) -> Iterator[CfgNode]:
    """The config of a data set in a folder, registered by its key meanwhile."""
    cfg = get_cfg()
    detr_d2.add_detr_config(cfg)
    files = [str(folder / part) for part in ("panoptic.json", "images", "maps")]
    cfg.DATASETS.COCO_PANOPTIC = [[_NAME, *files]]
    cfg.DATASETS.TRAIN = (_NAME,)
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (24,), 64
    register_configured(cfg)
    try:
        yield cfg
    finally:
        DatasetCatalog.remove(_NAME)
        MetadataCatalog.pop(_NAME, None)


def use(folder: Path) -> None:
    """Check a data set, map each of its records, and score it as its own prediction.

    Raises:
        UserError: it cannot be used.
        AssertionError: it scores less than 100, without a word.
    """
    with registered(folder) as cfg:
        preflight(cfg, test=())
        report = examine(_NAME, Needs.of(cfg, training=True))
        records = load_dataset(_NAME)
        mapper = DetrPanopticDatasetMapper(cfg, is_train=True)
        for record in records:
            mapper(record)
        evaluator = PanopticEvaluator(_NAME, str(folder / "output"))
        for record in records:
            evaluator.process([record], [{"panoptic_seg": _truth(record)}])
        quality = evaluator.evaluate()["panoptic_seg"]["PQ"]
    scored = any(not segment["iscrowd"] for record in records for segment in record["segments_info"])
    if not report.found("several-crowds"):
        assert math.isclose(quality, 100) if scored else math.isnan(quality), f"PQ of the truth is {quality}"


def _truth(record: dict[str, Any]) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """What a perfect model gives for a record."""
    ids = torch.from_numpy(read_segment_ids(record["pan_seg_file_name"]).astype(np.int32))
    return ids, [{key: s[key] for key in ("id", "category_id", "isthing")} for s in record["segments_info"]]


def outcome(change: Change, seed: int, number: int) -> tuple[str, str]:
    """What becomes of a changed data set: how it ends, and the message or traceback."""
    rng = np.random.default_rng([seed, number])
    made = base_set(rng)
    change(made, rng)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made.write(folder)
        try:
            use(folder)
        except UserError as error:
            text = str(error)
            named = name in text and "\n" not in text
            return (REFUSED if named else "names no file"), text
        except Exception:
            return "another exception", traceback.format_exc()
    return WORKS, ""


def mutated(seed: int, number: int) -> tuple[str, str, str]:
    """Name of the mutation of a numbered data set, and its :func:`outcome`; some are mutated twice."""
    names = list(MUTATIONS)
    name = names[number % len(names)]

    def change(made: Any, rng: np.random.Generator) -> None:
        MUTATIONS[name](made, rng)
        if rng.random() < 0.1 and made.content.get("annotations"):
            MUTATIONS["other leaf"](made, rng)

    return name, *outcome(change, seed, number)


def main() -> int:
    """Try all variants and mutations, print a table; 1 where one ends as it must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.panoptic", description=__doc__)
    parser.add_argument("--sets", type=int, default=SETS, help="mutated data sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print every message")
    args = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    violations = 0
    results = [("variants", *outcome(change, args.seed, 0)) for change in VARIANTS.values()]
    results += [mutated(args.seed, number) for number in range(args.sets)]
    for position, (name, end, text) in enumerate(results):
        counts[name, end] += 1
        wrong = end not in (WORKS, REFUSED) or (name == "variants" and end != WORKS)
        violations += wrong
        if wrong or (args.show and text):
            print(f"{position} {name}: {end}: {text}")
    ends = sorted({end for _, end in counts})
    names = ["variants", *MUTATIONS]
    rows = [[name, *(counts[name, end] for end in ends)] for name in names]
    rows.append(["all", *(sum(counts[name, end] for name in names) for end in ends)])
    print(tabulate(rows, ["", *ends]))
    print(f"{violations} violations")
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
