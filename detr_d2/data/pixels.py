"""From pixels of any kind to 8-bit RGB. The rule depends on the kind of the file, not on what it shows.

================================  =======================================================================
pixels                            become
================================  =======================================================================
1 bit                             0 and 255
8 bits: gray, palette, RGB,       RGB as Pillow converts: gray three times, a palette's colors, CMYK
CMYK, YCbCr, LAB                  without a color profile (of a JPEG with inverted inks, as Adobe writes)
transparent (alpha or a           composed on white; said once
transparent color or palette)
16 bits, gray                     ``value * 255 / INPUT.WHITE_LEVEL``, rounded; said once, and once more of
                                  an image that uses a quarter of it. A larger value is an error
12 bits, gray (TIFF)              ``value * 255 / 4095``, rounded
16 bits, color                   the high byte, which is all that Pillow reads; said once. An error where
                                  INPUT.WHITE_LEVEL is not 65535
floating point                    ``value * 255``, rounded, where all values are from 0 to 1; otherwise, and
                                  where one is not a number, an error
32-bit or signed integers         an error: nobody knows their range
================================  =======================================================================
"""

import logging
import re
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from ..errors import DataError

# The largest 16-bit value, and default of INPUT.WHITE_LEVEL.
FULL_WHITE = 65535

_TWELVE_BITS = 4095
_GROUND = 255
# Large images are converted in strips, so that they take little more memory than they need.
_STRIP_PIXELS = 1 << 22
_COLOR_16 = re.compile("(L|LA|RGB|RGBX|RGBA|RGBa|CMYK);16")
_TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT = 262, 339

# A strip's (h, w, 3) or (h, w, 1) uint8.
Convert = Callable[[Image.Image], np.ndarray]


def write_rgb(image: Image.Image, stored_as: str, out: np.ndarray, where: str, white_level: int) -> None:
    """Write the pixels of an image in 8-bit RGB, by the rule above.

    Args:
        image: decoded.
        stored_as: Pillow's raw mode of the file, "" if unknown.
        out: (H, W, 3) uint8 to write to; may be a view.
        where: the beginning of messages, which names the file.
        white_level: the 16-bit value that becomes 255.

    Raises:
        DataError: the rule does not cover the image.
    """
    convert = _conversion(image, stored_as, where, white_level)
    for top, strip in _strips(image):
        out[top : top + strip.height] = convert(strip)


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Pieces of an image from top to bottom, with their first row."""
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _conversion(image: Image.Image, stored_as: str, where: str, white_level: int) -> Convert:
    mode, tags = image.mode, getattr(image, "tag_v2", {})
    if mode == "F" or mode.startswith("I"):
        if tags.get(_TIFF_PHOTOMETRIC) == 0:
            raise _unknown(where, f"mode {mode} where 0 is white")
        if mode == "F":
            return _from_floats(image, where)
        return _from_integers(image, stored_as, where, white_level)
    if 2 in np.atleast_1d(tags.get(_TIFF_SAMPLE_FORMAT, 1)):
        raise _unknown(where, f"mode {mode} of signed integers")
    if _COLOR_16.match(stored_as):
        _check_color_16(image, where, white_level)
    if mode == "P" or mode.lower() in ("rgba", "la", "pa") or "transparency" in image.info:
        return lambda strip: _on_white(strip, where)
    if mode == "RGB":
        return np.asarray
    return lambda strip: np.asarray(_converted(strip, "RGB", where))


def _from_integers(image: Image.Image, stored_as: str, where: str, white_level: int) -> Convert:
    # Pillow gives 16 bits as mode I of some files; elsewhere mode I is something else.
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise _unknown(where, "mode I, 32-bit or signed integers")
    largest = max(int(np.asarray(strip).max()) for _, strip in _strips(image))
    if stored_as == "I;12":
        white_level = _TWELVE_BITS
    elif largest > white_level:
        raise DataError(
            f"{where} has 16-bit pixels (mode {image.mode}) of up to {largest}, beyond INPUT.WHITE_LEVEL "
            f"{white_level}. Raise the key, or convert the image to 8 bits."
        )
    elif 0 < largest * 4 <= white_level:
        _say(
            "dark",
            f"{where} has 16-bit pixels of up to {largest}, which INPUT.WHITE_LEVEL {white_level} turns "
            "dark. Where fewer bits are used, set the key to their largest value (12 bits: 4095).",
        )
    else:
        _say("16-bit gray", f"{where} has 16-bit pixels: {white_level} (INPUT.WHITE_LEVEL) becomes 255.")
    transparent = image.info.get("transparency")

    def convert(strip: Image.Image) -> np.ndarray:
        values = np.asarray(strip).astype(np.uint32)
        levels = ((values * 255 + white_level // 2) // white_level).astype(np.uint8)
        if isinstance(transparent, int):
            levels[values == transparent] = _GROUND
        return levels[..., None]

    return convert


def _from_floats(image: Image.Image, where: str) -> Convert:
    for _, strip in _strips(image):
        values = np.asarray(strip)
        if not (values.min() >= 0 and values.max() <= 1):  # also where one is not a number
            raise DataError(
                f"{where} has floating-point pixels (mode F) from {values.min():g} to {values.max():g}, but "
                "only 0 to 1 is known to mean black to white. Scale them, or convert the image to 8 bits."
            )
    return lambda strip: np.rint(np.asarray(strip) * 255).astype(np.uint8)[..., None]


def _check_color_16(image: Image.Image, where: str, white_level: int) -> None:
    if image.info.get("transparency") is not None:
        raise _unknown(where, f"mode {image.mode} of 16 bits with a transparent color")
    if white_level != FULL_WHITE:
        raise DataError(
            f"{where} has 16-bit colors (mode {image.mode}), of which only the high byte is read: that does "
            f"not go with INPUT.WHITE_LEVEL {white_level}. Convert the image to 8 bits."
        )
    _say(
        "16-bit color",
        f"{where} has 16-bit colors, of which the high byte is read: {FULL_WHITE} becomes 255. Convert such "
        "images to 8 bits where fewer bits are used.",
    )


def _on_white(strip: Image.Image, where: str) -> np.ndarray:
    if strip.mode == "La":  # Pillow converts it to nothing else
        strip = _converted(strip, "LA", where)
    colors = _converted(strip, "RGBA", where)
    if np.asarray(colors.getchannel("A")).min() < 255:
        _say("transparent", f"{where} has transparent pixels, which are composed on white.")
        ground = Image.new("RGB", colors.size, (_GROUND,) * 3)
        ground.paste(colors, mask=colors)
        return np.asarray(ground)
    return np.asarray(colors)[..., :3]


def _converted(strip: Image.Image, mode: str, where: str) -> Image.Image:
    try:
        return strip.convert(mode)
    except Exception as error:  # of any class, as Pillow's conversions raise
        raise _unknown(where, f"mode {strip.mode}") from error


def _unknown(where: str, pixels: str) -> DataError:
    return DataError(
        f"{where} has pixels of a kind that is not supported: {pixels}. Convert the image to "
        "8-bit RGB or gray."
    )


def _say(about: str, message: str) -> None:
    """Log a warning, once in a process for each thing that it is about."""
    if about not in _said:
        _said.add(about)
        logging.getLogger(__name__).warning("%s This is said once.", message)


_said: set[str] = set()
