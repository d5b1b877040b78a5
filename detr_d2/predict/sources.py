"""Where images and videos come from: files, patterns, folders and addresses."""

from __future__ import annotations

import glob
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from ..checkpoint.download import download
from ..data.formats.folders import images_in
from ..errors import DataError, MissingFileError, UserError
from .videos import CODECS, VIDEO_SUFFIXES

# The largest file that is downloaded, in bytes.
MAX_DOWNLOAD = 512 << 20
# Formats that a picture is written in as its input was; otherwise it becomes a png file.
_WRITTEN = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


@dataclass(frozen=True)
class Source:
    """An image or a video.

    Attributes:
        name: path or address, as the user knows it.
        is_video: whether it has frames.
        target: file to write; None for none.
        image_id: of an image, for a json: 1, 2, … in their order, if nothing else is asked for.
    """

    name: str
    is_video: bool = False
    target: Path | None = None
    image_id: int | str = 0

    @property
    def is_address(self) -> bool:
        return is_address(self.name)

    def local(self, folder: Path) -> str:
        """The path of its file, which is downloaded to ``folder`` where it is elsewhere.

        Raises:
            MissingFileError: it cannot be downloaded.
            DataError: it is larger than ``MAX_DOWNLOAD``.
        """
        if not self.is_address:
            return self.name
        handle, file = tempfile.mkstemp(suffix=Path(_file_name(self.name)).suffix, dir=folder)
        try:
            with os.fdopen(handle, "wb") as output:
                download(self.name, output, MAX_DOWNLOAD)
        except UserError:
            os.remove(file)
            raise
        return file

    def forget(self, file: str) -> None:
        """Remove what :meth:`local` has downloaded."""
        if self.is_address:
            with suppress(OSError):
                os.remove(file)

    def own(self, error: UserError, file: str) -> UserError:
        """An error that names the source where it names the file of its download."""
        return type(error)(str(error).replace(file, self.name))


def is_address(text: str) -> bool:
    """Whether an input is an address of http or https."""
    return text.lower().startswith(("http://", "https://"))


def find_sources(inputs: Sequence[str]) -> tuple[list[Source], list[UserError]]:
    """What inputs stand for, in their order, and what is wrong with those that stand for nothing.

    Args:
        inputs: files; patterns such as ``photos/*.jpg``; folders, whose image files are taken in the order of
            their names; and addresses of http or https.
    """
    sources: list[Source] = []
    failures: list[UserError] = []
    image_ids = count(1)
    for text in inputs:
        try:
            for name in _names(text):
                is_video = Path(_file_name(name)).suffix.lower() in VIDEO_SUFFIXES
                sources.append(Source(name, is_video, image_id=0 if is_video else next(image_ids)))
        except UserError as error:
            failures.append(error)
    return sources, failures


def _names(text: str) -> Iterator[str]:
    if is_address(text):
        yield text
        return
    path = os.path.expanduser(text)
    matches = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
    if not matches:
        raise MissingFileError(f"--input {text}: there is no such file")
    of_pattern = matches != [path]
    for match in matches:
        if not os.path.isdir(match):
            yield match
        elif not of_pattern:
            yield from _of_folder(match)


def _of_folder(folder: str) -> Iterator[str]:
    """Paths of the image files of a folder."""
    files = [file for file in images_in(Path(folder)) if file.suffix.lower() not in VIDEO_SUFFIXES]
    if not files:
        raise DataError(f"--input {folder}: no image files are in this folder itself")
    yield from map(os.fspath, files)


def plan_outputs(sources: Sequence[Source], output: str) -> list[Source]:
    """Sources with the files to write.

    Args:
        sources: images and videos.
        output: a folder; or a file with an image format's ending, or a video's, if there is one source.

    Raises:
        UserError: a file is given for several sources, or one of another kind; two sources would be written
            to one file, or one over itself.
    """
    path = Path(output)
    suffix = path.suffix.lower()
    is_video = suffix in VIDEO_SUFFIXES
    if path.is_dir() or not (is_video or suffix in Image.registered_extensions()):
        planned = [replace(source, target=path / _written_name(source)) for source in sources]
    else:
        if len(sources) > 1:
            raise UserError(f"--output {output} is one file for {len(sources)} inputs: name a folder")
        if is_video and suffix not in CODECS:
            raise UserError(f"--output {output}: a video must end in one of {', '.join(CODECS)}")
        if any(source.is_video is not is_video for source in sources):
            kinds = ("a video", "an image") if is_video else ("an image", "a video")
            what = f"{kinds[0]}, and {sources[0].name} {kinds[1]}"
            raise UserError(f"--output {output} is {what}: name a folder")
        planned = [replace(source, target=path) for source in sources]
    times = Counter(source.target for source in planned)
    for source in planned:
        target = source.target
        if times[target] > 1:
            raise UserError(f"several inputs would be written to {target}: draw {source.name} on its own")
        if target is not None and _same(target, source.name):
            raise UserError(f"{source.name} would be overwritten: name another folder with --output")
    return planned


def _same(target: Path, name: str) -> bool:
    return target.exists() and os.path.exists(name) and target.samefile(name)


def _file_name(name: str) -> str:
    """The name of a file, from a path or an address."""
    return os.path.basename(unquote(_path_of(name)) if is_address(name) else name)


def _path_of(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError:  # such as of brackets that do not close; downloading says so
        return ""


def _written_name(source: Source) -> str:
    """The name of what is written of a source: its own, as far as such files can be written."""
    name = _file_name(source.name) or "image"
    stem, suffix = os.path.splitext(name)
    if source.is_video:
        return name if suffix.lower() in CODECS else f"{stem}.mp4"
    known = Image.registered_extensions().get(suffix.lower()) in _WRITTEN
    return name if known else f"{name}.png"
