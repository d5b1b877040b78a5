"""Times matching and loss, forward and backward, against the published implementation.

    python -m detr_d2.tools.benchmark_criterion --published FOLDER

FOLDER is a clone of github.com/facebookresearch/detr. Both sides get the same predictions and objects in
one process and take turns, so that a change of the machine's speed meets both. Printed are the median
times and the median, least and largest ratio of a turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ..modeling import HungarianMatcher, LossWeights, Prediction, SetCriterion, Targets
from .published_detr import as_published_outputs, as_published_targets, build_published_criterion

CLASSES, QUERIES = 80, 100


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    logits = torch.randn(args.layers, args.batch, QUERIES, CLASSES + 1, requires_grad=True)
    raw_boxes = torch.randn(args.layers, args.batch, QUERIES, 4, requires_grad=True)
    targets = Targets(
        labels=torch.randint(CLASSES, (args.batch, args.objects)),
        boxes=torch.rand(args.batch, args.objects, 4) * 0.4 + 0.2,
        counts=(args.objects,) * args.batch,
    )
    ours = SetCriterion(CLASSES, QUERIES, HungarianMatcher(1, 5, 2), LossWeights(1.0, 1.0, 1.0), 0.1)
    published = build_published_criterion(args.published, CLASSES)
    published_targets = as_published_targets(targets)

    def run_ours() -> Tensor:
        losses, _ = ours([Prediction(logits, raw_boxes.sigmoid())], targets)
        return torch.stack(list(losses.values())).sum()

    def run_published() -> Tensor:
        losses = published(as_published_outputs(logits, raw_boxes.sigmoid()), published_targets)
        return sum(value for name, value in losses.items() if name.startswith("loss"))

    difference = abs(float(run_ours() - run_published())) / float(run_published())
    rows = [
        (time_step(run_published, (logits, raw_boxes)), time_step(run_ours, (logits, raw_boxes)))
        for _ in range(args.repeats + args.warmup)
    ][args.warmup :]
    ratios = [theirs / mine for theirs, mine in rows]
    print(
        f"{args.layers} layers, batch {args.batch}, {args.objects} objects an image, {args.threads} threads, "
        f"forward and backward; relative difference of the total loss {difference:.1e}"
    )
    print(f"published {1e3 * statistics.median(r[0] for r in rows):.2f} ms (median of {len(rows)})")
    print(f"detr_d2   {1e3 * statistics.median(r[1] for r in rows):.2f} ms")
    print(f"ratio     {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


def time_step(loss: Callable[[], Tensor], leaves: tuple[Tensor, ...]) -> float:
    """Seconds of one forward and backward pass."""
    for leaf in leaves:
        leaf.grad = None
    start = time.perf_counter()
    loss().backward()
    return time.perf_counter() - start


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time matching and loss against the published DETR.")
    parser.add_argument("--published", required=True, help="clone of github.com/facebookresearch/detr")
    parser.add_argument("--layers", type=int, default=6, help="decoder layers (default: 6)")
    parser.add_argument("--batch", type=int, default=8, help="images (default: 8)")
    parser.add_argument("--objects", type=int, default=7, help="objects in each image (default: 7)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--repeats", type=int, default=50, help="counted turns (default: 50)")
    parser.add_argument("--warmup", type=int, default=5, help="turns before them (default: 5)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
