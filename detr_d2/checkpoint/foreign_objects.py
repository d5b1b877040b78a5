"""What a file of PyTorch holds beside tensors and plain data: said by name, without reading it."""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Collection
from typing import IO

# A file in PyTorch's old format is a row of pickles; the fourth one holds the data.
_OLD_PICKLES = 4

# What PyTorch's own tensors, their storages and their types are made of.
_TENSORS = re.compile(
    r"torch\.(_utils\.\w+|storage\.\w+|serialization\._get_layout|_tensor\._rebuild_from_type_v2|Size|Tensor|device"
    r"|nn\.parameter\.Parameter|\w*Storage|(b?float|u?int|complex|bool|double|half|long|q?u?int)\w*)"
)


def foreign_objects(path: str, known: Collection[str]) -> list[str]:
    """The classes and functions that a file names, but for those of ``known`` and of PyTorch's tensors.

    Args:
        path: of ``torch.save``, in its new or old format.
        known: full names, such as "collections.OrderedDict".

    Returns:
        full names; none where the file cannot be taken apart.
    """
    names: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(data) as file:
                    names = _named(file)
        else:
            with open(path, "rb") as file:
                for _ in range(_OLD_PICKLES):
                    names += _named(file)
    except Exception:  # bytes that are no pickle fail in any way
        pass
    return [name for name in dict.fromkeys(names) if name not in known and not _TENSORS.fullmatch(name)]


def is_torchscript(path: str) -> bool:
    """Whether a file is a program of ``torch.jit.save``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):  # another format, or damaged
        return False


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
