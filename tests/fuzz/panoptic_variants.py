"""Variants of a panoptic data set that must load, and score 100 as their own prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from .panoptic_mutations import Change, Rng, pick, places
from .panoptic_sets import HEIGHT, WIDTH, PanopticSet, colors, ids_of


def _segments(made: PanopticSet) -> Iterator[dict[str, Any]]:
    for annotation in made.content["annotations"]:
        yield from annotation["segments_info"]


def _without(*keys: str) -> Change:
    def change(made: PanopticSet, rng: Rng) -> None:
        for segment in _segments(made):
            for key in keys:
                segment.pop(key, None)

    return change


def extra_keys(made: PanopticSet, rng: Rng) -> None:
    made.content["info"] = {"year": 2017}
    for container, key in list(places(made.content)):
        if isinstance(container[key], dict):
            container[key]["more"] = [None, "text", {"deep": 1e30}]


def other_order(made: PanopticSet, rng: Rng) -> None:
    for records in made.content.values():
        rng.shuffle(records)
    for annotation in made.content["annotations"]:
        annotation["segments_info"].reverse()


def map_names_with_suffix_in_folders(made: PanopticSet, rng: Rng) -> None:
    for number, annotation in enumerate(made.content["annotations"]):
        old = annotation["file_name"]
        annotation["file_name"] = f"part{number % 2}/deep/photo{number}_panoptic.v2.png"
        made.maps[annotation["file_name"]] = made.maps.pop(old)
    for number, image in enumerate(made.content["images"]):
        old = image["file_name"]
        image["file_name"] = f"{number}/{old}"
        made.images[image["file_name"]] = made.images.pop(old)


def _one_kind(isthing: int) -> Change:
    def change(made: PanopticSet, rng: Rng) -> None:
        for category in made.content["categories"]:
            category["isthing"] = isthing

    return change


def an_image_without_segments(made: PanopticSet, rng: Rng) -> None:
    made.annotation()["segments_info"] = []
    made.refresh_map(0, np.zeros((HEIGHT, WIDTH), dtype=np.int64))


def all_void(made: PanopticSet, rng: Rng) -> None:
    for position, annotation in enumerate(made.content["annotations"]):
        annotation["segments_info"] = []
        made.refresh_map(position, np.zeros((HEIGHT, WIDTH), dtype=np.int64))


def all_crowd(made: PanopticSet, rng: Rng) -> None:
    for segment in _segments(made):
        segment["iscrowd"] = 1


def text_ids(made: PanopticSet, rng: Rng) -> None:
    for image, annotation in zip(made.content["images"], made.content["annotations"], strict=True):
        image["id"] = annotation["image_id"] = f"image-{image['id']}"
    for category in made.content["categories"]:
        category["id"] = str(category["id"])
    for segment in _segments(made):
        segment["category_id"] = str(segment["category_id"])


def numbers_as_floats(made: PanopticSet, rng: Rng) -> None:
    for container, key in list(places(made.content)):
        if type(container[key]) is int:
            container[key] = float(container[key])


def wrong_areas(made: PanopticSet, rng: Rng) -> None:
    for segment in _segments(made):
        segment.update(area=pick([0, 1e30, "9", None, float("nan")], rng), bbox=None)


def an_image_without_annotation(made: PanopticSet, rng: Rng) -> None:
    made.content["annotations"].pop()


def a_class_without_segments(made: PanopticSet, rng: Rng) -> None:
    made.content["categories"].append({"id": 1, "name": "spoon", "isthing": True})


def huge_ids(made: PanopticSet, rng: Rng) -> None:
    for image, annotation in zip(made.content["images"], made.content["annotations"], strict=True):
        image["id"] = annotation["image_id"] = image["id"] + 2**70


def maps_with_alpha(made: PanopticSet, rng: Rng) -> None:
    for position in range(4):
        made.change_map(position, lambda ids: colors(ids).convert("RGBA"))


def maps_made_small_by_a_palette(made: PanopticSet, rng: Rng) -> None:
    for position in range(4):
        made.change_map(position, lambda ids: colors(ids).convert("P", palette=Image.Palette.ADAPTIVE))


def maps_in_other_lossless_formats(made: PanopticSet, rng: Rng) -> None:
    for position, kind in enumerate(("BMP", "TIFF", "PPM", "PNG")):
        made.change_map(position, colors, format=kind)


def a_segment_of_one_pixel(made: PanopticSet, rng: Rng) -> None:
    ids = ids_of(made.maps[made.annotation()["file_name"]])
    ids[-1, -1] = 256**3 - 1
    made.annotation()["segments_info"].append({"id": 256**3 - 1, "category_id": 3})
    made.refresh_map(0, ids)


VARIANTS: dict[str, Change] = {
    "as it is": lambda made, rng: None,
    "no area": _without("area"),
    "no area, no iscrowd": _without("area", "iscrowd"),
    "things only": _one_kind(1),
    "stuff only": _one_kind(0),
    **{
        change.__name__.replace("_", " "): change
        for change in (
            extra_keys,
            other_order,
            map_names_with_suffix_in_folders,
            an_image_without_segments,
            all_void,
            all_crowd,
            text_ids,
            numbers_as_floats,
            wrong_areas,
            an_image_without_annotation,
            a_class_without_segments,
            huge_ids,
            maps_with_alpha,
            maps_made_small_by_a_palette,
            maps_in_other_lossless_formats,
            a_segment_of_one_pixel,
        )
    },
}
