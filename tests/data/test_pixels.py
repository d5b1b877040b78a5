"""The rule that makes 8-bit RGB of any pixels, against values worked out by hand or pixel by pixel."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.data import pixels
from detr_d2.data.images import read_image
from detr_d2.errors import DataError
from tests.image_files import png_chunk, write_png, write_tiff, write_tiff_12_bits

WHITE = 255


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(pixels, "_said", set())


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)


def read(path: Path, **options) -> np.ndarray:
    return read_image(str(path), "RGB", **options)


def gray(values) -> np.ndarray:
    """(H, W) values as (H, W, 3)."""
    return np.repeat(np.asarray(values)[..., None], 3, axis=-1)


# Eight bits


def test_cmyk_is_light_without_ink(tmp_path):
    for ending in ("jpg", "tif"):
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / f"red.{ending}")
        np.testing.assert_allclose(read(tmp_path / f"red.{ending}")[4, 4], [255, 0, 0], atol=4)


def test_one_bit_gray_and_palette(tmp_path):
    values = np.array([[0, 1, 1], [1, 0, 1]], dtype=bool)
    Image.fromarray(values).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read(tmp_path / "bits.png"), gray(values * WHITE))
    Image.fromarray(np.array([[7, 200]], dtype=np.uint8)).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read(tmp_path / "gray.png"), gray([[7, 200]]))
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for ending in ("png", "gif", "bmp", "tif"):
        palette.save(tmp_path / f"palette.{ending}")
        assert read(tmp_path / f"palette.{ending}").tolist() == [[[10, 20, 30], [40, 50, 60]]]


# Transparency


def on_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Pixel by pixel, in whole numbers."""
    result = np.zeros(colors.shape, dtype=np.uint8)
    for index in np.ndindex(colors.shape):
        a = int(alpha[index[:2]])
        result[index] = (int(colors[index]) * a + WHITE * (255 - a) + 127) // 255
    return result


def test_transparent_pixels_are_composed_on_white(tmp_path, noise, caplog):
    alpha = np.arange(40, dtype=np.uint8).reshape(5, 8) * 6
    alpha[0, :2] = 0, 255
    expected = on_white(noise, alpha)
    assert expected[0, 0].tolist() == [WHITE] * 3
    np.testing.assert_array_equal(expected[0, 1], noise[0, 1])
    Image.fromarray(np.dstack([noise, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([noise, alpha])).save(tmp_path / "rgba.tif")
    write_png(tmp_path / "la.png", np.dstack([noise[..., 0], alpha]))
    np.testing.assert_array_equal(read(tmp_path / "rgba.png"), expected)
    np.testing.assert_array_equal(read(tmp_path / "rgba.tif"), expected)
    np.testing.assert_array_equal(read(tmp_path / "la.png"), on_white(gray(noise[..., 0]), alpha))
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert str(tmp_path / "rgba.png") in said[0]


def test_opaque_alpha_changes_nothing_and_is_not_said(tmp_path, noise, caplog):
    Image.fromarray(np.dstack([noise, np.full((5, 8), 255, dtype=np.uint8)])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), noise)
    assert not caplog.records


def test_transparent_colors_and_palette_entries_are_white(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "one.gif", transparency=0)
    palette.save(tmp_path / "one.png", transparency=0)
    palette.save(tmp_path / "shares.png", transparency=bytes([0, 51]))
    for name, second in (
        ("one.gif", [40, 50, 60]),
        ("one.png", [40, 50, 60]),
        ("shares.png", [212, 214, 216]),
    ):
        assert read(tmp_path / name).tolist() == [[[WHITE] * 3, second]]
    write_png(tmp_path / "gray.png", np.array([[7, 9]], np.uint8), before=png_chunk(b"tRNS", b"\0\x07"))
    assert read(tmp_path / "gray.png").tolist() == [[[WHITE] * 3, [9] * 3]]
    colors = np.array([[[1, 2, 3], [1, 2, 4]]], dtype=np.uint8)
    write_png(tmp_path / "rgb.png", colors, before=png_chunk(b"tRNS", b"\0\x01\0\x02\0\x03"))
    assert read(tmp_path / "rgb.png").tolist() == [[[WHITE] * 3, [1, 2, 4]]]
    deep = np.array([[0, 60000]], dtype=np.uint16)
    write_png(tmp_path / "deep.png", deep, before=png_chunk(b"tRNS", b"\0\0"))
    assert read(tmp_path / "deep.png").tolist() == [[[WHITE] * 3, [233] * 3]]


# More than eight bits

DEEP = np.array([[0, 128, 129, 257], [300, 32767, 65406, 65535]], dtype=np.uint16)
# value / 257, rounded
SHALLOW = [[0, 0, 1, 1], [1, 127, 254, 255]]


@pytest.mark.parametrize("kind", ["png", "tif", "big-endian tif", "deflated tif", "pgm"])
def test_16_bit_gray_is_scaled_over_its_whole_range(tmp_path, kind):
    path = tmp_path / f"a.{kind[-3:]}"
    if kind == "png":
        write_png(path, DEEP)
    elif kind == "deflated tif":
        Image.fromarray(DEEP).save(path, compression="tiff_deflate")
    elif kind == "pgm":
        path.write_bytes(b"P5 4 2 65535\n" + DEEP.astype(">u2").tobytes())
    else:
        write_tiff(path, DEEP, order=">" if "big" in kind else "<")
    np.testing.assert_array_equal(read(path), gray(SHALLOW))


def test_16_bits_are_said_once_with_the_file_and_the_key(tmp_path, caplog):
    for name in ("a.png", "b.png"):
        read(write_png(tmp_path / name, DEEP))
    (record,) = caplog.records
    assert str(tmp_path / "a.png") in record.getMessage()
    assert "INPUT.WHITE_LEVEL" in record.getMessage()


@pytest.mark.parametrize("bits", [12, 14])
def test_fewer_bits_in_16_are_suspected_even_after_full_ones(tmp_path, caplog, bits):
    read(write_png(tmp_path / "full.png", DEEP))
    read(write_png(tmp_path / "few.png", np.array([[2**bits - 1]], dtype=np.uint16)))
    assert len(caplog.records) == 2
    assert str(tmp_path / "few.png") in caplog.records[1].getMessage()
    assert "INPUT.WHITE_LEVEL" in caplog.records[1].getMessage()


def test_the_white_level_scales_12_bits_in_16(tmp_path):
    values = np.array([[0, 8, 9, 2048, 4095]], dtype=np.uint16)
    expected = gray([[0, 0, 1, 128, 255]])  # value * 255 / 4095: 0.498, 0.56, 127.53
    np.testing.assert_array_equal(read(write_png(tmp_path / "a.png", values), white_level=4095), expected)
    np.testing.assert_array_equal(read(write_tiff(tmp_path / "a.tif", values), white_level=4095), expected)


def test_a_value_beyond_the_white_level_is_refused_not_clipped(tmp_path):
    path = write_png(tmp_path / "a.png", np.array([[0, 4096]], dtype=np.uint16))
    with pytest.raises(DataError, match=r"a\.png.*mode I.*4096.*INPUT\.WHITE_LEVEL 4095"):
        read_image(str(path), "RGB", white_level=4095)


def test_tiffs_of_12_bits_need_no_white_level(tmp_path):
    path = write_tiff_12_bits(tmp_path / "a.tif", np.array([[0, 8, 9, 2048, 4095, 4095]]))
    np.testing.assert_array_equal(read(path), gray([[0, 0, 1, 128, 255, 255]]))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_of_16_bit_color_the_high_byte_is_read_and_that_is_said(tmp_path, caplog, ending):
    colors = np.array([[[0, 255, 256], [32768, 65279, 65535]]], dtype=np.uint16)
    path = (write_png if ending == "png" else write_tiff)(tmp_path / f"a.{ending}", colors)
    assert read(path).tolist() == [[[0, 0, 1], [128, 254, 255]]]
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    with pytest.raises(DataError, match=rf"a\.{ending}.*INPUT\.WHITE_LEVEL"):
        read_image(str(path), "RGB", white_level=4095)


def test_16_bit_alpha_is_composed(tmp_path):
    path = write_png(tmp_path / "a.png", np.array([[[257, 0], [514, 65535]]], dtype=np.uint16))
    assert read(path).tolist() == [[[WHITE] * 3, [2] * 3]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_from_0_to_1_are_scaled(tmp_path, order):
    values = np.array([[0, 0.1, 0.5], [0.999, 1, 0.25]], dtype=np.float32)
    expected = gray([[0, 26, 128], [255, 255, 64]])
    np.testing.assert_array_equal(read(write_tiff(tmp_path / "a.tif", values, order=order)), expected)


@pytest.mark.parametrize("value", [1.01, 255, -0.01, np.nan, np.inf])
def test_other_floats_are_refused(tmp_path, value):
    path = write_tiff(tmp_path / "a.tif", np.array([[0.5, value]], dtype=np.float32))
    with pytest.raises(DataError, match=r"a\.tif.*mode F"):
        read_image(str(path), "RGB")


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint32, np.int32, np.float64, "white", "transparent"])
def test_pixels_of_no_known_range_are_refused(tmp_path, kind):
    path = tmp_path / "a.tif"
    if kind == "white":
        write_tiff(path, DEEP, white_is_zero=True)
    elif kind == "transparent":
        colors = np.zeros((1, 1, 3), dtype=np.uint16)
        path = write_png(tmp_path / "a.png", colors, before=png_chunk(b"tRNS", bytes(6)))
    else:
        write_tiff(path, np.array([[1, 2]], dtype=kind))
    with pytest.raises(DataError, match=str(path)):
        read_image(str(path), "RGB")


def test_a_large_image_is_read_as_a_small_one(tmp_path, monkeypatch, noise):
    """Strip by strip, whatever the kind and orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [write_png(tmp_path / "deep.png", DEEP), write_tiff(tmp_path / "f.tif", DEEP / np.float32(65535))]
    Image.fromarray(noise).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(noise).convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(noise).quantize(9).save(tmp_path / "palette.png", transparency=3)
    files += [tmp_path / name for name in ("turned.jpg", "alpha.png", "palette.png")]
    whole = [read(file) for file in files]
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 16)
    for file, expected in zip(files, whole, strict=True):
        np.testing.assert_array_equal(read(file), expected)
