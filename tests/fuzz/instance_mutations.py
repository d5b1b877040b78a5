"""What is changed at random in the json of a sound set of instance annotations."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Content = dict[str, Any]
Change = Callable[[np.random.Generator, Content], None]

_HOSTILE: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: "",
    lambda: "x",
    lambda: "1",
    lambda: -1,
    lambda: 0,
    lambda: 0.5,
    lambda: 1e30,
    lambda: -1e300,
    lambda: 2**31,
    lambda: 2**70,
    lambda: math.nan,
    lambda: math.inf,
    list,
    dict,
    lambda: [[]],
    lambda: [1],
    lambda: [[[1, 2]]],
    lambda: {"a": 1},
    lambda: {"size": [48, 64], "counts": [3072]},
    lambda: {"size": [2**33, 2**33], "counts": [2**66]},
    lambda: {"size": [48, 64], "counts": "0" * 300},
    lambda: "y" * 5000,
    lambda: [1e9] * 8,
    lambda: [[-1e6, -1e6, 1e6, -1e6, 1e6, 1e6]],
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a parsed json, as paths."""
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    places = [path] if path else []
    for key, item in items:
        places.extend(_places(item, (*path, key)))
    return places


def _at(content: Content, path: tuple[Any, ...]) -> tuple[Any, Any]:
    """The container and key of a place."""
    container: Any = content
    for key in path[:-1]:
        container = container[key]
    return container, path[-1]


def _place(rng: np.random.Generator, content: Content) -> tuple[Any, Any]:
    """A random place: a list is drawn first, so that each is met as often as the others."""
    top = str(rng.choice([key for key in content if isinstance(content[key], list)] or list(content)))
    places = [path for path in _places(content) if path[0] == top]
    return _at(content, places[rng.integers(len(places))])


def replace(rng: np.random.Generator, content: Content) -> None:
    container, key = _place(rng, content)
    container[key] = _HOSTILE[rng.integers(len(_HOSTILE))]()


def remove(rng: np.random.Generator, content: Content) -> None:
    container, key = _place(rng, content)
    del container[key]


def repeat(rng: np.random.Generator, content: Content) -> None:
    container, key = _place(rng, content)
    if isinstance(container, list):
        container.insert(int(rng.integers(len(container) + 1)), copy.deepcopy(container[key]))


def retype(rng: np.random.Generator, content: Content) -> None:
    """Numbers as text or floats, at one place or under one name everywhere."""
    make = [str, float, lambda v: [v]][rng.integers(3)]
    container, key = _place(rng, content)
    everywhere = rng.random() < 0.5
    for path in _places(content):
        other, name = _at(content, path)
        same = other is container and name == key
        if (same or (everywhere and name == key)) and type(other[name]) is int:
            other[name] = make(other[name])


def reorder(rng: np.random.Generator, content: Content) -> None:
    for value in content.values():
        if isinstance(value, list):
            rng.shuffle(value)


def move(rng: np.random.Generator, content: Content) -> None:
    """Another number in the place of one."""
    for _ in range(20):
        container, key = _place(rng, content)
        if type(container[key]) in (int, float) and math.isfinite(container[key]):
            container[key] = container[key] + int(rng.integers(-40, 80))
            return


def harmless(rng: np.random.Generator, content: Content) -> None:
    """What other programs write."""
    annotations = [x for x in content.get("annotations") or () if isinstance(x, dict)]
    kind = rng.integers(6)
    for number, annotation in enumerate(annotations):
        if kind == 0:
            annotation.pop("area", None)
        elif kind == 1:
            annotation.pop("iscrowd", None)
        elif kind == 2:
            annotation["id"] = number
        elif kind == 3:
            annotation["attributes"] = {"occluded": False}
        elif kind == 4:
            annotation["area"] = 0
        elif number % 3 == 0:
            annotation["segmentation"] = []


CHANGES: list[Change] = [replace, replace, remove, repeat, retype, reorder, move, harmless]


def mutated(content: Content, number: int) -> Content:
    """The ``number``-th mutation of a sound content."""
    rng = np.random.default_rng([8, number])
    content = copy.deepcopy(content)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        CHANGES[rng.integers(len(CHANGES))](rng, content)
    return content
