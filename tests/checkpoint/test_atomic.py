"""A file is there whole, or as it was before."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from detr_d2.checkpoint.atomic import write_file


def test_a_file_is_written_into_a_new_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.pth"
    for content in (b"first", b"second"):
        write_file(str(path), lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError("no space left"), KeyboardInterrupt()], ids=["disk", "user"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, failure: BaseException
) -> None:
    def half(file: IO[bytes]) -> None:
        file.write(b"half")
        raise failure

    path = tmp_path / "x.pth"
    path.write_bytes(b"old")
    with pytest.raises(type(failure)):
        write_file(str(path), half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_failure_is_what_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.pth.unfinished").mkdir()
    with pytest.raises(IsADirectoryError, match="unfinished"):
        write_file(str(tmp_path / "x.pth"), lambda file: file.write(b"new"))
