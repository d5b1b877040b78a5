"""Checkpoint files read without running what is in them."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError, MissingFileError
from .safe_pickle import load_plain

# Keys under which files keep their weights; bare state dicts have none of them.
_WEIGHT_KEYS = ("model", "state_dict", "model_state")


class _MissingPackage(Exception):
    """The package of this name, which reads files of a format, is not installed."""


def read_checkpoint(path: str, source: str | None = None) -> dict[str, Any]:
    """Read a file of tensors and plain data; nothing in it can run code.

    ``.safetensors`` files need the package safetensors. ``.pkl`` files go through :func:`load_plain`; as in
    Detectron2, those without a key ``model`` count as Caffe2's. ``.pyth`` files with a key ``model_state``
    are those of pycls. All others are read by ``torch.load`` in its safe mode, where ``argparse.Namespace``
    is allowed in addition (the published DETR's files hold their command line so).

    Args:
        path: a local file.
        source: how the user called it, for messages; by default ``path``.

    Returns:
        what the file holds; tensors are on the CPU.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is empty, damaged, not a dict, or holds more than tensors and plain data; or
            safetensors is not installed.
    """
    source = source or path
    if not os.path.isfile(path):
        raise MissingFileError(f"checkpoint {source} does not exist")
    if os.path.getsize(path) == 0:
        raise CheckpointError(f"checkpoint {source} is damaged: the file is empty")
    reader = _READERS.get(os.path.splitext(path)[1], _read_torch)
    try:
        checkpoint = reader(path)
    except _MissingPackage as error:
        raise CheckpointError(
            f"checkpoint {source} needs the package {error}: pip install {error}"
        ) from error
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {source} is damaged, or holds objects other than tensors and plain data, which "
            f"could run code when they are read: save its state dict without them ({_first_line(error)})"
        ) from error
    except Exception as error:  # bytes that are not of the format fail in any way
        raise CheckpointError(
            f"checkpoint {source} is damaged: {_first_line(error) or type(error).__name__}"
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f"checkpoint {source} holds no weights by name, but a {type(checkpoint).__name__}"
        )
    return checkpoint


def weights_key(checkpoint: Mapping[str, Any]) -> str | None:
    """The key under which a checkpoint keeps its weights; None for a bare state dict."""
    return next((key for key in _WEIGHT_KEYS if isinstance(checkpoint.get(key), Mapping)), None)


def weights_of(checkpoint: Mapping[str, Any], source: str) -> OrderedDict[str, Tensor]:
    """The weights by name in what :func:`read_checkpoint` returned.

    NumPy arrays become tensors, and the ``module.`` that wrappers put before all names is removed.

    Raises:
        CheckpointError: there are no weights, or something else is among them.
    """
    key = weights_key(checkpoint)
    named = checkpoint if key is None else checkpoint[key]
    weights = {name: _as_tensor(value) for name, value in named.items()}
    wrong = [str(name) for name, value in weights.items() if value is None or not isinstance(name, str)]
    if wrong or not weights:
        found = f"{', '.join(wrong[:3])} is no tensor" if wrong else "it is empty"
        raise CheckpointError(f"checkpoint {source} holds no weights by name: {found}")
    wrapped = all(name.startswith("module.") for name in weights)
    result = OrderedDict(
        (name[7:] if wrapped else name, value) for name, value in weights.items() if value is not None
    )
    if not wrapped:
        copy_versions(named, result)
    return result


def copy_versions(source: Mapping[str, Any], target: OrderedDict[str, Tensor]) -> None:
    """Copy the versions of modules, where state dicts have some, by which modules update old weights."""
    versions = getattr(source, "_metadata", None)
    if versions is not None:
        target._metadata = versions  # type: ignore[attr-defined]


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    return None


def _read_torch(path: str) -> Any:
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: str) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise _MissingPackage("safetensors") from error
    return load_file(path, device="cpu")


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
    ".safetensors": _read_safetensors,
}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
