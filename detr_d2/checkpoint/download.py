"""Published files, fetched once into a cache: complete and with the right hash, or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from iopath.common.file_io import file_lock, get_cache_dir
from tqdm import tqdm

from ..errors import CheckpointError, MissingFileError

# Environment variable: a folder (also as file://...) or a base URL that has the files by their names.
MIRROR_VARIABLE = "DETR_D2_MIRROR"

_LOGGER = logging.getLogger(__name__)
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes


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

    def cached(self, cache: Path | None = None) -> Path:
        """Where the file lies once it is here: the place that Detectron2 uses for the same URL.

        Args:
            cache: None takes the folder of Detectron2's downloads: $FVCORE_CACHE, else
                ``~/.torch/iopath_cache``.
        """
        folder = Path(get_cache_dir()) if cache is None else cache
        return folder / urlsplit(self.url).path.lstrip("/")


def fetch(file: RemoteFile, cache: Path | None = None, mirror: str | None = None) -> Path:
    """Return the path of a file's complete and checked content; download it where it is not here yet.

    A download that was interrupted goes on where it stopped. Processes that ask for one file at once
    wait for the first of them.

    Args:
        file: what to fetch.
        cache: as for :meth:`RemoteFile.cached`.
        mirror: folder or base URL that is asked in place of the file's own address; "" asks the latter,
            None takes $DETR_D2_MIRROR. A file in a folder is used where it lies.

    Raises:
        MissingFileError: the file is not here and cannot be downloaded; says where to get and put it.
        CheckpointError: the content has another hash.
    """
    mirror = os.environ.get(MIRROR_VARIABLE, "") if mirror is None else mirror
    path, folder = file.cached(cache), _folder(mirror)
    if folder is not None and not path.is_file():
        path = folder / file.name
        if not path.is_file():
            raise MissingFileError(
                f"{path} does not exist, and the mirror is that folder: put {file.url} there, "
                f"or change {MIRROR_VARIABLE}"
            )
        _check_here(path, file, f"replace it by {file.url}, or change {MIRROR_VARIABLE}")
        return path
    with file_lock(str(path)):
        if path.is_file():
            _check_here(path, file, "delete it, and it will be downloaded anew")
        else:
            _download(
                f"{mirror.rstrip('/')}/{file.name}" if mirror and folder is None else file.url, path, file
            )
    return path


def _folder(mirror: str) -> Path | None:
    """The folder that a mirror is; None for an address of the network, or none at all."""
    scheme, separator, _ = mirror.partition("://")
    if not mirror or (separator and scheme != "file"):
        return None
    return Path(urllib.request.url2pathname(urlsplit(mirror).path) if separator else mirror).expanduser()


def _check_here(path: Path, file: RemoteFile, remedy: str) -> None:
    found = sha256_of(path)
    if not found.startswith(file.sha256):
        raise CheckpointError(
            f"{path} has the SHA-256 {found}, but {file.url} has one that begins with {file.sha256}: it is "
            f"damaged, incomplete or another file; {remedy}"
        )


def _download(url: str, path: Path, file: RemoteFile) -> None:
    """Put the content of ``url`` at ``path`` in one step, when all of it is on the disk and checked."""
    _LOGGER.info("Downloading %s to %s", url, path)
    partial = path.with_name(f"{path.name}.partial")
    resumed = partial.is_file()
    try:
        _transfer(url, partial)
        if resumed and not sha256_of(partial).startswith(file.sha256):
            partial.unlink()  # what was there already may be what is wrong
            _transfer(url, partial)
    except _NETWORK_ERRORS as error:
        raise MissingFileError(
            f"cannot download {url} ({getattr(error, 'reason', None) or error}): get {file.url} on a machine "
            f"with network and put it at {path}, or set {MIRROR_VARIABLE} to a folder or base URL that has it"
        ) from error
    found = sha256_of(partial)
    if not found.startswith(file.sha256):
        partial.unlink()
        raise CheckpointError(
            f"{url} has the SHA-256 {found}, but one that begins with {file.sha256} was published: the file "
            "was changed or damaged on its way here and has not been kept"
        )
    os.replace(partial, path)


def _transfer(url: str, partial: Path) -> None:
    """Bring ``partial`` to the length of ``url``; try again as long as every attempt brings it further."""
    while True:
        before = _size(partial)
        try:
            return _receive(url, partial)
        except _NETWORK_ERRORS as error:
            if _size(partial) <= before:
                raise
            _LOGGER.warning("%s: %s; going on from byte %d", url, error, _size(partial))


def _receive(url: str, partial: Path) -> None:
    """Append to ``partial`` what it lacks of ``url``, or begin anew where the server sends only all of it."""
    start = _size(partial)
    headers = {"User-Agent": "detr_d2"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing comes after what is here: the hash tells whether it is right
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        length = response.headers["Content-Length"]
        total = None if length is None else start + int(length)
        with (
            open(partial, "ab" if start else "wb") as output,
            # Silent where standard error is not a terminal.
            tqdm(
                desc=partial.stem, total=total, initial=start, unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            while chunk := response.read(_CHUNK):
                output.write(chunk)
                bar.update(len(chunk))
            output.flush()
            os.fsync(output.fileno())
    if total is not None and _size(partial) < total:
        raise ConnectionError(f"the connection ended after {_size(partial)} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in lower-case hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
