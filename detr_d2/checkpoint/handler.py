"""``detr://NAME``: published weights by name, handed out in a form that every Detectron2 tool can load."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from detectron2.utils.file_io import PathHandler
from iopath.common.file_io import file_lock, get_cache_dir

from ..errors import CheckpointError, MissingFileError
from .atomic import write_file
from .convert import to_detr_d2
from .download import RemoteFile, fetch
from .numbering import Numbering
from .safe_load import read_checkpoint

PREFIX = "detr://"

# Raised whenever the conversion writes something else, so that older converted files are no longer used.
CONVERTER_VERSION = 2

_LOGGER = logging.getLogger(__name__)


class DetrHandler(PathHandler):
    """Resolves ``detr://NAME`` for Detectron2's ``PathManager``.

    The path that it gives is that of a file in detr_d2's own layout, of tensors and plain data only:
    stock ``DetectionCheckpointer`` and ``DefaultPredictor`` load it as any other. The published file is
    downloaded and converted at the first use.

    Args:
        files: published checkpoints by name, in any layout that :func:`to_detr_d2` knows.
        cache: folder of downloads and converted files; None takes Detectron2's.
        mirror: folder or base URL asked in place of the files' own addresses; None takes $DETR_D2_MIRROR.
    """

    def __init__(
        self, files: Mapping[str, RemoteFile], cache: Path | None = None, mirror: str | None = None
    ) -> None:
        super().__init__()
        self._files = files
        self._cache = cache
        self._mirror = mirror

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        """The converted file's path.

        Raises:
            MissingFileError: the name is unknown, or the file is not here and cannot be downloaded.
            CheckpointError: the file has another hash than the published one.
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
        folder = Path(get_cache_dir()) if self._cache is None else self._cache
        converted = folder / "detr_d2" / f"{name}-{file.sha256}-v{CONVERTER_VERSION}.pth"
        with file_lock(str(converted)):
            if force or not converted.is_file():
                self._convert(path, file, converted)
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

    def _convert(self, path: str, file: RemoteFile, converted: Path) -> None:
        """Write the file in our layout to ``converted``, in one step."""
        published = fetch(file, self._cache, self._mirror)
        _LOGGER.info("Converting %s (%s) to %s", path, published, converted)
        checkpoint = to_detr_d2(read_checkpoint(str(published), path), path, partial(Numbering, is_coco=True))
        write_file(str(converted), lambda output: torch.save(checkpoint, output))
