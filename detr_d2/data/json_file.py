"""Reading json files, with errors that name them."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.utils.file_io import PathManager

from ..errors import DataError, UserError, named
from ..progress import counting

Hook = Callable[[dict[str, Any]], Any]


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage, would be looked through again and again meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_json(json_file: str, object_hook: Hook | None = None) -> Any:
    """What a json file holds.

    Args:
        json_file: path or URI.
        object_hook: gives what takes the place of each object, as of :func:`json.load`.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no json.
    """
    try:
        with (
            without_garbage_collection(),
            named(json_file),
            PathManager.open(json_file) as file,
            counting(f"Reading {json_file}", "objects") as count,
        ):
            return json.load(file, object_hook=_counted(object_hook, count))
    except UserError:
        raise
    except (
        ValueError,
        RecursionError,
    ) as error:  # also of other encodings, or endless nesting
        raise DataError(f"{json_file} is not valid JSON in UTF-8: {error}.") from error


def _counted(hook: Hook | None, count: Callable[[], object] | None) -> Hook | None:
    """A hook that counts the objects as well; the hook itself where nobody looks."""
    if count is None:
        return hook

    def counted(entry: dict[str, Any]) -> Any:
        count()
        return entry if hook is None else hook(entry)

    return counted
