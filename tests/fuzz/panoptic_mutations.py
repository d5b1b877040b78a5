"""Mutations of a panoptic data set, which may be refused."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from .panoptic_sets import HEIGHT, WIDTH, PanopticSet, colors, ids_of

Rng = np.random.Generator
Change = Callable[[PanopticSet, Rng], None]

# What json can hold, Python's NaN and Infinity included.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 1.5, 2**31, 2**63, 2**70, 256**3, 1e30, -1e30, math.nan, math.inf),
    *("", "1", "text", "\0", "x" * 300, "../photo0.png", "/photo0.png", "photo0.png", ".", "\ud800"),
    *([], [1], [[1]], [None], {}, {"id": 1}, {"id": 1, "category_id": 3}),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything inside a parsed json."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def pick(options: list[Any], rng: Rng) -> Any:
    return options[int(rng.integers(len(options)))]


def other_value(made: PanopticSet, rng: Rng) -> None:
    container, key = pick(list(places(made.content)), rng)
    container[key] = copy.deepcopy(pick(VALUES, rng))


def other_leaf(made: PanopticSet, rng: Rng) -> None:
    leaves = [(c, k) for c, k in places(made.content) if not isinstance(c[k], dict | list)]
    container, key = pick(leaves, rng)
    container[key] = copy.deepcopy(pick(VALUES, rng))


def missing_entry(made: PanopticSet, rng: Rng) -> None:
    container, key = pick(list(places(made.content)), rng)
    del container[key]


def repeated_record(made: PanopticSet, rng: Rng) -> None:
    container, key = pick([(c, k) for c, k in places(made.content) if isinstance(c, list)], rng)
    container.append(copy.deepcopy(container[key]))


def exchanged_values(made: PanopticSet, rng: Rng) -> None:
    (first, a), (second, b) = (pick(list(places(made.content)), rng) for _ in range(2))
    first[a], second[b] = copy.deepcopy(second[b]), copy.deepcopy(first[a])


def ids_as_text(made: PanopticSet, rng: Rng) -> None:
    key = pick(["id", "image_id", "category_id"], rng)
    for container, name in list(places(made.content)):
        if name == key and rng.random() < 0.9:
            container[name] = str(container[name])


def _position(made: PanopticSet, rng: Rng) -> int:
    return int(rng.integers(len(made.content["annotations"])))


def other_map(made: PanopticSet, rng: Rng) -> None:
    """A map as tools write it that do not know COCO's, or of another image."""
    changes: list[Callable[[np.ndarray], Image.Image]] = [
        lambda ids: Image.fromarray(np.asarray(colors(ids))[..., ::-1].copy()),
        lambda ids: Image.fromarray(np.searchsorted(np.unique(ids), ids).astype(np.uint8)),
        lambda ids: Image.fromarray((ids % 65536).astype(np.uint16)),
        lambda ids: colors(ids).convert("P", palette=Image.Palette.ADAPTIVE),
        lambda ids: colors(ids).convert("L"),
        lambda ids: colors(ids).convert("1"),
        lambda ids: colors(ids).convert("RGBA"),
        lambda ids: colors(ids % 256),
        lambda ids: colors(ids % 65536),
        lambda ids: colors(ids).resize((WIDTH // 2, HEIGHT // 2)),
        lambda ids: colors(ids).transpose(Image.Transpose.ROTATE_90),
        lambda ids: colors(ids).resize((WIDTH * 2, HEIGHT * 2)).resize((WIDTH, HEIGHT)),
        lambda ids: colors(np.zeros_like(ids)),
    ]
    made.change_map(_position(made, rng), pick(changes, rng))


def other_format(made: PanopticSet, rng: Rng) -> None:
    kind = pick(["JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "CMYK", "I", "F"], rng)
    types = {"I": np.int32, "F": np.float32}
    if kind in types:
        made.change_map(
            _position(made, rng), lambda ids: Image.fromarray(ids.astype(types[kind])), format="TIFF"
        )
    elif kind == "CMYK":
        made.change_map(_position(made, rng), lambda ids: colors(ids).convert("CMYK"), format="TIFF")
    else:
        made.change_map(_position(made, rng), colors, format=kind)


def other_pixels(made: PanopticSet, rng: Rng) -> None:
    """A map with other ids in some pixels: noise, a segment painted over, one more."""
    position = _position(made, rng)
    ids = ids_of(made.maps[made.annotation(position)["file_name"]])
    how = int(rng.integers(3))
    if how == 0:
        ids[rng.random(ids.shape) < 0.1] = rng.integers(256**3)
    elif how == 1:
        ids[ids == pick(np.unique(ids).tolist(), rng)] = pick(np.unique(ids).tolist(), rng)
    else:
        ids[-1, -1] = 77
    made.refresh_map(position, ids)


def damaged_file(made: PanopticSet, rng: Rng) -> None:
    files = pick([made.images, made.maps, made.maps], rng)
    name = pick(list(files), rng)
    data = bytearray(files[name])
    how = int(rng.integers(4))
    if how == 0:
        data = data[: int(rng.integers(len(data)))]
    elif how == 1:
        for _ in range(int(rng.integers(1, 20))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    elif how == 2:
        data = bytearray(b"no image")
    else:
        del files[name]
        if rng.random() < 0.5:
            files[f"{name}/inside"] = b""  # a folder under the image's name
        return
    files[name] = bytes(data)


def one_for_another(made: PanopticSet, rng: Rng) -> None:
    """The json points to the map or image of another record."""
    key = pick(["images", "annotations"], rng)
    first, second = (pick(made.content[key], rng) for _ in range(2))
    name = pick(["file_name", "id", "image_id", "segments_info"], rng)
    if name in first and name in second:
        first[name], second[name] = second[name], first[name]


MUTATIONS: dict[str, Change] = {
    change.__name__.replace("_", " "): change
    for change in (
        other_value,
        other_leaf,
        missing_entry,
        repeated_record,
        exchanged_values,
        ids_as_text,
        other_map,
        other_format,
        other_pixels,
        damaged_file,
        one_for_another,
    )
}
