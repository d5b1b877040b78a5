"""The published weights: what there are (``model_zoo/zoo.json``), and ``detr://NAME``, an address for them.

They are handed out in a form that every Detectron2 tool can load.
"""

from __future__ import annotations

import difflib
import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from detectron2.utils.file_io import PathHandler, PathManager
from iopath.common.file_io import file_lock, get_cache_dir

from ..atomic import write_file
from ..errors import CheckpointError, MissingFileError
from .class_rows import ModelClasses
from .convert import convert
from .download import RemoteFile, fetch, sha256_of
from .safe_load import read_checkpoint

INDEX_FILE = Path(__file__).parents[1] / "model_zoo" / "zoo.json"
PREFIX = "detr://"

# Raised whenever the conversion writes something else, so that older converted files are no longer used.
CONVERTER_VERSION = 2

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ZooModel:
    """A model with published weights.

    Attributes:
        name: ``detr://NAME`` are its weights.
        config: its YAML file, relative to the folder of the configs.
        backbone: as people call it.
        file: the published checkpoint.
        by: whose figures ``published`` are; "" for the authors of DETR.
        epochs: of COCO that the detector was trained for.
        published: figures on COCO val2017 by the names of their metrics, in percent, as they are given.
        measured: ``parameters`` and ``multiply_adds``, as ``detr-d2 complexity`` counts them.
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
    by: str = ""


@functools.cache
def zoo_models() -> tuple[ZooModel, ...]:
    """All models of the zoo, in the order of the data file."""
    entries = json.loads(INDEX_FILE.read_text("utf-8"))["models"]
    return tuple(ZooModel(file=RemoteFile(x.pop("url"), x.pop("sha256", "")), **x) for x in entries)


def is_published(path: str) -> bool:
    """Whether a local file is one of the published checkpoints, by its hash, or by that of the download."""
    if not Path(path).is_file():
        return False
    digest, known = sha256_of(Path(path)), [model.file.known_sha256() for model in zoo_models()]
    return any(of_model and digest.startswith(of_model) for of_model in known)


def register_weights(files: Mapping[str, RemoteFile] | None = None) -> None:
    """Let Detectron2's ``PathManager`` find ``detr://NAME``, in place of what was registered before.

    Args:
        files: published checkpoints by name; None takes the zoo's.
    """
    PathManager.register_handler(DetrHandler(files or {model.name: model.file for model in zoo_models()}))


class DetrHandler(PathHandler):
    """Resolves ``detr://NAME`` for Detectron2's ``PathManager``.

    The path that it gives is that of a file in detr_d2's own layout, of tensors and plain data only:
    stock ``DetectionCheckpointer`` and ``DefaultPredictor`` load it as any other. The published file is
    downloaded and converted at the first use.

    Args:
        files: published checkpoints by name, in any layout that :func:`~.convert.convert` knows.
    """

    def __init__(self, files: Mapping[str, RemoteFile]) -> None:
        super().__init__()
        self._files = files

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        """The converted file's path.

        Raises:
            MissingFileError: the name is unknown, or the file is not here and cannot be downloaded.
            CheckpointError: the file has another hash than the published one, or than the first download.
        """
        self._check_kwargs(kwargs)
        name = path.removeprefix(PREFIX)
        if name not in self._files:
            near = difflib.get_close_matches(name, self._files, n=1)
            hint = f" (did you mean {PREFIX}{near[0]}?)" if near else ""
            raise MissingFileError(
                f"there are no published weights {path}{hint}; there are "
                + ", ".join(PREFIX + known for known in self._files)
            )
        file = self._files[name]
        if not file.known_sha256():  # the first download makes it known
            fetch(file)
        digest = file.sha256 or file.known_sha256()[:8]
        converted = Path(get_cache_dir()) / "detr_d2" / f"{name}-{digest}-v{CONVERTER_VERSION}.pth"
        with file_lock(str(converted)):
            if force or not converted.is_file():
                published = fetch(file)
                _LOGGER.info("Converting %s (%s) to %s", path, published, converted)
                classes = ModelClasses(is_coco=lambda: True)
                ours = convert(read_checkpoint(str(published), path), path, classes)
                data = {"model": ours.weights, "metadata": ours.metadata}
                write_file(str(converted), lambda output: torch.save(data, output))
        return str(converted)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        self._check_kwargs(kwargs)
        if mode not in ("r", "rb"):
            raise CheckpointError(f"{path} can only be read, not opened with mode {mode!r}")
        return open(self._get_local_path(path), mode, buffering)

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        return path.removeprefix(PREFIX) in self._files

    _exists = _isfile
