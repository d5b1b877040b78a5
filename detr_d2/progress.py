"""A progress bar for what can take long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

# What is done sooner, in seconds, has no bar.
DELAY = 1.0


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Go through items, with a bar on standard error where this is a terminal.

    Args:
        items: anything that can be gone through once.
        what: is done, in the words of the user.
        total: number of items, where they do not know it.
    """
    yield from tqdm(items, what, total, leave=False, disable=None, delay=DELAY)


def say(text: str) -> None:
    """Print a line on standard output, also while there is a bar."""
    tqdm.write(text)


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[], object] | None]:
    """Count what nobody knows the number of.

    Args:
        what: is done, in the words of the user.
        unit: what is counted.

    Yields:
        what to call for each, or None where no terminal would show it.
    """
    bar = tqdm(desc=what, unit=f" {unit}", leave=False, disable=None, delay=DELAY)
    with bar:
        yield None if bar.disable else bar.update
