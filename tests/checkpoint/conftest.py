"""A file server for the tests of downloads."""

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
