"""Reading json files, with errors that name them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.utils.file_io import PathManager

from ..errors import DataError, UserError, named


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


def read_json(json_file: str) -> Any:
    """What a json file holds.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no text, or no json.
    """
    try:
        with without_garbage_collection(), named(json_file), PathManager.open(json_file) as file:
            return json.load(file)
    except UserError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{json_file} is not a text file ({error}).") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{json_file} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        raise DataError(f"{json_file} is not valid JSON: {error}.") from error
