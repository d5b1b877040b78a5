"""How the processes of one run end when one of them fails: all of them, in seconds, with one message."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import logging
import multiprocessing.connection
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import NoReturn

from detectron2.engine import TrainerBase

from ..errors import EXIT_STATUS, UserError, exit_status

# A process that lost the others waits this long before it calls that an error: whoever started it has seen
# one of them end, and ends it too.
_DOUBT_SECONDS = 1.0
# A process that is not the first to fail waits this long to be ended, so that the first can say why.
_PATIENCE_SECONDS = 4.0
# Leaving in order takes no longer; a thread of a loader may never come to its end.
_LEAVING_SECONDS = 3.0

_NOWHERE = open(os.devnull, "w")  # noqa: SIM115  has to stay open


@contextlib.contextmanager
def one_message(is_first: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """End this process where something is raised, with a message if it is the first of its group.

    Other processes are not waited for, nor the end of the process group: an exchange may never finish.

    Args:
        is_first: asked once, when this process fails; an exception counts as yes.
    """
    try:
        yield
    except SystemExit as error:
        _leave(error.code if isinstance(error.code, int) else int(error.code is not None))
    except Exception as error:
        if not isinstance(error, UserError):
            time.sleep(_DOUBT_SECONDS)
        first = True
        with contextlib.suppress(Exception):
            first = is_first()
        if not first:
            time.sleep(_PATIENCE_SECONDS)
        silent = EXIT_STATUS if isinstance(error, UserError) else 1  # may be the first to end all the same
        _leave(_say(error) if first else silent)


def leave_when_terminated() -> None:
    """Let SIGTERM end this process in order, with the loaders' workers that it started."""
    owner = os.getpid()

    def leave(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a worker, which was forked and has nothing of its own to put in order
            os._exit(128 + number)
        faulthandler.dump_traceback_later(_LEAVING_SECONDS, exit=True, file=_NOWHERE)
        sys.exit(128 + number)  # lets a file that is being written be removed

    signal.signal(signal.SIGTERM, leave)


def _leave(status: int) -> NoReturn:
    """End this process and its workers, with its files complete; in a few seconds, whatever hangs."""
    faulthandler.dump_traceback_later(_LEAVING_SECONDS, exit=True, file=_NOWHERE)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _say(error: Exception) -> int:
    """Say an error as the whole program would, and return the exit status for it."""
    try:
        return exit_status(error)
    except Exception:
        traceback.print_exception(error)
    return 1


def wait_for(processes: Sequence[BaseProcess]) -> int:
    """Wait until all have ended well, or one has not, which ends the others.

    Returns:
        0, or the exit status of the first that failed. A process that a signal ended is named on standard
        error, for it could not speak for itself.
    """
    try:
        while alive := [process for process in processes if process.exitcode is None]:
            multiprocessing.connection.wait([process.sentinel for process in alive])
            for index, process in enumerate(processes):
                if process.exitcode is not None and process.exitcode < 0:
                    name = signal.Signals(-process.exitcode).name
                    print(
                        f"error: process {index} of this machine was ended by {name}"
                        f"{' (out of memory?)' if name == 'SIGKILL' else ''}",
                        file=sys.stderr,
                    )
                    return 128 - process.exitcode
                if process.exitcode:
                    return process.exitcode
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_LEAVING_SECONDS)
            process.kill()
    return 0


def keep_training_errors_off_the_console() -> None:
    """Let Detectron2's training loop note in the log files alone why it stopped: whoever catches the error
    says it."""
    for handler in logging.getLogger("detectron2").handlers:
        if getattr(handler, "stream", None) in (sys.stdout, sys.stderr):
            handler.addFilter(_is_no_training_error)


def _is_no_training_error(record: logging.LogRecord) -> bool:
    return record.exc_info is None or record.name != TrainerBase.__module__
