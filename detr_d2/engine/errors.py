"""Errors that a user can cause, said in a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What detr_d2 and Detectron2 raise for wrong configs, files and data, and for losses that are not finite.
USER_ERRORS = (ValueError, KeyError, FileNotFoundError, FloatingPointError)

DEBUG_VARIABLE = "DETR_D2_TRACEBACK"


@contextmanager
def explained_errors() -> Iterator[None]:
    """End the process with one line on standard error for an error that a user can cause.

    With the environment variable DETR_D2_TRACEBACK set, errors pass through with their traceback.
    """
    try:
        yield
    except USER_ERRORS as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"error: {message(error)} (traceback: set {DEBUG_VARIABLE}=1)", file=sys.stderr, flush=True)
        sys.exit(1)


def message(error: BaseException) -> str:
    """The error's own words, also where it comes from a worker process of a data loader."""
    # KeyError's str() is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if text.startswith("Caught ") and "worker process" in text:
        text = text.rstrip().rpartition("\n")[2].partition(": ")[2] or text
    return text.strip() or type(error).__name__
