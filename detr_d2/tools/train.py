"""Train, or evaluate with ``--eval-only``: ``detr-d2 train``, and the top-level ``train_net.py``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from detectron2.evaluation import verify_results
from detectron2.utils import comm

from ..config_file import find_config
from ..data.preflight import preflight
from ..engine import DetrTrainer, argument_parser, launch, load_for_evaluation, setup
from ..engine.own_data import default_config
from ..errors import ConfigError
from .command import CONFIG_HELP, CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    return run_parser(
        "train",
        "Train a model, evaluate it every TEST.EVAL_PERIOD iterations and at the end, and write weights, "
        "logs and curves to OUTPUT_DIR.",
        [
            "--config-file Shapes-Detection/detr_tiny.yaml OUTPUT_DIR output/shapes",
            "--config-file COCO-Detection/detr_R_50.yaml --num-gpus 8 --resume",
            "--data my/data",
            "--data my/data --weights model.pth SOLVER.EPOCHS 30",
            "--config-file Custom-Detection/detr_small.yaml --data my/data/data.yaml --weights model.pth",
        ],
    )


def run_parser(name: str, description: str, examples: Sequence[str]) -> CommandParser:
    """Detectron2's arguments of a training, with ``--weights`` and ``--device`` as all commands have them.

    Args:
        name, description, examples: as of :class:`~.command.CommandParser`.
    """
    # Theirs has a --help too, which gives way to this one's.
    parser = CommandParser(
        name, description, examples, conflict_handler="resolve", parents=[argument_parser()]
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help=CONFIG_HELP)
    data = (
        "data set of your own: a folder, json or data.yaml in COCO's, YOLO's, Pascal VOC's or labelme's "
        "format; classes and splits are inferred, and --config-file may be left out (sets DATASETS.PATH)"
    )
    parser.add_argument("--data", metavar="PATH", help=data)
    weights = "checkpoint to start from, or detr://NAME of published ones (default: MODEL.WEIGHTS)"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--batch", metavar="N", help="images an iteration, or auto: as many as fit a GPU")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: MODEL.DEVICE)")
    return parser


def start(args: argparse.Namespace) -> None:
    """Train or evaluate in as many processes as are asked for.

    Args:
        args: what :func:`run_parser` parses.

    Raises:
        UserError: there is no such config, or no such data set.
    """
    if args.data and not args.config_file:
        args.config_file = default_config(args.data)
    if args.config_file:
        args.config_file = find_config(args.config_file)
    elif "--config-file" not in args.opts:  # which says that it comes before them
        raise ConfigError(f"--config-file is missing: {CONFIG_HELP}; or --data PATH, a data set of your own")
    for key, value in (
        ("MODEL.DEVICE", args.device),
        ("MODEL.WEIGHTS", args.weights),
        ("DATASETS.PATH", args.data),
        batch_key(args.batch),
    ):
        if value is not None:
            args.opts = [key, value, *args.opts]
    launch(run, args)


def batch_key(batch: str | None) -> tuple[str, str | None]:
    """The key that ``--batch`` sets, and its value.

    Raises:
        ConfigError: it is neither a number nor auto.
    """
    if batch == "auto":
        return "SOLVER.AUTO_BATCH", "True"
    if batch is not None and not (batch.isdecimal() and int(batch) > 0):
        raise ConfigError(f"--batch {batch}: give a number of images, or auto")
    return "SOLVER.IMS_PER_BATCH", batch


def run(args: argparse.Namespace) -> dict[str, Any] | None:
    """Evaluate with ``--eval-only``, else train; returns the results of the evaluation."""
    cfg = setup(args)
    if args.eval_only:
        preflight(cfg, train=())
        model = DetrTrainer.build_model(cfg)
        load_for_evaluation(cfg, model, resume=args.resume)
        results = DetrTrainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), start, argv)


if __name__ == "__main__":
    sys.exit(main())
