"""Which images are the same, or show nearly the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.data.own.content import copies, groups_of, near_pairs


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Squares of random colors: of no two seeds alike."""
    squares = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(squares).resize(size, Image.Resampling.BICUBIC)


def pairs_of(files: list[str]) -> set[tuple[int, int]]:
    return {(first, second) for some in near_pairs(files) for first, second in some.tolist()}


def test_copies_are_of_equal_bytes_not_of_equal_size(tmp_path: Path) -> None:
    files = []
    for number, content in enumerate([b"one", b"two", b"one", b"three", b"three"]):
        files.append(str(tmp_path / str(number)))
        Path(files[-1]).write_bytes(content)
    assert copies([*files, str(tmp_path / "absent")]) == [[0, 2], [3, 4]]


def test_an_image_saved_anew_is_nearly_the_same_and_others_are_not(tmp_path: Path) -> None:
    changed = {
        "a.png": picture(1),
        "worse.jpg": picture(1),
        "small.png": picture(1).resize((50, 40)),
        "darker.png": picture(1).point(lambda value: value * 0.7),
        "gray.png": picture(1).convert("L"),
        "b.png": picture(2),
        "turned.png": picture(2).rotate(180),
    }
    for name, image in changed.items():
        image.save(tmp_path / name, **({"quality": 20} if name == "worse.jpg" else {}))
    files = [str(tmp_path / name) for name in changed]
    assert pairs_of(files) == {(i, j) for i in range(5) for j in range(i + 1, 5)}


def test_deep_images_are_compared_too(tmp_path: Path) -> None:
    values = np.asarray(picture(3).convert("L")).astype(np.uint16)
    for name, factor in (("a.png", 256), ("b.png", 200)):
        Image.fromarray(values * factor).save(tmp_path / name)
    Image.fromarray(values.T.copy() * 256).save(tmp_path / "c.png")
    assert pairs_of([str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]) == {(0, 1)}


def test_images_of_one_color_and_damaged_ones_are_like_no_other(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (60, 40), "gray").save(tmp_path / name)
    for name in ("c.png", "d.png"):
        (tmp_path / name).write_bytes(b"no image")
    assert pairs_of([str(tmp_path / f"{name}.png") for name in "abcd"]) == set()


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [
        ([], [[0], [1], [2], [3]]),
        ([[(0, 2)], [(1, 3)]], [[0, 2], [1, 3]]),
        ([[(0, 1)], [(2, 3)], [(1, 3)]], [[0, 1, 2, 3]]),
        ([[], [(3, 1), (1, 1)]], [[0], [1, 3], [2]]),
    ],
)
def test_groups_are_those_that_pairs_lead_to(
    pairs: list[list[tuple[int, int]]], groups: list[list[int]]
) -> None:
    assert groups_of(4, [np.array(some, dtype=np.int64).reshape(-1, 2) for some in pairs]) == groups
