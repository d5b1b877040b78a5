"""An unpickler that can make NumPy arrays, numbers, text and plain containers, and nothing else."""

from __future__ import annotations

import argparse
import collections
import pathlib
import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np


def load_plain(file: IO[bytes]) -> Any:
    """Read a pickle of arrays and plain data, written by Python 2 or 3.

    A pickle is a program: it names functions, which the usual unpickler imports and calls. Here the
    names of NumPy's own reconstruction functions stand for the few lines below, which build arrays of
    numbers from bytes, and every other name is refused before anything is called.

    Args:
        file: open for reading bytes.

    Raises:
        pickle.UnpicklingError: the pickle names something else, or an array that is not of numbers.
        Exception: bytes that are no pickle fail in any way.
    """
    return finished(_PlainUnpickler(file, encoding="latin1").load())


class _DType:
    """Stands for ``numpy.dtype``: numbers and booleans only, without fields or objects."""

    def __init__(self, code: str, align: object = False, copy: object = True):
        if not (isinstance(code, str) and re.fullmatch(r"[<>|=]?[biufc]\d{1,2}", code)):
            raise pickle.UnpicklingError(f"an array of type {code!r}, not of numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *structure = state
        if any(part is not None for part in structure[:3]):  # subarray, names, fields
            raise pickle.UnpicklingError("an array with fields, not of numbers")
        self.value = self.value.newbyteorder(order)


class _Array:
    """Stands for ``numpy.ndarray`` while its bytes are still to come."""

    def __init__(self, *_: object):
        self.value = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


def _array(
    data: bytes | str, dtype: _DType, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """An array from its bytes (Python 2 wrote them as text)."""
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    flat = np.frombuffer(bytearray(raw), dtype.value)
    if order == "K" and axes is not None:
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: _DType, data: bytes | str) -> Any:
    return _array(data, dtype, (), "C")[()]


def _empty() -> bytes:  # how Python 3 writes b"" in the old protocols
    return b""


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # which is how it writes other bytes
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _posix_path(*parts: str) -> str:
    return str(pathlib.PurePosixPath(*parts))


def _windows_path(*parts: str) -> str:
    return str(pathlib.PureWindowsPath(*parts))


# What stands for functions and classes of other libraries, by full name. Paths become text.
STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _DType,
    "numpy.ndarray": _Array,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array for core in ("core", "_core")},
    **{
        f"{module}.{pure}{kind}Path": path
        for module in ("pathlib", "pathlib._local")
        for pure in ("", "Pure")
        for kind, path in (("Posix", _posix_path), ("Windows", _windows_path))
    },
}

_KNOWN: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": collections.OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "__builtin__.bytes": _empty,
    "_codecs.encode": _encoded,
    **STAND_INS,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            return _KNOWN[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which could run code") from None

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError("it refers to data outside of the file")


def finished(value: Any) -> Any:
    """``value`` with arrays and types in the places of their stand-ins, at any depth of containers."""
    if isinstance(value, (_Array, _DType)):
        return value.value
    if isinstance(value, argparse.Namespace):
        finished(vars(value))
    elif isinstance(value, dict):  # in place: a state dict has attributes beside its items
        for key, item in value.items():
            value[key] = finished(item)
    elif isinstance(value, list):
        value[:] = [finished(item) for item in value]
    elif isinstance(value, (tuple, set)) and value:
        items = [finished(item) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            return type(value)(items)
    return value
