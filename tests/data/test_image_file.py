"""Which image files are refused, in one line that names them, and how large they may be."""

from __future__ import annotations

import io
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import Image

from detr_d2.data.image_file import MAX_PIXELS, open_header, pixel_limit
from detr_d2.data.images import ImageHeader, image_header, read_image
from detr_d2.errors import DataError, MissingFileError
from tests.image_files import write_png


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)


# What is refused


def refused(path: Path, kind: type[Exception] = DataError, **options) -> str:
    """The message with which both functions refuse a file: one line that names it."""
    with pytest.raises(kind) as error:
        read_image(str(path), "RGB", **options)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "gone.png", tmp_path / "gone" / "a.png", tmp_path / "file" / "a.png"):
        refused(path, MissingFileError)
        with pytest.raises(MissingFileError, match=str(path)):
            image_header(str(path))


@pytest.mark.parametrize("damage", ["folder", "text", "json", "empty", "null", "signature", "svg"])
def test_what_is_no_image_is_named(tmp_path, damage):
    path = tmp_path / "a.png"
    if damage == "folder":
        path.mkdir()
    else:
        content = {
            "text": b"not an image",
            "json": b'{"images": []}',
            "empty": b"",
            "null": bytes(1000),
            "signature": b"\x89PNG\r\n\x1a\n",
            "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        }
        path.write_bytes(content[damage])
    refused(path)
    with pytest.raises(DataError, match=str(path)):
        image_header(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_named(tmp_path, noise):
    path = write_png(tmp_path / "a.png", noise)
    path.chmod(0)
    refused(path)


@pytest.mark.parametrize("name", ["a\0b.png", "\udcff\0.png"])
def test_a_name_that_no_file_can_have_is_an_error_of_the_data(name):
    with pytest.raises(DataError):
        read_image(name, "RGB")


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "gif", "webp", "bmp", "ppm"])
def test_a_file_cut_in_half_is_named(tmp_path, ending):
    whole = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(whole).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path)


@pytest.mark.parametrize("size", [(0, 5), (8, 0), (0, 0)])
def test_an_image_without_pixels_is_named(tmp_path, noise, size):
    path = write_png(tmp_path / "a.png", noise, size=size)
    refused(path)
    with pytest.raises(DataError, match=str(path)):
        image_header(str(path))


@pytest.mark.parametrize(
    "error", [IndexError, KeyError, MemoryError, OverflowError, RuntimeError, SyntaxError]
)
@pytest.mark.parametrize("step", ["open", "load"])
def test_whatever_pillow_raises_is_the_files_fault(tmp_path, noise, monkeypatch, error, step):
    path = write_png(tmp_path / "a.png", noise)

    def fail(*args, **kwargs):
        raise error("first line\nsecond line")

    monkeypatch.setattr(*((Image, "open") if step == "open" else (Image.Image, "load")), fail)
    if step == "load":
        monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", fail)
    refused(path)


def test_a_bug_of_the_user_of_an_image_keeps_its_class(tmp_path, noise):
    path = write_png(tmp_path / "a.png", noise)
    for error in (KeyError("bug"), OSError("bug"), Image.DecompressionBombError("bug")):
        with pytest.raises(type(error)) as caught, open_header(str(path), "Map", 40):
            raise error
        assert caught.value is error


def test_the_image_of_a_file_keeps_its_mode(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "a.png")
    with open_header(str(tmp_path / "a.png"), "Map", 2) as image:
        assert (image.mode, image.size) == ("P", (2, 1))
    with (
        pytest.raises(MissingFileError, match=r"^Map .*b\.png"),
        open_header(str(tmp_path / "b.png"), "Map", 2),
    ):
        pass


# The limit of the size


def bomb(path: Path, side: int) -> Path:
    """A png of a few bytes whose header claims a huge square."""
    return write_png(path, np.zeros((1, 1), dtype=np.uint8), size=(side, side))


@pytest.mark.parametrize("side", [13378, 14000, 20000, 100_000])
def test_an_image_beyond_pillows_limit_is_one_line_with_file_size_limit_and_key(tmp_path, side):
    path = bomb(tmp_path / "a.png", side)
    for function in (lambda: read_image(str(path), "RGB"), lambda: image_header(str(path))):
        with pytest.raises(DataError) as error:
            function()
        for part in (str(path), f"{side} x {side}", "178956970", "INPUT.MAX_IMAGE_PIXELS"):
            assert part in str(error.value)


def test_the_default_limit_is_pillows_which_importing_leaves_alone():
    assert MAX_PIXELS == 2 * PIL.Image.MAX_IMAGE_PIXELS == 178_956_970


def test_the_key_is_an_exact_limit_in_both_directions(tmp_path, noise, monkeypatch):
    path = write_png(tmp_path / "a.png", noise)
    assert read_image(str(path), "RGB", max_pixels=40).shape == (5, 8, 3)
    for limit in (39, 20, 13, 1):
        refused(path, max_pixels=limit)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 3)  # what Pillow allows does not matter ...
    assert read_image(str(path), "RGB", max_pixels=40).shape == (5, 8, 3)
    assert PIL.Image.MAX_IMAGE_PIXELS == 3  # ... and is restored
    refused(path, max_pixels=39)
    assert PIL.Image.MAX_IMAGE_PIXELS == 3


def test_pillows_limit_is_restored_by_the_last_of_several_threads(tmp_path, noise, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 7)
    path = str(write_png(tmp_path / "a.png", noise))
    entered, leave = threading.Barrier(3), threading.Event()

    def hold(limit: int) -> None:
        with pixel_limit(limit):
            entered.wait()
            leave.wait()

    with ThreadPoolExecutor(4) as pool:
        first, second = pool.submit(hold, 100), pool.submit(hold, 1000)
        entered.wait()
        assert PIL.Image.MAX_IMAGE_PIXELS == 500
        sizes = list(pool.map(image_header, [path] * 50, [40] * 50))
        leave.set()
        first.result(), second.result()
        many = list(pool.map(image_header, [path] * 200, [40] * 200))
    assert set(sizes) == set(many) == {ImageHeader(8, 5, False)}
    assert PIL.Image.MAX_IMAGE_PIXELS == 7


def test_a_part_larger_than_the_header_says_is_refused(tmp_path):
    """An icon of 16 x 16 whose png claims 20,000 x 20,000."""
    content = bomb(tmp_path / "inner.png", 20_000).read_bytes()
    entry = b"\x10\x10\0\0\1\0\x20\0" + len(content).to_bytes(4, "little") + (22).to_bytes(4, "little")
    (tmp_path / "a.png").write_bytes(b"\0\0\1\0\1\0" + entry + content)
    assert "INPUT.MAX_IMAGE_PIXELS" in refused(tmp_path / "a.png")


def test_a_header_of_many_pixels_costs_no_memory(tmp_path):
    path = bomb(tmp_path / "a.png", 14_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_files_are_opened_by_detectron2s_path_manager(tmp_path, noise, monkeypatch):
    content = write_png(tmp_path / "a.png", noise).read_bytes()
    opened = []

    def fake_open(name, mode):
        opened.append(name)
        return io.BytesIO(content)

    monkeypatch.setattr("detr_d2.data.image_file.PathManager.open", fake_open)
    np.testing.assert_array_equal(read_image("bucket://a.png", "RGB"), noise)
    assert opened == ["bucket://a.png"]
