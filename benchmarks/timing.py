"""What the benchmarks share: arguments, runs in turns, printed ratios, and the memory of one run."""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

Runs = Mapping[str, Callable[[], object]]
Seconds = dict[str, list[float]]


def build_parser(name: str, description: str, repeats: int) -> argparse.ArgumentParser:
    """A parser with ``--repeats``.

    Args:
        name: of the module in ``benchmarks``.
        description: what it measures.
        repeats: the default.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--repeats", type=int, default=repeats, help=f"counted turns (default: {repeats})")
    return parser


def take_turns(runs: Runs, repeats: int, warmup: int = 1) -> Seconds:
    """Seconds of each run, turn by turn, so that a change of the machine's speed meets all of them.

    ``torch.utils.benchmark`` times one thing after another, and would see such a change as a difference.

    Args:
        runs: what to time, by name.
        repeats: turns that count.
        warmup: turns before them.
    """
    seconds: Seconds = {name: [] for name in runs}
    for turn in range(warmup + repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(what: str, seconds: Seconds, per: int = 1) -> str:
    """One line: the median times, and how many times longer the first run takes than the last one.

    Args:
        what: was timed.
        seconds: what :func:`take_turns` returns.
        per: parts of a run, such as images, of which one's time is given.
    """
    medians = ", ".join(
        f"{name} {1e3 * statistics.median(times) / per:.2f} ms" for name, times in seconds.items()
    )
    first, *_, last = seconds.values()
    ratios = [one / other for one, other in zip(first, last, strict=True)]
    return (
        f"{what}: {medians} (medians of {len(ratios)}), ratio {statistics.median(ratios):.2f} "
        f"(from {min(ratios):.2f} to {max(ratios):.2f})"
    )


class Cost(NamedTuple):
    """What a run took; ``mebibytes`` is the most memory above that of before."""

    seconds: float
    mebibytes: float


def cost_alone(prepare: Callable[..., Callable[[], object]], *args: object) -> Cost:
    """Measure one run in a process of its own, on Linux.

    Args:
        prepare: returns what to measure, there; must be importable, and so must be its ``args``.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_cost_here, prepare, *args).result()


def _cost_here(prepare: Callable[..., Callable[[], object]], *args: object) -> Cost:
    run = prepare(*args)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    except OSError as error:
        warnings.warn(f"the peak of memory counts what came before the run, too: {error}", stacklevel=2)
    before, start = _resident_memory("VmRSS"), time.perf_counter()
    run()
    return Cost(time.perf_counter() - start, _resident_memory("VmHWM") - before)


def _resident_memory(kind: str) -> float:
    """MiB of this process in memory, now ("VmRSS") or at most so far ("VmHWM").

    Not ``getrusage``, which counts the parent's memory at the time of starting this process, too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values[kind].split()[0]) / 1024
