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


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Refuse the value of a key.

    Raises:
        ConfigError: ``holds`` is not true.
    """
    if not holds:
        raise ConfigError(f"{key} is {value!r}, but must be {rule}")


def message(error: BaseException) -> str:
    """What to show of an error, also where a data loader hands it on from a worker process.

    PyTorch raises such an error anew with the worker's traceback as its only text, whose last paragraph
    is the error's own.
    """
    text = str(error).strip()
    head = f"{type(error).__module__}.{type(error).__qualname__}: "
    return text.rpartition(head)[2].strip() or type(error).__name__


def exit_status(error: Exception) -> int:
    """Say a UserError in one line on standard error, and return the status that the process ends with.

    Raises:
        Exception: ``error`` itself, where it is no UserError or tracebacks are asked for.
    """
    if not isinstance(error, UserError) or os.environ.get(DEBUG_VARIABLE):
        raise error
    print(f"error: {message(error)}", file=sys.stderr, flush=True)
    return EXIT_STATUS


@contextmanager
def explained() -> Iterator[None]:
    """End the process with one message on standard error, and status 2, for a UserError."""
    try:
        yield
    except UserError as error:
        sys.exit(exit_status(error))


@contextmanager
def named(
    what: str, kinds: tuple[type[Exception], ...] = (OSError,), becomes: type[UserError] = UserError
) -> Iterator[None]:
    """Turn what a library raises for a user's mistake into a UserError that says of ``what`` it was.

    Args:
        what: file or key, the beginning of the message.
        kinds: of the library's exceptions.
        becomes: what is raised.

    Raises:
        MissingFileError: it was a FileNotFoundError.
        UserError: it was another one of them; of the class ``becomes``, in one line.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{what} does not exist ({error})") from error
    except kinds as error:
        # A KeyError's own text is the repr of its message.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise becomes(f"{what}: {' '.join(str(text).split()) or type(error).__name__}") from error
