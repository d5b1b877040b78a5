"""A file server for the tests of downloads, and logs that stay with pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from detr_d2.checkpoint.download import MIRROR_VARIABLE

from .file_server import FileServer, serve


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """An empty file server, reached directly and without a mirror."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    with serve() as server:
        yield server


@pytest.fixture(autouse=True)
def _logs_stay_with_pytest(caplog: pytest.LogCaptureFixture) -> None:
    """A trainer that finds its loggers set up adds no handlers of its own."""
    for name in ("detectron2", "detr_d2"):
        caplog.set_level("INFO", logger=name)
