"""Imports from clones whose packages have the names of others, or import what is not needed here."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detr_d2.errors import MissingFileError


@contextmanager
def packages(folder: str, empty: Sequence[str], stubs: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    """Import modules of a clone; afterwards nobody else finds them by their names.

    Args:
        folder: the clone.
        empty: its packages whose ``__init__`` is not run, and those that are to be imported from it anew.
        stubs: modules that stand in for others, with what is in them.

    Raises:
        MissingFileError: ``folder`` has no such packages.
    """
    tops = {name.split(".")[0] for name in (*empty, *stubs)}
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in tops}
    for name in before:
        del sys.modules[name]
    try:
        for name in empty:
            path = Path(folder, *name.split("."))
            if not path.is_dir():
                raise MissingFileError(f"{folder} is no clone with {path}")
            package = types.ModuleType(name)
            package.__path__ = [str(path)]
            sys.modules[name] = package
        for name, content in stubs.items():
            stub = types.ModuleType(name)
            vars(stub).update(content)
            stub.__path__ = []
            sys.modules[name] = stub
        yield importlib.import_module
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(before)
