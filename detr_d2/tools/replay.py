"""Repeat a training step that was not finite: ``detr-d2 replay FILE``."""

import argparse
import sys
from collections.abc import Sequence

from ..engine.failed_step import load_failed_step
from ..engine.replay import replay
from ..engine.train_step import image_name
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "replay",
        "Repeat the training step of a file that a training left when its loss or gradient "
        "became NaN or infinite, and print the losses. On the CPU they are the same to the last bit.",
        ["output/non_finite_0000120.pth"],
    )
    parser.add_argument("file", metavar="FILE", help="non_finite_*.pth in the training's OUTPUT_DIR")
    parser.add_argument("--device", help='"cpu" or "cuda"; by default what the training ran on')
    return parser


def run(args: argparse.Namespace) -> None:
    """Repeat the step and print what came of it.

    Args:
        args: what :func:`build_parser` parses.

    Raises:
        UserError: the file or the device cannot be used.
    """
    failed = load_failed_step(args.file)
    result = replay(failed, args.device)
    print(f"Iteration {failed.step.iteration}, process {failed.rank + 1} of {failed.world_size}")
    rows = zip(failed.step.micro_batches, failed.losses.tolist(), result.losses.tolist(), strict=True)
    for number, (batch, recorded, repeated) in enumerate(rows):
        print(f"Micro-batch {number + 1} of {len(failed.losses)}: {', '.join(map(image_name, batch))}")
        if result.broken[number]:
            print(f"  predictions are not finite for {', '.join(result.broken[number])}")
        for name, before, now in zip(failed.loss_names, recorded, repeated, strict=True):
            print(f"  {name:<24} {now!r:>24}" + ("" if repr(before) == repr(now) else f"  (was {before!r})"))
    print(f"Norm of the gradient: {result.gradient_norm!r}")
    print(f"The losses are {'the same to the last bit' if result.same_bits else 'not the same bits'}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
