"""What the variants cost beside plain DETR: ``python -m benchmarks.variants``.

For each config: parameters (those of denoising and of further groups are there in training alone) and
multiply-adds of one image's inference; times of an image's inference and of a training step of one image
(forward, backward and update), all configs in one process and in turns, with median ratios to the first one;
and the peak of memory above the model's of each, in a process of its own. Weights and images are random.

``--keys`` changes all configs: on features of stride 16, with 5 groups of queries::

    python -m benchmarks.variants --keys MODEL.RESNETS.RES5_DILATION 2 MODEL.DETR.AUXILIARY '("groups",)' \
        MODEL.DETR.GROUPS.NUM 5 --configs COCO-Detection/dab_detr_R_50_50ep.yaml \
        COCO-Detection/rpb_dn_detr_R_50_50ep.yaml
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate

from detr_d2.engine.optimizer import build_optimizer
from detr_d2.model_zoo import get_config
from detr_d2.modeling.complexity import model_complexity
from detr_d2.modeling.fast import FastInference
from detr_d2.tools.command import run_command

from . import timing
from .training_memory import example

CONFIGS = (
    "COCO-Detection/detr_R_50.yaml",
    "COCO-Detection/conditional_detr_R_50_50ep.yaml",
    "COCO-Detection/dab_detr_R_50_50ep.yaml",
    "COCO-Detection/dn_detr_R_50_50ep.yaml",
    "COCO-Detection/dn_group_detr_R_50_12ep.yaml",
    "COCO-Detection/rpb_dn_detr_R_50_50ep.yaml",
    "COCO-Detection/rpb_dn_detr_R_50_fused_50ep.yaml",
)


def read(config: str, keys: Sequence[str]) -> CfgNode:
    """A config on the CPU, with changes: KEY VALUE pairs."""
    cfg = get_config(config)
    cfg.merge_from_list(list(keys))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def inference(config: str, size: Sequence[int], threads: int, keys: Sequence[str]) -> Callable[[], Any]:
    """Builds a model; returns what detects in one image."""
    torch.set_num_threads(threads)
    model = FastInference(build_model(read(config, keys)).eval())
    return partial(model, [{"image": example(size, 80)["image"]}])


def training(config: str, size: Sequence[int], threads: int, keys: Sequence[str]) -> Callable[[], Any]:
    """Builds a model; returns what trains one step with one image."""
    torch.set_num_threads(threads)
    cfg = read(config, keys)
    model = build_model(cfg)
    optimizer, batch = build_optimizer(cfg, model), [example(size, cfg.MODEL.DETR.NUM_CLASSES)]

    def step() -> None:
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()

    return step


def compare(args: argparse.Namespace) -> None:
    """Measure all configs and print a table in Markdown."""
    torch.manual_seed(0)
    arguments = (args.size, args.threads, args.keys)
    rows = []
    times, memory = {}, {}
    for prepare in (inference, training):
        runs = {config: prepare(config, *arguments) for config in args.configs}
        times[prepare] = timing.take_turns(runs, args.repeats)
        del runs
        memory[prepare] = {c: timing.cost_alone(prepare, c, *arguments).mebibytes for c in args.configs}
    for config in args.configs:
        cost = model_complexity(read(config, args.keys), tuple(args.size))
        row = [config, f"{cost.parameters / 1e6:.1f} M", f"{cost.multiply_adds / 1e9:.1f} G"]
        for prepare in (inference, training):
            seconds, first = times[prepare][config], times[prepare][args.configs[0]]
            ratio = statistics.median(one / other for one, other in zip(seconds, first, strict=True))
            row += [f"{statistics.median(seconds):.2f} s ({ratio:.2f})", f"{memory[prepare][config]:.0f} MiB"]
        rows.append(row)
    head = ["config", "parameters", "multiply-adds", "inference", "memory", "training step", "memory"]
    print(tabulate(rows, head, "github", disable_numparse=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit status."""
    parser = timing.build_parser("variants", "What the variants cost beside plain DETR.", 5)
    parser.add_argument("--configs", nargs="+", default=CONFIGS, metavar="NAME", help="of detr_d2's zoo")
    size = "of the image (default: 800 1066)"
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1066), metavar=("H", "W"), help=size)
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's threads (default: 2)")
    changes = "changes of all configs: KEY VALUE pairs"
    parser.add_argument("--keys", nargs="+", default=(), metavar="KEY VALUE", help=changes)
    return run_command(parser, compare, argv)


if __name__ == "__main__":
    sys.exit(main())
