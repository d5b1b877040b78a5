"""Reading image files by one rule, the same in training, evaluation and demo."""

import re
from typing import IO, Any, NamedTuple, TypedDict

import numpy as np
from detectron2.config import CfgNode
from PIL import Image

from ..errors import ConfigError
from .image_file import MAX_PIXELS, load, open_header
from .pixels import FULL_WHITE, write_rgb

_ORIENTATION = 0x0112  # EXIF tag
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
# Where an upright image has the pixels that the file stores, by EXIF orientation: whether the sides are
# swapped, then whether rows and columns are reversed.
_UPRIGHT = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, -1, 1),
    7: (True, -1, -1),
    8: (True, 1, -1),
}
# Chunks of a png file in which Pillow looks for EXIF.
_EXIF_CHUNK = re.compile(rb"eXIf|[tz]TXtRaw profile type exif\0|iTXtXML:com\.adobe\.xmp\0")


class ReadingOptions(TypedDict):
    """The arguments of :func:`read_image` that a config decides."""

    max_pixels: int
    white_level: int


class ImageHeader(NamedTuple):
    """What the beginning of an image file tells.

    Attributes:
        width, height: in pixels, after turning the image as its EXIF entry says.
        turned: whether EXIF swaps width and height.
    """

    width: int
    height: int
    turned: bool


def reading_options(cfg: CfgNode) -> ReadingOptions:
    """What a config decides of reading images, for ``read_image(..., **options)``.

    Raises:
        ConfigError: ``INPUT.MAX_IMAGE_PIXELS`` or ``INPUT.WHITE_LEVEL`` is out of range.
    """
    max_pixels, white_level = cfg.INPUT.MAX_IMAGE_PIXELS, cfg.INPUT.WHITE_LEVEL
    if max_pixels < 1:
        raise ConfigError(f"INPUT.MAX_IMAGE_PIXELS must be at least 1, got {max_pixels}")
    if not 1 <= white_level <= FULL_WHITE:
        raise ConfigError(f"INPUT.WHITE_LEVEL must be from 1 to {FULL_WHITE}, got {white_level}")
    return {"max_pixels": max_pixels, "white_level": white_level}


def read_image(
    file_name: str,
    image_format: str,
    what: str = "Image file",
    max_pixels: int = MAX_PIXELS,
    white_level: int = FULL_WHITE,
) -> np.ndarray:
    """Read an image, turned as its EXIF entry says, in 8 bits by the rule of :mod:`detr_d2.data.pixels`.

    An entry that is damaged, or no orientation, turns nothing. Color profiles are ignored. Of an animation,
    or of several pages, this is the first image.

    Args:
        file_name: path or URI.
        image_format: "RGB" or "BGR", as ``INPUT.FORMAT``.
        what: what messages call the file.
        max_pixels: ``INPUT.MAX_IMAGE_PIXELS``.
        white_level: ``INPUT.WHITE_LEVEL``, the value of 16-bit images that becomes 255.

    Returns:
        (H, W, 3) uint8; where the image was turned, or for BGR, a view.

    Raises:
        MissingFileError: there is no such file.
        DataError: it cannot be decoded, is too large, or has pixels that the rule does not cover.
        ConfigError: another ``image_format``.
    """
    if image_format not in ("RGB", "BGR"):
        raise ConfigError(f"INPUT.FORMAT must be 'RGB' or 'BGR', got {image_format!r}")
    with open_header(file_name, what, max_pixels) as image:
        stored_as = _stored_as(image)
        load(image, file_name, what, max_pixels)
        stored = np.empty((image.height, image.width, 3), dtype=np.uint8)
        write_rgb(image, stored_as, stored, f"{what} {file_name}", white_level)
        pixels = upright(stored, image)
    return pixels[..., ::-1] if image_format == "BGR" else pixels


def image_header(file_name: str, max_pixels: int = MAX_PIXELS, what: str = "Image file") -> ImageHeader:
    """Read the header of an image: its size as :func:`read_image` would return it. Safe in threads.

    Args:
        file_name: path or URI.
        max_pixels: largest width times height.
        what: what messages call the file.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no image, or too large.
    """
    with open_header(file_name, what, max_pixels) as image:
        if image.format == "PNG" and _exif_follows_pixels(image.fp):
            load(image, file_name, what, max_pixels)
        width, height = image.size
        if image.format == "TIFF":
            # Pillow gives the size after turning, or before it, by version.
            tags = getattr(image, "tag_v2", {})
            width, height = int(tags.get(_TIFF_WIDTH, width)), int(tags.get(_TIFF_HEIGHT, height))
        turned = _UPRIGHT[_orientation(image)][0]
    return ImageHeader(height, width, True) if turned else ImageHeader(width, height, False)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation as far as the file has been read, from 1 to 8; 1 where there is none to go by."""
    try:
        # Not the method of png images, which decodes them.
        value = Image.Image.getexif(image).get(_ORIENTATION)
    except Exception:  # damaged entries make Pillow raise errors of any class
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def upright(stored: np.ndarray, image: Image.Image) -> np.ndarray:
    """Pixels (h, w, ...) as a decoded image stores them, turned as its EXIF entry says: (H, W, ...)."""
    # Pillow turns TIFF files when it decodes them, some versions without deleting the entry.
    swapped, rows, columns = _UPRIGHT[1 if image.format == "TIFF" else _orientation(image)]
    turned = stored[::rows, ::columns]
    return turned.swapaxes(0, 1) if swapped else turned


def _exif_follows_pixels(file: IO[bytes]) -> bool:
    """Whether a png file has its EXIF entry behind the pixels, where Pillow finds it only by decoding."""
    start, seen_pixels, longest_name = file.tell(), False, 24
    file.seek(len(b"\x89PNG\r\n\x1a\n"))
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        name = file.read(min(length, longest_name))
        seen_pixels = seen_pixels or kind == b"IDAT"
        if seen_pixels and _EXIF_CHUNK.match(kind + name):
            break
        file.seek(length - len(name) + len(b"CRC."), 1)
    found = len(head) == 8
    file.seek(start)
    return found


def _stored_as(image: Any) -> str:
    """Pillow's raw mode, such as "RGB;16B": how the file stores the pixels; "" where it is not told."""
    args = image.tile[0][3] if getattr(image, "tile", None) else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""
