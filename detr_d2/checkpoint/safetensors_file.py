"""The format .safetensors: tensors by name, and a little text; there is nothing in it to run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..atomic import write_file
from ..errors import CheckpointError

# Under this name the text of a file holds the names of classes, as json.
_METADATA = "detr_d2"


def save_safetensors(path: str, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write weights and what can be written as json beside them; the file is complete or not there.

    Raises:
        CheckpointError: the package safetensors is missing.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise _missing(path) from error
    # Views of one storage are no two tensors for this format.
    own = {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}
    content = save(own, {"format": "pt", **({_METADATA: json.dumps(dict(metadata))} if metadata else {})})
    write_file(path, lambda file: file.write(content))


def read_safetensors(path: str) -> dict[str, Any]:
    """The weights by name; or, where :func:`save_safetensors` wrote something beside them, ``model`` and
    ``metadata``.

    Raises:
        CheckpointError: the package safetensors is missing.
        Exception: bytes that are not of the format fail in any way.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise _missing(path) from error
    with safe_open(path, framework="pt", device="cpu") as file:
        text = (file.metadata() or {}).get(_METADATA)
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    return weights if text is None else {"model": weights, "metadata": json.loads(text)}


def _missing(path: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {path} needs the package safetensors: pip install safetensors")
