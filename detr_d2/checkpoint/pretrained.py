"""Folders of Hugging Face's ``save_pretrained``: weights in one file or several, and a ``config.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import CheckpointError, MissingFileError

# The weights in a folder of ``save_pretrained``: one file, or a list of which tensor is in which.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_FILES = (*_WEIGHTS, *(f"{name}.index.json" for name in _WEIGHTS))


def read_pretrained(
    folder: str, source: str, read_file: Callable[[str], Mapping[str, Any]]
) -> dict[str, Any]:
    """The weights in a folder under ``model``, and the names of its classes under ``metadata``, where known.

    Args:
        folder: that Hugging Face's ``save_pretrained`` wrote.
        source: how the user called it, for messages.
        read_file: reads one file of weights; what is under its ``model``, or all of it, are weights.

    Raises:
        MissingFileError: it holds no weights.
        CheckpointError: one of its json files cannot be read.
    """
    first = next((name for name in _FILES if os.path.isfile(os.path.join(folder, name))), None)
    if first is None:
        raise MissingFileError(f"checkpoint {source} is a folder without weights: no {', '.join(_FILES)}")
    names = [first]
    if first.endswith(".json"):
        files = _read_json(os.path.join(folder, first)).get("weight_map")
        if not isinstance(files, dict) or not files:
            raise CheckpointError(f"checkpoint {source}: {first} has no weight_map")
        names = sorted({os.path.basename(str(name)) for name in files.values()})
    weights: dict[str, Any] = {}
    for name in names:
        content = read_file(os.path.join(folder, name))
        weights.update(content.get("model", content))
    labels = _label_names(_read_json(os.path.join(folder, "config.json")).get("id2label"))
    return {"model": weights, **({"metadata": {"thing_classes": labels}} if labels else {})}


def _label_names(labels: object) -> list[str] | None:
    """The names of classes in the ``id2label`` of a ``config.json``; None where it has none.

    Names that Hugging Face makes up for itself ("LABEL_0") are none.
    """
    if not isinstance(labels, dict) or set(labels) != {str(number) for number in range(len(labels))}:
        return None
    names = [str(labels[str(number)]) for number in range(len(labels))]
    made_up = [f"LABEL_{number}" for number in range(len(labels))]
    return None if not names or names == made_up else names


def _read_json(path: str) -> dict[str, Any]:
    """A json file's content; {} where there is no such file."""
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except ValueError as error:
        raise CheckpointError(f"{path} is no json: {error}") from error
    return content if isinstance(content, dict) else {}
