"""A file is there whole, or as it was before."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from detr_d2.atomic import write_file


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
    (tmp_path / "x.pth").mkdir()
    with pytest.raises(IsADirectoryError, match=r"x\.pth"):
        write_file(str(tmp_path / "x.pth"), lambda file: file.write(b"new"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_two_writers_of_one_file_do_not_spoil_each_others(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"

    def slow(file: IO[bytes]) -> None:
        file.write(b"slow ")
        file.flush()
        write_file(str(path), lambda other: other.write(b"fast"))
        assert path.read_bytes() == b"fast"
        file.write(b"whole")

    write_file(str(path), slow)
    assert path.read_bytes() == b"slow whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_other_files_are_not(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from detr_d2.atomic import write_file\n"
        f"write_file({str(tmp_path / 'model_0000004.pth')!r}, lambda f: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("model_0000004.pth.")
    mine = tmp_path / "notes.unfinished"
    mine.write_text("mine")
    write_file(str(tmp_path / "last_checkpoint"), lambda file: file.write(b"x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last_checkpoint", "notes.unfinished"]


def test_others_may_read_a_file_as_far_as_the_users_mask_says(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "x.pth"
    plain.write_bytes(b"")
    write_file(str(path), lambda file: file.write(b"x"))
    assert path.stat().st_mode == plain.stat().st_mode
