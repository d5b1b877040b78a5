"""A training that TEST.PATIENCE ends, killed before each file that it writes, and resumed: the same bits.

``python -m tests.engine.kill_stopping [--every 1]``
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.utils.events import get_event_storage

from detr_d2.engine import DetrTrainer

from . import kill
from .helpers import load_written_config, write_dataset
from .kill import assert_same_bits, files_of

# The metric by the iterations that were done; with a patience of 2 it ends after 8.
SCORES = {2: 1.0, 4: 3.0, 6: 2.0, 8: 2.5, 10: 9.0, 12: 9.0}


class Declining(DetrTrainer):
    """Evaluates as always, and gives the written scores."""

    def _evaluate(self) -> dict[str, Any]:
        results = super()._evaluate()
        if results:
            done = get_event_storage().iter + 1
            score = SCORES.get(done, SCORES.get(done - 1))  # the last one is counted as one later
            results["bbox"] = {**results["bbox"], "AP": score}
        return results


def stopping(base: CfgNode, folder: str) -> CfgNode:
    """Evaluations at the same iterations as checkpoints, and between them."""
    cfg = base.clone()
    cfg.OUTPUT_DIR = str(Path(base.OUTPUT_DIR) / folder)
    cfg.SOLVER.EMA.ENABLED = True
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 12, (7,), 4
    cfg.TEST.EVAL_PERIOD, cfg.TEST.PATIENCE, cfg.TEST.LOSS = 2, 2, True
    return cfg


def train(cfg: CfgNode, resume: bool) -> None:
    torch.manual_seed(0)
    trainer = Declining(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    assert (trainer.iter, trainer.max_iter) == (8, 8)
    Path(cfg.OUTPUT_DIR, "ended").write_text("")


def die_before_file(number: int) -> None:
    """Kill this process when it is to put a file of this number, from 0, in its place."""
    replace, count = os.replace, iter(range(number + 1))

    def dying(*paths: Any) -> None:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = dying  # type: ignore[assignment]


def values_of(cfg: CfgNode) -> dict[str, float]:
    return json.loads(Path(cfg.OUTPUT_DIR, "evaluations.json").read_text())["values"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="kill before each of so many files alone")
    every = parser.parse_args().every
    kill.train = train
    with tempfile.TemporaryDirectory() as folder:
        written = write_dataset(Path(folder))
        file = Path(folder, "config.yaml")
        file.write_text(written.dump())
        base = load_written_config(str(file))
        whole = stopping(base, "whole")
        assert kill.run(whole, None, None) == 0
        expected, values = files_of(whole), values_of(whole)
        assert values == {str(done): SCORES[done] for done in (2, 4, 6, 8)}
        assert expected["model_best.pth"]["best"] == {"metric": "bbox/AP", "value": 3.0, "iteration": 3}
        number, ended = 0, False
        while not ended:
            cfg = stopping(base, f"killed{number}")
            code = kill.run(cfg, partial(die_before_file, number), None)
            ended = code == 0
            assert ended or code == -signal.SIGKILL, code
            assert ended or kill.run(cfg, None, None) == 0
            assert_same_bits(files_of(cfg), expected)
            assert values_of(cfg) == values
            number += every
        print(f"killed before each of {number} files: the same bits")


if __name__ == "__main__":
    main()
