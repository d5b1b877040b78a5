"""The progress bar."""

from __future__ import annotations

import io
import sys

import pytest

from detr_d2 import progress as module
from detr_d2.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY", 0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    seen = []
    for number in progress(iter("abc"), "Letters", 3):
        seen.append(number)
    assert seen == ["a", "b", "c"]
    assert "Letters" in terminal.getvalue()
    assert "/3" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "delay"), [(io.StringIO, 0), (Terminal, 60)])
def test_a_log_file_and_what_is_done_soon_have_no_bar(
    stream: type[io.StringIO], delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DELAY", delay)
    monkeypatch.setattr(sys, "stderr", written := stream())
    assert list(progress([1, 2], "Numbers")) == [1, 2]
    assert written.getvalue().strip() == ""
