"""Published files, fetched once into a cache: complete and with the right hash, or not there at all.

Where nobody published a hash, that of the first download is written beside the file and holds from then on.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import math
import os
import re
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from iopath.common.file_io import file_lock, get_cache_dir
from tqdm import tqdm

from ..atomic import write_file
from ..errors import CheckpointError, DataError, MissingFileError

# Environment variable: a folder (also as file://...) or a base URL that has the files by their names.
MIRROR_VARIABLE = "DETR_D2_MIRROR"

_LOGGER = logging.getLogger(__name__)
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 17  # bytes


@dataclass(frozen=True)
class RemoteFile:
    """A file that somebody published.

    Attributes:
        url: of http or https; its last part is the file's name.
        sha256: how the hash of its content begins, in lower-case hexadecimal digits; "" where none is
            published.
    """

    url: str
    sha256: str = ""

    @property
    def name(self) -> str:
        """What mirrors call the file; Hugging Face's all have one name, so the model's comes before it."""
        model, resolved, path = urlsplit(self.url).path.rpartition("/resolve/")
        name = path.rpartition("/")[2]
        return f"{model.rpartition('/')[2]}-{name}" if resolved else name

    def cached(self) -> Path:
        """Where the file lies once it is here: the place that Detectron2 uses for the same URL.

        It is in the folder of Detectron2's downloads: $FVCORE_CACHE, else ``~/.torch/iopath_cache``.
        """
        return Path(get_cache_dir()) / urlsplit(self.url).path.lstrip("/")

    def pin(self) -> Path:
        """Where the hash of the first download is kept, if none is published; as ``sha256sum`` writes it."""
        path = self.cached()
        return path.with_name(f"{path.name}.sha256")

    def known_sha256(self) -> str:
        """How the content's hash has to begin: as published, else as pinned; "" before the first download.

        Raises:
            CheckpointError: the pin holds no hash.
        """
        if self.sha256 or not self.pin().is_file():
            return self.sha256
        text = self.pin().read_text("utf-8", errors="replace").split()
        if not text or not re.fullmatch("[0-9a-f]{64}", text[0]):
            raise CheckpointError(
                f"{self.pin()} holds no SHA-256 of {self.url}: delete it, and the next download sets it anew"
            )
        return text[0]


def fetch(file: RemoteFile) -> Path:
    """Return the path of a file's complete and checked content; download it where it is not here yet.

    Where no hash is published, that of the first content is pinned, and any later one has to be the same.
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
            _check(path, file, "")
    return path


def _folder(mirror: str) -> Path | None:
    """The folder that a mirror is; None for an address of the network, or none at all."""
    scheme, separator, _ = mirror.partition("://")
    if not mirror or (separator and scheme != "file"):
        return None
    return Path(urllib.request.url2pathname(urlsplit(mirror).path) if separator else mirror).expanduser()


def _check(path: Path, file: RemoteFile, remedy: str) -> None:
    """Compare a file's hash with the known one, or pin it where none is known."""
    found, known = sha256_of(path), file.known_sha256()
    if not known:
        write_file(str(file.pin()), lambda pin: pin.write(f"{found}  {path.name}\n".encode()))
        _LOGGER.info("%s has no published hash; from now on it is to have the SHA-256 %s", file.url, found)
    elif not found.startswith(known):
        raise CheckpointError(_other_hash(path, file, found, known, remedy))


def _other_hash(path: Path, file: RemoteFile, found: str, known: str, remedy: str) -> str:
    if file.sha256:
        return (
            f"{path} has the SHA-256 {found}, but {file.url} has one that begins with {known}: it is "
            f"damaged, incomplete or another file; {remedy}"
        )
    return (
        f"{path} has the SHA-256 {found}, but the first download of {file.url} had {known}: it is damaged, "
        f"incomplete or another file; {remedy}. If another file was published, delete {file.pin()} as well"
    )


def _download(url: str, path: Path, file: RemoteFile) -> None:
    """Put the content of ``url`` at ``path`` in one step, when all of it is here and checked."""
    _LOGGER.info("Downloading %s to %s", url, path)
    known = file.known_sha256()
    try:
        with _opened(url) as response:
            length = _length(response)

            def write(output: IO[bytes]) -> None:
                found, size = _copy(response, output, length)
                if not found.startswith(known):
                    raise CheckpointError(
                        _other_hash(path, file, found, known, "it has not been kept; try again")
                    )
                if size < length:  # the connection was closed, which Python takes for the end
                    raise CheckpointError(
                        f"{url}: {size} of {length} bytes arrived, which have not been kept; try again"
                    )

            write_file(str(path), write)
    except (OSError, http.client.HTTPException) as error:
        raise MissingFileError(
            f"cannot download {url} ({getattr(error, 'reason', None) or error}): get {file.url} on a machine "
            f"with network and put it at {path}, or set {MIRROR_VARIABLE} to a folder or base URL that has it"
        ) from error


def download(url: str, output: IO[bytes], most: int) -> None:
    """Write what an address has to an open file. Nothing is kept in the cache, nor compared with a hash.

    Args:
        url: of http or https.
        output: may have got a part of it where something fails.
        most: bytes.

    Raises:
        MissingFileError: it cannot be downloaded.
        DataError: it is larger.
    """
    try:
        with _opened(url) as response:
            length = _length(response)
            size = _copy(response, output, length, most)[1] if length <= most else length
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MissingFileError(
            f"cannot download {url} ({getattr(error, 'reason', None) or error or type(error).__name__})"
        ) from error
    if size > most:
        raise DataError(f"{url} is larger than {most} bytes, the limit of downloads: get the file yourself")
    if size < length:
        raise MissingFileError(f"cannot download {url} ({size} of {length} bytes arrived): try again")


def _opened(url: str) -> Any:
    """The open response to a request."""
    request = urllib.request.Request(url, headers={"User-Agent": "detr_d2"})
    return urllib.request.urlopen(request, timeout=_TIMEOUT)


def _length(response: Any) -> int:
    """How many bytes a response says to have; 0 where it does not say."""
    return int(response.headers.get("Content-Length") or 0)


def _copy(source: IO[bytes], output: IO[bytes], length: int, most: float = math.inf) -> tuple[str, int]:
    """The SHA-256 and the number of the bytes; ``length`` of them are expected, 0 where that is unknown.

    It ends soon after ``most`` bytes.
    """
    digest, size = hashlib.sha256(), 0
    with tqdm(total=length or None, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        while size <= most and (chunk := source.read(_CHUNK)):
            output.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    return digest.hexdigest(), size


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in lower-case hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
