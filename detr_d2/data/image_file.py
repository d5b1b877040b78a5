"""Opening image files: errors that name the file, and one limit of their size."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from detectron2.utils.file_io import PathManager
from PIL import Image, UnidentifiedImageError

from ..errors import DataError, MissingFileError

# Pillow's own limit: beyond it, it calls an image a decompression bomb.
MAX_PIXELS = 178_956_970

# Formats of which Pillow opens even a huge image without taking memory for it.
_CHEAP_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM")


@contextmanager
def open_header(file_name: str, what: str, max_pixels: int) -> Iterator[Any]:
    """Give the Pillow image of a file, with its size checked but not decoded yet: see :func:`load`.

    It has the mode that Pillow finds: nothing is converted or turned. What the ``with`` block raises passes
    as it is.

    Args:
        file_name: path or URI.
        what: what messages call the file.
        max_pixels: largest width times height.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no image, or too large.
    """
    with pixel_limit(max_pixels), _open_file(file_name, what) as file:
        try:
            image = Image.open(file)
        except Image.DecompressionBombError as error:
            raise _too_large(file_name, what, _size_in_words(file), max_pixels) from error
        except Exception as error:
            raise _undecodable(file_name, what, error) from error
        width, height = image.size
        if width < 1 or height < 1:
            raise DataError(f"{what} {file_name} has no pixels: it is {width} x {height}. Replace it.")
        if width * height > max_pixels:
            raise _too_large(file_name, what, f"{width} x {height}", max_pixels)
        yield image


@contextmanager
def _open_file(file_name: str, what: str) -> Iterator[IO[bytes]]:
    try:
        file = PathManager.open(file_name, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{what} {file_name} does not exist.") from error
    except (OSError, ValueError) as error:  # a folder, no rights, or a name that no file can have
        raise DataError(f"{what} {file_name!r} cannot be opened ({error}). Correct it.") from error
    with file:
        yield file


def load(image: Image.Image, file_name: str, what: str, max_pixels: int) -> None:
    """Decode the image of an open file.

    Raises:
        DataError: whatever Pillow raises is the file's fault; damaged ones make it raise errors of any class.
    """
    try:
        image.load()
    except Image.DecompressionBombError as error:  # a part is larger than the header says
        raise _too_large(file_name, what, "more", max_pixels) from error
    except Exception as error:
        raise _undecodable(file_name, what, error) from error


def _undecodable(file_name: str, what: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "Pillow knows no such format or kind of pixels"
    return DataError(f"{what} {file_name} cannot be decoded ({reason}). Replace it.")


def _too_large(file_name: str, what: str, size: str, max_pixels: int) -> DataError:
    return DataError(
        f"{what} {file_name} has {size} pixels, beyond the limit of {max_pixels} in all. Reduce the image, "
        "or raise INPUT.MAX_IMAGE_PIXELS if you trust the file."
    )


def _size_in_words(file: IO[bytes]) -> str:
    """Width x height of an image that is beyond Pillow's limit, where that can be found out safely."""
    with pixel_limit(sys.maxsize):
        try:
            image = Image.open(file, formats=_CHEAP_FORMATS)
        except Exception:
            return "more"
    return f"{image.width} x {image.height}"


# Pillow has one limit for the whole process: it is lent to the calls that are under way in all threads.
_lock = threading.Lock()
_lent: list[int] = []
_before: list[int | None] = []


@contextmanager
def pixel_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow open images of up to ``max_pixels`` meanwhile, whatever its own limit.

    May be nested and used in several threads: the largest limit counts, and the last to leave restores it.
    """
    with _lock:
        if not _lent:
            _before[:] = [Image.MAX_IMAGE_PIXELS]
        _lent.append(max_pixels)
        _set_limit()
    try:
        yield
    finally:
        with _lock:
            _lent.remove(max_pixels)
            _set_limit()


def _set_limit() -> None:
    # Pillow warns beyond its number, and refuses beyond twice that.
    Image.MAX_IMAGE_PIXELS = -(-max(_lent) // 2) if _lent else _before[0]
