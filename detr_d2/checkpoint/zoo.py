"""The published checkpoints, as the data file ``model_zoo/zoo.json`` lists them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .download import RemoteFile, sha256_of

INDEX_FILE = Path(__file__).parents[1] / "model_zoo" / "zoo.json"


@dataclass(frozen=True)
class ZooModel:
    """A model with published weights.

    Attributes:
        name: ``detr://NAME`` are its weights.
        config: its YAML file, relative to the folder of the configs.
        backbone: as people call it.
        file: the published checkpoint.
        epochs: of COCO that the detector was trained for.
        published: figures on COCO val2017 by the names of their metrics, in percent, as its authors give
            them.
        measured: ``parameters`` and ``multiply_adds``, of ``detr_d2.tools.model_complexity``.
        mask_epochs: that its mask head was trained for after them, with the detector frozen.
    """

    name: str
    config: str
    backbone: str
    file: RemoteFile
    epochs: int
    published: Mapping[str, float]
    measured: Mapping[str, int]
    mask_epochs: int = 0

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> ZooModel:
        """One element of ``models`` in the data file."""
        others = {key: value for key, value in entry.items() if key not in ("url", "sha256")}
        return cls(file=RemoteFile(entry["url"], entry["sha256"]), **others)


@functools.cache
def zoo_models() -> tuple[ZooModel, ...]:
    """All models of the zoo, in the order of the data file."""
    return tuple(ZooModel.from_json(entry) for entry in _content()["models"])


def measuring_command() -> str:
    """The command that gave ``measured``; CONFIG in it stands for a model's config."""
    return str(_content()["measured_with"])


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(INDEX_FILE.read_text("utf-8"))
    return content


def is_published(path: str) -> bool:
    """Whether a local file is one of the published checkpoints, by its hash."""
    digest = sha256_of(Path(path)) if Path(path).is_file() else ""
    return any(digest.startswith(model.file.sha256) for model in zoo_models())
