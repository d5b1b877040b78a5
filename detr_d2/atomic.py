"""Files that are complete or not there, whoever else writes in the same folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

_SUFFIX = ".unfinished"
_TOKEN_BYTES = 4


def write_file(path: str, write: Callable[[IO[bytes]], Any]) -> None:
    """Let ``write`` fill a file beside ``path``, and move it there when it is on the disk.

    The folder is created where it does not exist. Where something fails, ``path`` stays as it was and the
    file beside it is removed. Each call has a file of its own, which it keeps locked; those of processes
    that were killed are locked by nobody, and removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked_file(target) as (unfinished, file):
        _remove_abandoned(target.parent)
        write(file)
        file.flush()
        os.fsync(file.fileno())
        os.replace(unfinished, target)


@contextlib.contextmanager
def _locked_file(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file beside ``target``, locked; removed at the end where it is still there."""
    while True:
        unfinished = target.with_name(f"{target.name}.{secrets.token_hex(_TOKEN_BYTES)}{_SUFFIX}")
        # Not tempfile's, which nobody else could read when it is in its place.
        with open(unfinished, "xb") as file:
            try:
                with contextlib.suppress(OSError):  # a file system without locks: nobody removes anything
                    fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink:  # else removed by another process before it was locked
                    yield unfinished, file
                    return
            finally:
                with contextlib.suppress(OSError):
                    os.remove(unfinished)


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files whose processes are gone."""
    for path in folder.glob(f"*.{'[0-9a-f]' * 2 * _TOKEN_BYTES}{_SUFFIX}"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.remove(path)
