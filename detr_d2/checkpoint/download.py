"""Published files, fetched once into a cache: complete and with the right hash, or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import socket
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from iopath.common.file_io import file_lock, get_cache_dir

from ..errors import CheckpointError, MissingFileError

# Environment variable: a folder (also as file://...) or a base URL that has the files by their names.
MIRROR_VARIABLE = "DETR_D2_MIRROR"

_LOGGER = logging.getLogger(__name__)
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class RemoteFile:
    """A file that somebody published.

    Attributes:
        url: of http or https; its last part is the file's name.
        sha256: how the hash of its content begins, in lower-case hexadecimal digits.
    """

    url: str
    sha256: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]

    def cached(self) -> Path:
        """Where the file lies once it is here: the place that Detectron2 uses for the same URL.

        It is in the folder of Detectron2's downloads: $FVCORE_CACHE, else ``~/.torch/iopath_cache``.
        """
        return Path(get_cache_dir()) / urlsplit(self.url).path.lstrip("/")


def fetch(file: RemoteFile) -> Path:
    """Return the path of a file's complete and checked content; download it where it is not here yet.

    Processes that ask for one file at once wait for the first of them. $DETR_D2_MIRROR, a folder or base
    URL, is asked in place of the file's own address. A file in a folder is used where it lies.

    Raises:
        MissingFileError: the file is not here and cannot be downloaded; says where to get and put it.
        CheckpointError: the content has another hash.
    """
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    path, folder = file.cached(), _folder(mirror)
    if folder is not None and not path.is_file():
        path, or_change = folder / file.name, f", or change {MIRROR_VARIABLE}"
        if not path.is_file():
            raise MissingFileError(f"{path} does not exist: put {file.url} there{or_change}")
        _check(path, file, f"replace it by {file.url}{or_change}")
        return path
    with file_lock(str(path)):
        if path.is_file():
            _check(path, file, "delete it, and it will be downloaded anew")
        else:
            _download(f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url, path, file)
    return path


def _folder(mirror: str) -> Path | None:
    """The folder that a mirror is; None for an address of the network, or none at all."""
    scheme, separator, _ = mirror.partition("://")
    if not mirror or (separator and scheme != "file"):
        return None
    return Path(urllib.request.url2pathname(urlsplit(mirror).path) if separator else mirror).expanduser()


def _check(path: Path, file: RemoteFile, remedy: str) -> None:
    found = sha256_of(path)
    if not found.startswith(file.sha256):
        raise CheckpointError(
            f"{path} has the SHA-256 {found}, but {file.url} has one that begins with {file.sha256}: it is "
            f"damaged, incomplete or another file; {remedy}"
        )


def _download(url: str, path: Path, file: RemoteFile) -> None:
    """Put the content of ``url`` at ``path`` in one step, when all of it is here and checked."""
    _LOGGER.info("Downloading %s to %s", url, path)
    for left in path.parent.glob(f"{path.name}.*.partial"):  # by a process that was killed
        left.unlink()
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # PyTorch's function sets none
    try:
        torch.hub.download_url_to_file(url, str(path), file.sha256, progress=sys.stderr.isatty())
    except (OSError, http.client.HTTPException) as error:
        raise MissingFileError(
            f"cannot download {url} ({getattr(error, 'reason', None) or error}): get {file.url} on a machine "
            f"with network and put it at {path}, or set {MIRROR_VARIABLE} to a folder or base URL that has it"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(
            f"{url}: {error}: the file did not arrive whole, or was changed, and has not been kept; try again"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in lower-case hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
