"""Image files that Pillow cannot write, put together byte by byte after the formats' specifications."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(
    path: Path,
    pixels: np.ndarray,
    *,
    before: bytes = b"",
    after: bytes = b"",
    size: tuple[int, int] | None = None,
) -> Path:
    """Write (H, W) or (H, W, C) uint8 or uint16 samples; C of 2 and 4 is with alpha.

    Args:
        before, after: chunks before and behind the pixels.
        size: the (width, height) that the header claims, if not the true one.
    """
    height, width, channels = (*pixels.shape, 1)[:3]
    bits = 8 * pixels.itemsize
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, color_type, 0, 0, 0)
    rows = pixels.astype(f">u{pixels.itemsize}").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(
        PNG_SIGNATURE
        + png_chunk(b"IHDR", header)
        + before
        + png_chunk(b"IDAT", data)
        + after
        + png_chunk(b"IEND", b"")
    )
    return path


def write_tiff(path: Path, pixels: np.ndarray, *, order: str = "<", white_is_zero: bool = False) -> Path:
    """Write (H, W) or (H, W, 3) samples of any type of NumPy numbers, in the byte order "<" or ">"."""
    height, width, channels = (*pixels.shape, 1)[:3]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    photometric = 2 if channels == 3 else int(not white_is_zero)
    return write_tiff_bytes(
        path, data, (width, height), 8 * pixels.itemsize, channels, photometric, sample_format, order
    )


def write_tiff_12_bits(path: Path, pixels: np.ndarray) -> Path:
    """Write (H, W) values up to 4095, W even, as pairs in three bytes."""
    first, second = pixels[:, ::2].astype(np.uint16), pixels[:, 1::2].astype(np.uint16)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8)
    return write_tiff_bytes(path, packed.tobytes(), (pixels.shape[1], pixels.shape[0]), 12, 1, 1, 1, "<")


def write_tiff_bytes(
    path: Path,
    data: bytes,
    size: tuple[int, int],
    bits: int,
    channels: int,
    photometric: int,
    sample_format: int,
    order: str,
) -> Path:
    """Header, pixels, bits and formats of the samples, then the directory."""
    shorts = struct.pack(f"{order}{channels}H", *[bits] * channels)
    formats = struct.pack(f"{order}{channels}H", *[sample_format] * channels)
    bits_at, formats_at = 8 + len(data), 8 + len(data) + len(shorts)
    directory_at = formats_at + len(formats)
    short, long = 3, 4
    entries = [
        (256, long, 1, size[0]),
        (257, long, 1, size[1]),
        (258, short, channels, bits if channels == 1 else bits_at),
        (259, short, 1, 1),  # not compressed
        (262, short, 1, photometric),
        (273, long, 1, 8),
        (277, short, 1, channels),
        (278, long, 1, size[1]),
        (279, long, 1, len(data)),
        (339, short, channels, sample_format if channels == 1 else formats_at),
    ]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        layout = "HHIHH" if kind == short and count == 1 else "HHII"
        padding = (0,) if layout == "HHIHH" else ()
        directory += struct.pack(order + layout, tag, kind, count, value, *padding)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory_at)
    path.write_bytes(start + data + shorts + formats + directory + bytes(4))
    return path
