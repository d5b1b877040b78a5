"""Runs a page's commands in the working directory, in one process; ``test_commands.py`` starts it.

Standard input is JSON: a list of {"words": [...], "code": "..."}. Trainings and data sets are made short. A
file of random weights, which the command line names, stands in for the published one of DETR-R50.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import shlex
import sys
from pathlib import Path

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs
import detr_d2_cli
from detr_d2 import model_zoo
from detr_d2.checkpoint.download import RemoteFile

SHORT = {
    "train": "SOLVER.MAX_ITER 2 SOLVER.IMS_PER_BATCH 2 DATALOADER.NUM_WORKERS 0",
    "shapes": "--train 8 --val 4 --processes 1",
    "panoptic-threshold": "--thresholds 0.5,0.7",
    "docs/tutorial.py": "--iterations 2 --images 20",
}


def run(words: list[str]) -> None:
    """Run one command as the shell would, but in this process.

    Raises:
        SystemExit: its status is not 0.
    """
    program, name, *arguments = words
    kind = name if name != "train_net.py" or "--eval-only" in words else "train"
    arguments += SHORT.get(kind, "").split()
    if program == "detr-d2":
        sys.exit(detr_d2_cli.main([name, *arguments]))
    assert program == "python", program
    sys.argv = [name, *arguments]
    runpy.run_path(name, run_name="__main__")


def main() -> None:
    """Run all; the first that fails ends it, with what it was on the last line."""
    weights = Path(sys.argv[1])
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    model_zoo.register_weights({"detr_R_50": RemoteFile(f"https://nowhere.invalid/{weights.name}", digest)})
    for command in json.load(sys.stdin):
        print("$", shlex.join(command["words"]) or command["code"], flush=True)
        try:
            if command["code"]:
                exec(compile(command["code"], "page", "exec"), {"__name__": "page"})
            else:
                run(command["words"])
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    main()
