"""Times matching and loss, forward and backward, against the published implementation.

    python -m benchmarks.criterion --published FOLDER

FOLDER is a clone of github.com/facebookresearch/detr. Both sides get the same predictions and objects in
one process and take turns. Printed are the median times and the median, least and largest ratio of a turn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from detr_d2.modeling import (
    BoxRegression,
    CrossEntropy,
    HungarianMatcher,
    LossWeights,
    Prediction,
    SetCriterion,
    Targets,
)
from detr_d2.tools.command import run_command

from . import timing
from .published_detr import (
    add_arguments,
    as_published_outputs,
    as_published_targets,
    build_published_criterion,
)

CLASSES, QUERIES = 80, 100


def compare(args: argparse.Namespace) -> None:
    """Measure both sides and print the figures.

    Raises:
        MissingFileError: ``args.published`` is no clone.
    """
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    logits = torch.randn(args.layers, args.batch, QUERIES, CLASSES + 1, requires_grad=True)
    raw_boxes = torch.randn(args.layers, args.batch, QUERIES, 4, requires_grad=True)
    targets = Targets(
        labels=torch.randint(CLASSES, (args.batch, args.objects)),
        boxes=torch.rand(args.batch, args.objects, 4) * 0.4 + 0.2,
        counts=(args.objects,) * args.batch,
    )
    class_loss, box_regression = CrossEntropy(0.1), BoxRegression()
    ours = SetCriterion(
        num_classes=CLASSES,
        num_queries=QUERIES,
        matcher=HungarianMatcher(1, 5, 2, class_loss, box_regression),
        weights=LossWeights(1.0, 1.0, 1.0),
        class_loss=class_loss,
        box_regression=box_regression,
        per_process=False,
        deep_supervision=True,
        metrics_period=0,
    )
    published = build_published_criterion(args.published, CLASSES)
    published_targets = as_published_targets(targets)

    def our_loss() -> Tensor:
        losses, _ = ours([Prediction(logits, raw_boxes.sigmoid())], targets)
        return torch.stack(list(losses.values())).sum()

    def published_loss() -> Tensor:
        losses = published(as_published_outputs(logits, raw_boxes.sigmoid()), published_targets)
        return torch.stack([value for name, value in losses.items() if name.startswith("loss")]).sum()

    def step(loss: Callable[[], Tensor]) -> None:
        logits.grad = raw_boxes.grad = None
        loss().backward()

    ours_now, theirs_now = our_loss().item(), published_loss().item()
    difference = abs(ours_now - theirs_now) / theirs_now
    print(
        f"{args.layers} layers, batch {args.batch}, {args.objects} objects an image, {args.threads} threads; "
        f"relative difference of the total loss {difference:.1e}"
    )
    runs = {"published": lambda: step(published_loss), "detr_d2": lambda: step(our_loss)}
    print(timing.report("forward and backward", timing.take_turns(runs, args.repeats, warmup=5)))


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = timing.build_parser("criterion", "Time matching and loss against the published DETR.", 50)
    add_arguments(parser)
    parser.add_argument("--layers", type=int, default=6, help="decoder layers (default: 6)")
    parser.add_argument("--batch", type=int, default=8, help="images (default: 8)")
    parser.add_argument("--objects", type=int, default=7, help="objects in each image (default: 7)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
