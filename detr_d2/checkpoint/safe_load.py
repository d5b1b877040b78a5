"""Checkpoint files read without running what is in them."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError, MissingFileError
from .pretrained import read_pretrained
from .safe_pickle import STAND_INS, foreign_objects, load_plain
from .safetensors_file import read_safetensors

# Keys under which files keep their weights; bare state dicts have none of them.
_WEIGHT_KEYS = ("model", "state_dict", "model_state")

# What PyTorch's safe mode may build in addition: the published DETR's files hold their command line, and
# others NumPy's numbers and paths.
_SAFE: list[Any] = [argparse.Namespace, *((stand_in, name) for name, stand_in in STAND_INS.items())]


def read_checkpoint(path: str, source: str | None = None) -> dict[str, Any]:
    """Read a file of tensors and plain data; nothing in it can run code.

    ``.safetensors`` files need the package safetensors. ``.pkl`` files go through :func:`load_plain`; as in
    Detectron2, those without a key ``model`` count as Caffe2's. ``.pyth`` files with a key ``model_state``
    are those of pycls. All others are read by ``torch.load`` in its safe mode, where NumPy's arrays and
    numbers, types and paths (as text) and ``argparse.Namespace`` are allowed in addition.

    A folder of Hugging Face's ``save_pretrained`` is read too: its weights in one file or several, and the
    names of the classes in its ``config.json``.

    Args:
        path: a local file or folder.
        source: how the user called it, for messages; by default ``path``.

    Returns:
        what the file holds; tensors are on the CPU.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is empty, damaged, not a dict, or holds more than tensors and plain data; or
            safetensors is not installed.
    """
    source = source or path
    if os.path.isdir(path):
        return read_pretrained(path, source, read_checkpoint)
    if not os.path.isfile(path):
        raise MissingFileError(f"checkpoint {source} does not exist")
    if os.path.getsize(path) == 0:
        raise CheckpointError(f"checkpoint {source} is damaged: the file is empty")
    reader = _READERS.get(os.path.splitext(path)[1], _read_torch)
    try:
        checkpoint = reader(path)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"checkpoint {source} cannot be read: {error}") from error
    except Exception as error:  # bytes that are not of the format fail in any way
        raise CheckpointError(_refusal(path, source, error)) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"checkpoint {source} holds no weights, but a {type(checkpoint).__name__}")
    return checkpoint


def _refusal(path: str, source: str, error: Exception) -> str:
    """What to say of a file that was not read to its end."""
    # A program of TorchScript is a RuntimeError.
    refused = isinstance(error, (pickle.UnpicklingError, RuntimeError))
    objects = foreign_objects(path) if refused else []
    if not objects:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return f"checkpoint {source} is damaged: {reason}"
    named = ", ".join(objects[:3]) + (", ..." if len(objects) > 3 else "")
    return (
        f"checkpoint {source} holds objects other than tensors and plain data, which could run code when "
        f"they are read: {named}. Where you trust it, save its weights alone, with the program that wrote "
        f'it: python -c "import torch; x = torch.load({source!r}, weights_only=False); '
        "x = x.state_dict() if hasattr(x, 'state_dict') else x.get('model', x.get('state_dict', x)); "
        "torch.save(x, 'weights.pth')\""
    )


def weights_and_rest(
    checkpoint: Mapping[str, Any], source: str
) -> tuple[OrderedDict[str, Tensor], dict[str, Any]]:
    """The weights by name in what :func:`read_checkpoint` returned, and what lies beside them.

    NumPy arrays become tensors, and the ``module.`` that wrappers put before all names is removed.

    Raises:
        CheckpointError: there are no weights, or something else is among them.
    """
    key = next((key for key in _WEIGHT_KEYS if isinstance(checkpoint.get(key), Mapping)), None)
    named = checkpoint if key is None else checkpoint[key]
    rest = {} if key is None else {name: item for name, item in checkpoint.items() if name != key}
    weights = {name: _as_tensor(value) for name, value in named.items()}
    wrong = [str(name) for name, value in weights.items() if value is None or not isinstance(name, str)]
    if wrong or not weights:
        found = f"{', '.join(wrong[:3])} is no tensor" if wrong else "it is empty"
        raise CheckpointError(f"checkpoint {source} holds no weights by name: {found}")
    wrapped = all(name.startswith("module.") for name in weights)
    result = OrderedDict(
        (name[7:] if wrapped else name, value) for name, value in weights.items() if value is not None
    )
    if not wrapped:  # the versions of modules, by which they update old weights
        result._metadata = getattr(named, "_metadata", None)  # type: ignore[attr-defined]
    return result, rest


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    return None


def _read_torch(path: str) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # PyTorch does not compare the checksums, and can be told to write none.
            if any(part.CRC for part in archive.infolist()) and (wrong := archive.testzip()):
                raise zipfile.BadZipFile(f"the checksum of {wrong} is wrong")
    with torch.serialization.safe_globals(_SAFE):
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_pickle(path: str) -> Any:
    with open(path, "rb") as file:
        data = load_plain(file)
    if not isinstance(data, dict) or "model" in data:
        return data
    data = data.get("blobs", data)
    data = {name: value for name, value in data.items() if not name.endswith("_momentum")}
    return {"model": data, "__author__": "Caffe2", "matching_heuristics": True}


def _read_pycls(path: str) -> Any:
    data = _read_torch(path)
    if not isinstance(data, dict) or "model_state" not in data:
        return data
    weights = {k: v for k, v in data["model_state"].items() if not k.endswith("num_batches_tracked")}
    return {"model": weights, "__author__": "pycls", "matching_heuristics": True}


_READERS: dict[str, Callable[[str], Any]] = {
    ".pkl": _read_pickle,
    ".pyth": _read_pycls,
    ".safetensors": read_safetensors,
}
