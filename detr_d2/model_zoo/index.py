"""What the zoo has, and its weights for Detectron2's ``PathManager``."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.utils.file_io import PathManager

from ..checkpoint.download import RemoteFile
from ..checkpoint.handler import DetrHandler
from ..checkpoint.zoo import INDEX_FILE, ZooModel, measuring_command, zoo_models

__all__ = ["INDEX_FILE", "ZooModel", "measuring_command", "register_weights", "zoo_models"]


def register_weights(files: Mapping[str, RemoteFile] | None = None) -> None:
    """Let Detectron2's ``PathManager`` find ``detr://NAME``, in place of what was registered before.

    Args:
        files: published checkpoints by name; None takes the zoo's.
    """
    PathManager.register_handler(DetrHandler(files or {model.name: model.file for model in zoo_models()}))
