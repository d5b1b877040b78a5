"""What the processes of test_distributed.py do; they import it by name."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from torch import nn

from detr_d2.engine import setup
from detr_d2.evaluation import build_evaluator
from detr_d2.shapes import register_shapes

from .predictions import Samples, changed_predictions

PREFIX = "distributed"
NAME = f"{PREFIX}_val_panoptic"


class Memory(nn.Module):
    """Gives the predictions that it was made with."""

    def __init__(self, samples: Samples):
        super().__init__()
        self.outputs = {record["image_id"]: output for record, output in samples}

    def forward(self, batch: list[dict]) -> list[dict]:
        return [self.outputs[record["image_id"]] for record in batch]


def main(args: argparse.Namespace) -> None:
    """Evaluate this rank's share of the images; the main process writes the results."""
    cfg = setup(args)
    folder = Path(cfg.OUTPUT_DIR)
    register_shapes(folder / "shapes", prefix=PREFIX)
    samples = changed_predictions(NAME)
    share = [[record] for record, _ in samples[comm.get_rank() :: comm.get_world_size()]]
    evaluator = build_evaluator(cfg, NAME, str(folder / f"of_{comm.get_world_size()}"))
    results = inference_on_dataset(Memory(samples), share, evaluator)
    if comm.is_main_process():
        print_csv_format(results)
        (folder / f"of_{comm.get_world_size()}" / "results.json").write_text(json.dumps(results))
