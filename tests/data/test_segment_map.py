"""Segmentation maps: ids from colors, and maps that do not fit their annotations."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detr_d2.data import DataError
from detr_d2.data.segment_map import read_segment_ids, read_segment_masks
from detr_d2.errors import MissingFileError


@pytest.fixture
def png(tmp_path):
    """A map of 3 x 2 pixels, written color by color: ids 1, 256 + 2, void; 65536 * 9, 1, 1."""
    path = tmp_path / "map.png"
    image = Image.new("RGB", (3, 2))
    for place, color in {(0, 0): (1, 0, 0), (1, 0): (2, 1, 0), (0, 1): (0, 0, 9), (1, 1): (1, 0, 0)}.items():
        image.putpixel(place, color)
    image.putpixel((2, 1), (1, 0, 0))
    image.save(path)
    return path


def test_ids_are_read_from_colors(png):
    assert read_segment_ids(str(png)).tolist() == [[1, 258, 0], [589824, 1, 1]]


def test_masks_come_in_the_order_of_the_ids(png):
    masks = read_segment_masks(str(png), [589824, 1, 258], 2, 3)
    assert masks.dtype == bool
    assert masks.astype(int).tolist() == [
        [[0, 0, 0], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 1]],
        [[0, 1, 0], [0, 0, 0]],
    ]


def test_a_map_without_segments_gives_no_masks(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "void.png")
    assert read_segment_masks(str(tmp_path / "void.png"), [], 2, 3).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("ids", "size", "message"),
    [
        (
            [1, 258],
            (2, 3),
            r"pixels of segment 589824, which its annotations do not list \(they list 1, 258\)",
        ),
        ([], (2, 3), r"pixels of segment 1, 258, 589824, .*\(they list \(none\)\)"),
        ([1, 258, 589824, 7, 8], (2, 3), r"no pixel of segment 7, 8, which"),
        ([1, 258, 589824, 1], (2, 3), r"list the segment ids 1, 258, 589824, 1: each"),
        ([1, 258, 589824, 0], (2, 3), r"0 stands for pixels without a segment"),
        ([1, 258, 589824, -7], (2, 3), r"1, 258, 589824, -7: .* from 1 to 16777215"),
        ([1, 258, 589824, 256**4 + 1], (2, 3), r"from 1 to 16777215"),
        ([1, 258, 589824, "1"], (2, 3), r"from 1 to 16777215"),
        ([1, 258, 589824], (3, 2), r"is 3 x 2 pixels, but its image is 2 x 3"),
        ([1, 258, 589824], (4, 6), r"is 3 x 2 pixels, but its image is 6 x 4"),
    ],
)
def test_a_map_that_does_not_fit_its_annotations_is_named(png, ids, size, message):
    with pytest.raises(DataError, match=rf"map\.png.*{message}"):
        read_segment_masks(str(png), ids, *size)


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"gone\.png"):
        read_segment_masks(str(tmp_path / "gone.png"), [1], 2, 3)


@pytest.mark.parametrize("damage", ["text", "empty", "truncated"])
def test_an_undecodable_map_is_named(tmp_path, damage):
    path = tmp_path / "bad.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes({"text": b"no map", "empty": b"", "truncated": content[: len(content) // 2]}[damage])
    with pytest.raises(DataError, match=r"Segmentation map .*bad\.png cannot be decoded"):
        read_segment_masks(str(path), [1], 40, 60)
