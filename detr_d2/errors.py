"""Errors that a user can put right, each said in one line; every other error keeps its traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# How every command of detr_d2 ends for a UserError, as argparse does for a wrong argument.
EXIT_STATUS = 2

# Set in the environment, it lets a UserError pass with its traceback.
DEBUG_VARIABLE = "DETR_D2_TRACEBACK"


class UserError(ValueError):
    """Something that the user can put right. The message names the file, record or key, and what to do."""


class ConfigError(UserError):
    """A config file, key or command line argument cannot be used."""


class DataError(UserError):
    """Something in a data set cannot be used."""


class CheckpointError(UserError):
    """A file of weights cannot be used."""


class MissingFileError(UserError, FileNotFoundError):
    """A file that the user named does not exist."""


class NonFiniteError(UserError, FloatingPointError):
    """A prediction, loss or gradient is NaN or infinite."""


def message(error: BaseException) -> str:
    """What to show of an error, also where a data loader hands it on from a worker process.

    PyTorch raises such an error anew with the worker's traceback as its only text, whose last paragraph
    is the error's own.
    """
    text = str(error).strip()
    head = f"{type(error).__module__}.{type(error).__qualname__}: "
    return text.rpartition(head)[2].strip() or type(error).__name__


@contextmanager
def explained() -> Iterator[None]:
    """End the process with one message on standard error, and status 2, for a UserError."""
    try:
        yield
    except UserError as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"error: {message(error)}", file=sys.stderr, flush=True)
        sys.exit(EXIT_STATUS)


@contextmanager
def named(what: str, kinds: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """Turn what a library raises for a user's mistake into a UserError that says of ``what`` it was.

    Args:
        what: file or key, the beginning of the message.
        kinds: of the library's exceptions.

    Raises:
        MissingFileError: it was a FileNotFoundError.
        UserError: it was another one of them.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{what} does not exist ({error})") from error
    except kinds as error:
        raise UserError(f"{what}: {error}") from error
