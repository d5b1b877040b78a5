"""Trainings killed with SIGKILL and resumed, and compared bit for bit with one that was not.

``python -m tests.engine.kill [--kills 30] [--saves 5] [--seed 0] [--workers 2]``
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode

from detr_d2.engine import DetrTrainer

from .helpers import load_written_config, write_dataset

# Processes are forked, which saves the imports; the parent computes nothing, so that there is nothing that
# would not survive it.
_PROCESSES = multiprocessing.get_context("fork")

Files = dict[str, dict[str, Any]]


def everything(base: CfgNode, folder: str, workers: int = 0) -> CfgNode:
    """With all that has a state: accumulation, averaged weights, schedule, dropout, crops, evaluation."""
    cfg = base.clone()
    cfg.SEED = 8
    cfg.OUTPUT_DIR = str(Path(base.OUTPUT_DIR) / folder)
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute_range"
    cfg.INPUT.CROP.SIZE = (30, 40)
    cfg.INPUT.CROP.RESIZE_SHORTEST_EDGE = (50, 60)
    cfg.SOLVER.ACCUMULATION_STEPS = 2
    cfg.SOLVER.MAX_ITER = 10
    cfg.SOLVER.STEPS = (8,)
    cfg.SOLVER.CHECKPOINT_PERIOD = 5
    cfg.SOLVER.EMA.ENABLED = True
    cfg.TEST.EVAL_PERIOD = 4
    return cfg


def train(cfg: CfgNode, resume: bool) -> None:
    torch.manual_seed(0)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()


def die_in_a_save(number: int, share: float) -> None:
    """Kill this process in its save of this number, from 0, when this share of the file is written."""
    save, count = torch.save, iter(range(number + 1))

    def dying(content: Any, file: io.BufferedIOBase, *args: Any, **kwargs: Any) -> None:
        if next(count) < number:
            save(content, file, *args, **kwargs)
            return
        whole = io.BytesIO()
        save(content, whole, *args, **kwargs)
        file.write(whole.getvalue()[: int(share * whole.tell())])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = dying  # type: ignore[assignment]


def run(cfg: CfgNode, dies: Callable[[], None] | None, seconds: float | None) -> int:
    """Train, or go on, in a process that may kill itself or is killed after so long; its exit code."""

    def target() -> None:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        torch.set_num_threads(1)
        if dies is not None:
            dies()
        train(cfg, resume=True)

    process = _PROCESSES.Process(target=target)
    process.start()
    process.join(seconds)
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def files_of(cfg: CfgNode) -> Files:
    """The last and the best checkpoint."""
    names = ("model_final.pth", "model_best.pth")
    return {name: torch.load(Path(cfg.OUTPUT_DIR) / name, weights_only=True) for name in names}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}/{index}")
    else:
        yield path, value


def assert_same_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    """All but ``run``: a training that was killed before its first checkpoint starts anew as another one."""
    first, second = dict(leaves(one)), dict(leaves(other))
    assert first.keys() == second.keys()
    for path, value in first.items():
        if path.endswith("/run"):
            continue
        same = torch.equal(value, second[path]) if isinstance(value, torch.Tensor) else value == second[path]
        assert same, path


def kill_and_compare(
    base: CfgNode, kills: int, saves: int, seed: int, workers: int = 0, say: Callable[[str], None] = print
) -> None:
    """Kill and resume so often, ``saves`` times in the middle of writing a checkpoint, else at any moment.

    A training that comes to its end before is compared, and another begun.
    """
    rng = random.Random(seed)
    whole = everything(base, "whole", workers)
    start = time.perf_counter()
    assert run(whole, None, None) == 0
    duration = time.perf_counter() - start
    expected = files_of(whole)
    say(f"{whole.SOLVER.MAX_ITER} iterations without interruption took {duration:.1f} s")

    in_a_save = [True] * saves + [False] * (kills - saves)
    rng.shuffle(in_a_save)
    trainings, done = 0, 0
    while True:
        cfg = everything(base, f"killed{trainings}", workers)
        ended = False
        while not ended:
            if done == kills:
                code = run(cfg, None, None)
            elif in_a_save[done]:
                code = run(cfg, partial(die_in_a_save, rng.randrange(3), rng.random()), None)
            else:
                code = run(cfg, None, rng.uniform(0, duration))
            if code == -signal.SIGKILL:
                kind = "in a save" if in_a_save[done] else "at a random moment"
                done += 1
                file = Path(cfg.OUTPUT_DIR) / "last_checkpoint"
                say(f"kill {done} {kind}; left: {file.read_text() if file.exists() else 'no checkpoint'}")
            else:
                assert code == 0, f"a training ended with {code}"
                ended = True
        assert_same_bits(files_of(cfg), expected)
        trainings += 1
        say(f"training {trainings}, after {done} kills in all: the same bits")
        if done == kills:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--saves", type=int, default=5, help="so many of them during a save")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="of the loader")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cfg = write_dataset(Path(folder))
        file = Path(folder, "config.yaml")
        file.write_text(cfg.dump())
        kill_and_compare(load_written_config(str(file)), args.kills, args.saves, args.seed, args.workers)


if __name__ == "__main__":
    main()
