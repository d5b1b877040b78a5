"""The command ``detr-d2``.

It stands outside the package, because ``import detr_d2`` imports PyTorch and Detectron2: what there is can be
asked for at once, and a sub-command's module is imported when it is run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

# Name: module, whose ``main`` takes the arguments and returns the exit status; what it does.
COMMANDS = {
    "train": ("train", "train a model, and evaluate it"),
    "eval": ("eval", "evaluate a trained model on a data set"),
    "predict": ("demo", "draw what a model finds in images and videos"),
    "check": ("check", "look for what is wrong with a data set"),
    "make-coco": ("make_coco", "write a data set of any known format in COCO's"),
    "convert": ("convert_checkpoint", "convert weights between the layouts of DETRs"),
    "zoo": ("zoo", "list the published models and the configs, or show one"),
    "shapes": ("generate_shapes", "generate the sample data set"),
    "draw": ("draw_predictions", "draw ground truth beside a model's predictions"),
    "plot": ("plot_training", "draw the curves of a training"),
    "compare": ("compare", "compare trainings, as curves and in a table"),
    "report": ("report", "write a page on a training: curves, errors by kind, worst images"),
    "complexity": ("model_complexity", "count a model's parameters and multiply-adds"),
    "panoptic-threshold": (
        "choose_panoptic_threshold",
        "choose the score threshold of panoptic segmentation",
    ),
    "replay": ("replay", "repeat a training step that was not finite"),
}

# As of every sub-command for what the user can put right (detr_d2/errors.py).
EXIT_STATUS = 2


def usage() -> str:
    """What ``detr-d2 --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {words}" for name, (_, words) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: detr-d2 COMMAND ...",
            "",
            "DETR with Detectron2: train, evaluate and look at detection transformers.",
            "",
            *lines,
            "",
            "detr-d2 COMMAND --help has the arguments and an example; detr-d2 --version the version.",
            "Exit status: 0 done, 2 something that you can put right (said in one line), 1 anything else.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
        argv: its name and arguments; None takes the process's own.

    Returns:
        Exit status.
    """
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name == "--version":
        from importlib.metadata import version

        print(f"detr_d2 {version('detr_d2')}")
        return 0
    if name not in COMMANDS:
        return _refuse(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    try:
        module = import_module(f"detr_d2.tools.{COMMANDS[name][0]}")
    except ImportError as error:
        if error.name != "detectron2":  # whose message says how to install it
            raise
        return _refuse(str(error))
    status: int = module.main(rest)
    return status


def _refuse(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return EXIT_STATUS


if __name__ == "__main__":
    sys.exit(main())
