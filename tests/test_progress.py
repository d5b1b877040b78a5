"""The progress bar."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from detr_d2 import progress as module
from detr_d2.data.json_file import read_json
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


def test_a_json_file_that_takes_long_counts_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"images": [{"id": 1}, {"id": 2}], "categories": []}
    file = tmp_path / "train.json"
    file.write_text(json.dumps(content))
    monkeypatch.setattr(module, "DELAY", 0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert read_json(str(file)) == content
    assert "train.json" in terminal.getvalue()
    assert read_json(str(file), lambda entry: entry.get("id", entry))["images"] == [1, 2]
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    assert read_json(str(file)) == content
    assert log.getvalue() == ""
