"""Cutting a validation split off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detr_d2.data.formats import Split
from detr_d2.data.own import cut_validation
from detr_d2.data.preflight import Report
from detr_d2.errors import DataError

from .test_content import picture


def split_of(folder: Path, seeds: list[int]) -> Split:
    """A split of an image for each seed, those of equal seeds nearly the same, with an object each."""
    images: list[Any] = []
    for number, seed in enumerate(seeds):
        quality = 95 - number  # so that no two files are the same
        picture(seed).save(folder / f"{number}.jpg", quality=quality)
        images.append({"id": f"image {number}", "file_name": f"{number}.jpg", "width": 120, "height": 90})
    annotations = [{"id": i, "image_id": image["id"], "category_id": 1} for i, image in enumerate(images)]
    content = {"images": images, "annotations": annotations, "categories": [], "info": "kept"}
    return Split("train", Report(str(folder)), content, str(folder), json_file="all.json")


def numbers(split: Split) -> list[int]:
    """The images' numbers, whose objects must be there and no others."""
    ids = [image["id"] for image in split.content["images"]]
    assert [entry["image_id"] for entry in split.content["annotations"]] == ids
    return [int(number.split()[1]) for number in ids]


def test_every_image_is_in_one_of_both(tmp_path: Path) -> None:
    whole = split_of(tmp_path, list(range(10)))
    train, val = cut_validation(whole, seed=0)
    assert (train.name, val.name) == ("train", "val")
    assert len(numbers(val)) == 2
    assert sorted(numbers(train) + numbers(val)) == list(range(10))
    assert train.content["info"] == val.content["info"] == "kept"
    assert (train.json_file, val.json_file) == ("", "")
    assert len(whole.content["images"]) == 10


def test_the_seed_decides(tmp_path: Path) -> None:
    whole = split_of(tmp_path, list(range(20)))
    first, again, other = (numbers(cut_validation(whole, seed)[1]) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_like_images_stay_together(tmp_path: Path) -> None:
    seeds = [0, 1, 2, 3, 4] * 4
    whole = split_of(tmp_path, seeds)
    for seed in range(5):
        train, val = cut_validation(whole, seed)
        assert not {seeds[i] for i in numbers(train)} & {seeds[i] for i in numbers(val)}
        assert len(numbers(val)) == 4


def test_a_group_beyond_the_share_is_taken_where_there_is_no_smaller_one(tmp_path: Path) -> None:
    whole = split_of(tmp_path, [0, 0, 0, 1, 1])
    assert numbers(cut_validation(whole, 0)[1]) == [3, 4]


@pytest.mark.parametrize("seeds", [[0], [0, 0, 0]])
def test_what_cannot_be_cut_is_an_error(seeds: list[int], tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        cut_validation(split_of(tmp_path, seeds), 0)
    assert str(tmp_path) in str(error.value)


def test_images_of_the_same_bytes_stay_together_though_nothing_can_be_seen_on_them(tmp_path: Path) -> None:
    whole = split_of(tmp_path, [0, 1, 2])
    for number in (0, 1):
        Image.new("L", (50, 50)).save(tmp_path / f"{number}.jpg")
    for seed in range(4):
        assert numbers(cut_validation(whole, seed)[1]) == [2]


def test_a_set_of_very_many_images_is_cut_without_comparing_every_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detr_d2.data.own.cut.MOST_HEADERS", 5)
    monkeypatch.setattr("detr_d2.data.own.cut.near_pairs", None)
    train, val = cut_validation(split_of(tmp_path, list(range(10))), seed=0)
    assert sorted(numbers(train) + numbers(val)) == list(range(10))
