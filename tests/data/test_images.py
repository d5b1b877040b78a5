"""Images are read upright, in the order of channels asked for, and their size by the header alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from detectron2.data import detection_utils
from PIL import Image

from detr_d2.data.image_file import MAX_PIXELS
from detr_d2.data.images import ImageHeader, image_header, read_image, reading_options
from detr_d2.errors import ConfigError
from tests.image_files import png_chunk, write_png


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)


def read(path: Path, image_format: str = "RGB", **options) -> np.ndarray:
    result = read_image(str(path), image_format, **options)
    assert result.dtype == np.uint8
    header = image_header(str(path), **{k: v for k, v in options.items() if k == "max_pixels"})
    assert (header.height, header.width, 3) == result.shape, "the header tells the size that is read"
    return result


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "ppm", "webp"])
def test_rgb_is_read_as_it_is_and_bgr_the_other_way_round(tmp_path, noise, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise).save(path, **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_array_equal(read(path), noise)
    np.testing.assert_array_equal(read(path, "BGR"), noise[..., ::-1])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_jpegs_are_read_as_detectron2_reads_them(tmp_path, noise, mode, image_format):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).convert(mode).save(path)
    expected = detection_utils.read_image(str(path), image_format)
    np.testing.assert_array_equal(read(path, image_format), expected)


def test_of_an_animation_and_of_pages_the_first_image_is_read(tmp_path, noise):
    first, second = Image.fromarray(noise), Image.new("RGB", (8, 5))
    for ending in ("png", "tif", "webp"):
        options = {"lossless": True} if ending == "webp" else {}
        first.save(tmp_path / f"a.{ending}", save_all=True, append_images=[second], **options)
        np.testing.assert_array_equal(read(tmp_path / f"a.{ending}"), noise)
    one_color = Image.new("RGB", (8, 5), (200, 10, 10))
    one_color.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert (read(tmp_path / "a.gif") == [200, 10, 10]).all()


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """After EXIF 2.32: the sides of the picture where the stored row 0 and column 0 are to be."""
    row_0, column_0 = [
        ("top", "left"),
        ("top", "right"),
        ("bottom", "right"),
        ("bottom", "left"),
        ("left", "top"),
        ("right", "top"),
        ("right", "bottom"),
        ("left", "bottom"),
    ][orientation - 1]
    height, width = stored.shape[:2]
    swapped = row_0 in ("left", "right")
    result = np.zeros((width, height, 3) if swapped else (height, width, 3), dtype=np.uint8)
    for row in range(height):
        for column in range(width):
            y, x = (column, row) if swapped else (row, column)
            if "bottom" in (row_0, column_0):
                y = result.shape[0] - 1 - y
            if "right" in (row_0, column_0):
                x = result.shape[1] - 1 - x
            result[y, x] = stored[row, column]
    return result


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "lzw.tif", "webp"])
def test_exif_turns_images_upright(tmp_path, noise, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lzw.tif": {"compression": "tiff_lzw"}, "webp": {"lossless": True}}.get(ending, {})
    plain, path = tmp_path / f"plain.{ending}", tmp_path / f"turned.{ending}"
    for file, entry in ((plain, {}), (path, {"exif": exif})):
        Image.fromarray(noise).save(file, **options, **entry)
    expected = upright(read(plain), orientation)
    np.testing.assert_array_equal(read(path), expected)
    np.testing.assert_array_equal(read(path, "BGR"), expected[..., ::-1])
    turned = orientation >= 5
    assert image_header(str(path)) == ImageHeader(*((5, 8) if turned else (8, 5)), turned)


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path, noise):
    exif = Image.Exif()
    exif[0x0112] = 8
    entry = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    before = write_png(tmp_path / "before.png", noise, before=entry)
    after = write_png(tmp_path / "after.png", noise, after=png_chunk(b"tEXt", b"date\0now") + entry)
    for path in (before, after):
        np.testing.assert_array_equal(read(path), upright(noise, 8))


@pytest.mark.parametrize("entry", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 40])
def test_a_damaged_entry_turns_nothing(tmp_path, noise, entry):
    Image.fromarray(noise).save(tmp_path / "plain.jpg")
    Image.fromarray(noise).save(tmp_path / "a.jpg", exif=entry)
    np.testing.assert_array_equal(read(tmp_path / "a.jpg"), read(tmp_path / "plain.jpg"))


@pytest.mark.parametrize("value", [0, 9, 255])
def test_a_number_that_is_no_orientation_turns_nothing(tmp_path, noise, value):
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(noise).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), noise)


def test_other_orders_of_the_channels_name_the_key(tmp_path, noise):
    with pytest.raises(ConfigError, match=r"INPUT\.FORMAT"):
        read_image(str(write_png(tmp_path / "a.png", noise)), "L")


def test_the_size_is_read_without_decoding(tmp_path, noise, monkeypatch):
    for ending in ("png", "jpg", "tif", "webp", "gif"):
        Image.fromarray(noise).save(tmp_path / f"a.{ending}")
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for ending in ("png", "jpg", "tif", "webp", "gif"):
        assert image_header(str(tmp_path / f"a.{ending}")) == (8, 5, False)


def test_the_config_decides_limit_and_white_level(data_config):
    assert reading_options(data_config) == {"max_pixels": MAX_PIXELS, "white_level": 65535}
    data_config.INPUT.MAX_IMAGE_PIXELS, data_config.INPUT.WHITE_LEVEL = 10, 4095
    assert reading_options(data_config) == {"max_pixels": 10, "white_level": 4095}


@pytest.mark.parametrize(
    ("key", "value"),
    [("MAX_IMAGE_PIXELS", 0), ("MAX_IMAGE_PIXELS", -1), ("WHITE_LEVEL", 0), ("WHITE_LEVEL", 65536)],
)
def test_values_out_of_range_name_the_key(data_config, key, value):
    data_config.INPUT[key] = value
    with pytest.raises(ConfigError, match=rf"INPUT\.{key}"):
        reading_options(data_config)
