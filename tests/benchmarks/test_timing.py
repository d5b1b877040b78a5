"""Runs in turns, their ratios, and the cost of a run in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from benchmarks import timing


def test_runs_take_turns_and_the_first_turns_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def run(name: str, seconds: float) -> None:
        calls.append(name)
        now[0] += seconds * len(calls)

    runs = {"one": partial(run, "one", 1.0), "other": partial(run, "other", 10.0)}
    assert timing.take_turns(runs, repeats=2, warmup=1) == {"one": [3.0, 5.0], "other": [40.0, 60.0]}
    assert calls == ["one", "other"] * 3


def test_a_report_has_medians_and_ratios_of_turns() -> None:
    line = timing.report(
        "work", {"published": [0.010, 0.040, 0.018], "detr_d2": [0.010, 0.010, 0.009]}, per=2
    )
    assert "published 9.00 ms" in line
    assert "detr_d2 5.00 ms" in line
    assert "ratio 2.00 (from 1.00 to 4.00)" in line


def prepare(mebibytes: int) -> Callable[[], object]:
    """A run that needs so much, after preparations that need more and give it back."""
    assert len(b"x" * (4 * mebibytes * 2**20))
    return partial(fill, mebibytes)


def fill(mebibytes: int) -> None:
    assert len(b"x" * (mebibytes * 2**20))


def test_memory_is_that_of_the_run_alone() -> None:
    cost = timing.cost_alone(prepare, 64)
    assert 60 < cost.mebibytes < 80
    assert cost.seconds > 0
