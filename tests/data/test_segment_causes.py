"""Maps that are not color-coded ids: refused, with their likely cause."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.data import DataError
from detr_d2.data.segment_causes import likely_cause
from detr_d2.data.segment_map import read_listed_ids, read_segment_ids, segment_map_size

# (20, 30) ids: two segments that need all three bytes, a small one, and void.
IDS = np.zeros((20, 30), dtype=np.int64)
IDS[2:9, 3:12], IDS[10:18, 5:25], IDS[0, 0] = 70_001, 3_000_003, 7
LISTED = [70_001, 3_000_003, 7]
# The same in one byte each.
SMALL = np.zeros_like(IDS)
SMALL[2:9, 3:12], SMALL[10:18, 5:25], SMALL[0, 0] = 4, 200, 7


def colors(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1).astype(np.uint8)


def gray_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def palette_image(indices: np.ndarray, palette: list[int]) -> Image.Image:
    image = Image.new("P", indices.shape[::-1])
    image.frombytes(indices.astype(np.uint8).tobytes())
    image.putpalette(palette)
    return image


def write_png_of_16_bits(path: Path, array: np.ndarray) -> None:
    """An (H, W, 3) uint16 array as png; Pillow cannot write these."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        crc = zlib.crc32(kind + content)
        data += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)
    path.write_bytes(data)


def refusal(path: Path, listed: list[int]) -> str:
    with pytest.raises(DataError) as error:
        read_listed_ids(str(path), listed, *IDS.shape)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_the_sound_map_is_read(tmp_path):
    Image.fromarray(colors(IDS)).save(tmp_path / "map.png")
    assert np.array_equal(read_listed_ids(str(tmp_path / "map.png"), LISTED, *IDS.shape), IDS)


@pytest.mark.parametrize(
    ("image", "listed", "cause"),
    [
        (Image.fromarray(colors(IDS)[..., ::-1].copy()), LISTED, "OpenCV"),
        (gray_image(SMALL), [4, 200, 7], "gray map of the ids"),
        (gray_image(SMALL).convert("RGB"), [4, 200, 7], "gray map of the ids"),
        (gray_image(SMALL > 0), LISTED, "class numbers"),
        (gray_image(np.searchsorted([0, *sorted(LISTED)], IDS)), LISTED, "class numbers"),
        (palette_image(SMALL, list(range(255, -1, -1)) * 3), [4, 200, 7], "palette indices"),
        (palette_image(SMALL > 0, [0, 0, 0, 128, 0, 0]), LISTED, "class numbers"),
        (Image.fromarray(colors(IDS % 256)), LISTED, "8 bits"),
        (Image.fromarray(colors(IDS % 65536)), LISTED, "16 bits"),
        (Image.fromarray(colors(IDS)).resize((90, 60), 1).resize((30, 20), 1), LISTED, "smooth"),
    ],
    ids=[
        "red and blue exchanged",
        "gray ids",
        "gray ids as RGB",
        "gray classes",
        "gray numbers",
        "palette of ids",
        "palette of classes",
        "ids modulo 256",
        "ids modulo 65536",
        "resized smoothly",
    ],
)
def test_the_likely_cause_is_named(tmp_path, image, listed, cause):
    image.save(tmp_path / "map.png")
    assert cause in refusal(tmp_path / "map.png", listed)


def test_a_map_that_was_a_jpeg_is_known_by_its_many_colors(tmp_path):
    Image.fromarray(colors(IDS)).save(tmp_path / "once.jpg")
    with Image.open(tmp_path / "once.jpg") as image:
        image.save(tmp_path / "map.png")
    assert "JPEG" in refusal(tmp_path / "map.png", LISTED)


@pytest.mark.parametrize(
    ("listed", "found"), [([1, 2, 3], [1, 2]), ([1, 2], [1, 2, 99]), ([5, 900], [6, 901]), ([], [70_000])]
)
def test_no_cause_is_made_up(listed, found):
    assert likely_cause(np.array(found, np.uint32), np.array(listed, np.uint32)) == ""


def test_a_cause_is_named_though_a_segment_is_missing_too(tmp_path):
    Image.fromarray(colors(IDS)[..., ::-1].copy()).save(tmp_path / "map.png")
    assert "OpenCV" in refusal(tmp_path / "map.png", [*LISTED, 12])


REFUSED_BY_FORMAT = {
    "JPEG": lambda path: Image.fromarray(colors(IDS)).save(path, format="JPEG"),
    "void as JPEG": lambda path: Image.new("RGB", (30, 20)).save(path, format="JPEG"),
    "16 bits": lambda path: Image.fromarray((IDS % 65536).astype(np.uint16)).save(path, format="PNG"),
    "16 bits a color": lambda path: write_png_of_16_bits(path, colors(IDS)),
    "32 bits": lambda path: Image.fromarray(IDS.astype(np.int32)).save(path, format="TIFF"),
    "floats": lambda path: Image.fromarray(IDS.astype(np.float32)).save(path, format="TIFF"),
    "CMYK": lambda path: Image.fromarray(colors(IDS)).convert("CMYK").save(path, format="TIFF"),
}


@pytest.mark.parametrize("case", REFUSED_BY_FORMAT)
def test_formats_without_exact_colors_are_refused_by_their_header(tmp_path, case):
    path = tmp_path / "map.png"
    REFUSED_BY_FORMAT[case](path)
    message = refusal(path, LISTED)
    expected = "JPEG" if "JPEG" in case else case if case == "CMYK" else "16 or more bits"
    assert expected in message
    for read in (segment_map_size, read_segment_ids):
        with pytest.raises(DataError, match=r"map\.png"):
            read(str(path))


def with_alpha(alpha: int) -> Image.Image:
    return Image.fromarray(np.dstack([colors(IDS), np.full(IDS.shape, alpha, np.uint8)]))


RGB = Image.fromarray(colors(IDS))
LOSSLESS = {
    "alpha": lambda path: with_alpha(255).save(path),
    "transparent": lambda path: with_alpha(0).save(path),
    "palette": lambda path: RGB.convert("P", palette=Image.Palette.ADAPTIVE).save(path),
    "bmp": lambda path: RGB.save(path, format="BMP"),
    "tiff": lambda path: RGB.save(path, format="TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("case", LOSSLESS)
def test_the_same_colors_in_another_form_are_read(tmp_path, case):
    LOSSLESS[case](tmp_path / "map.png")
    assert np.array_equal(read_listed_ids(str(tmp_path / "map.png"), LISTED, *IDS.shape), IDS)
    assert segment_map_size(str(tmp_path / "map.png")) == (30, 20)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_void_alone_may_be_stored_as_tools_make_it_smallest(tmp_path, mode):
    Image.new(mode, (30, 20)).save(tmp_path / "map.png")
    assert not read_listed_ids(str(tmp_path / "map.png"), [], 20, 30).any()


def test_a_map_is_turned_as_its_exif_entry_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.rot90(IDS)  # orientation 6 turns clockwise
    Image.fromarray(colors(stored)).save(tmp_path / "map.png", exif=exif)
    assert segment_map_size(str(tmp_path / "map.png")) == (30, 20)
    assert np.array_equal(read_listed_ids(str(tmp_path / "map.png"), LISTED, *IDS.shape), IDS)


def test_a_huge_map_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "map.png")
    refusal(tmp_path / "map.png", LISTED)
