"""Files that are complete or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import IO, Any


def write_file(path: str, write: Callable[[IO[bytes]], Any]) -> None:
    """Let ``write`` fill a file beside ``path``, and move it there when it is on the disk.

    The folder is created where it does not exist. Where something fails, ``path`` stays as it was and the
    file beside it is removed.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    unfinished = f"{path}.unfinished"
    try:
        with open(unfinished, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:  # an interrupt of the user's, too
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        raise
