"""Pickles that can make NumPy arrays, numbers, text and plain containers, and nothing else."""

from __future__ import annotations

import collections
import functools
import pathlib
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

# A file in PyTorch's old format is a row of pickles; the fourth one holds the data.
_OLD_PICKLES = 4

# What PyTorch's own tensors, their storages and their types are made of, and plain data.
_HARMLESS = re.compile(
    r"torch\.(_utils\.\w+|storage\.\w+|serialization\._get_layout|_tensor\._rebuild_from_type_v2|Size|Tensor|device"
    r"|nn\.parameter\.Parameter|\w*Storage|(b?float|u?int|complex|bool|double|half|long|q?u?int)\w*)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|argparse\.Namespace"
    r"|(builtins|__builtin__)\.(set|bytearray|complex)"
)


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
    return _PlainUnpickler(file, encoding="latin1").load()


class _DType(str):
    """Stands for ``numpy.dtype``, and is its text: numbers and booleans only, without fields or objects."""

    order = "="

    def __new__(cls, code: object, *_: object) -> _DType:
        if not (isinstance(code, str) and re.fullmatch(r"[<>|=]?[biufc]\d{1,2}", code)):
            raise pickle.UnpicklingError(f"an array of type {code!r}, not of numbers")
        return super().__new__(cls, code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.order, *structure = state
        if any(part is not None for part in structure[:3]):  # subarray, names, fields
            raise pickle.UnpicklingError("an array with fields, not of numbers")


class _Array(np.ndarray):
    """Stands for ``numpy.ndarray``: empty until its bytes come."""

    def __new__(cls, *_: object) -> _Array:
        return super().__new__(cls, 0)

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, *data = state
        super().__setstate__((version, shape, _true(dtype), *data))

    def __reduce__(self) -> Any:  # whoever saves it again saves an array
        return np.asarray(self).__reduce__()


def _true(dtype: object) -> np.dtype:
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("an array without a type")
    return np.dtype(str(dtype)).newbyteorder(dtype.order)  # type: ignore[arg-type]


def _scalar(dtype: _DType, data: bytes | str) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote bytes as text
    return np.frombuffer(raw, _true(dtype)).reshape(())[()]


def _from_buffer(
    data: bytes, dtype: _DType, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    flat = np.frombuffer(data, _true(dtype))
    if order == "K" and axes is not None:
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _empty() -> bytes:  # how Python 3 writes b"" in the old protocols
    return b""


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # which is how it writes other bytes
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _path_text(kind: type[pathlib.PurePath], *parts: str) -> str:
    return str(kind(*parts))


# What stands for functions and classes of other libraries, by full name. Paths become text.
STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _DType,
    "numpy.ndarray": _Array,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
    **{
        f"{module}.{name}": functools.partial(_path_text, kind)
        for module in ("pathlib", "pathlib._local")
        for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath)
        for name in (kind.__name__, kind.__name__.removeprefix("Pure"))
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
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which could run code")
        return _KNOWN[f"{module}.{name}"]

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError("it refers to data outside of the file")


def foreign_objects(path: str) -> list[str]:
    """The classes and functions that a file names, but for those of tensors and plain data; nothing is run.

    Args:
        path: a pickle, or of ``torch.save``, in its new or old format.

    Returns:
        full names; none where the file cannot be taken apart.
    """
    names: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(data) as part:
                    names = _named(part)
        else:
            with open(path, "rb") as file:
                for _ in range(_OLD_PICKLES):
                    names += _named(file)
    except Exception:  # bytes that are no pickle fail in any way
        pass
    return [name for name in dict.fromkeys(names) if name not in STAND_INS and not _HARMLESS.fullmatch(name)]


def _named(file: IO[bytes]) -> list[str]:
    """The names in one pickle, up to its end."""
    names, texts = [], [""]
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            names.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            names.append(".".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return names
