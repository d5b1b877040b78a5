"""Category ids of a model's classes."""

from __future__ import annotations

from typing import Any

import pytest
from detectron2.data import Metadata

from detr_d2.predict import category_ids

THINGS, STUFF = {3: 0, 7: 1}, {4: 2, 9: 3}


@pytest.mark.parametrize(
    ("things", "stuff", "expected"),
    [
        (THINGS, None, {0: 3, 1: 7}),
        (THINGS, STUFF, {0: 3, 1: 7, 2: 4, 3: 9}),
        (THINGS, {4: 0, 9: 1}, {0: 3, 1: 7}),  # numbered apart, as Detectron2 may do
        ({"a": 0, "b": 1}, None, {0: "a", 1: "b"}),
        (None, None, {0: 0, 1: 1, 2: 2}),
    ],
)
def test_ids_are_those_of_the_data_set(things: Any, stuff: Any, expected: dict[int, Any]) -> None:
    known = {"thing_dataset_id_to_contiguous_id": things, "stuff_dataset_id_to_contiguous_id": stuff}
    metadata = Metadata(**{key: value for key, value in known.items() if value is not None})
    assert category_ids(metadata, len(expected)) == expected


def test_ids_that_some_class_lacks_are_not_used() -> None:
    assert category_ids(Metadata(thing_dataset_id_to_contiguous_id=THINGS), 3) == {0: 0, 1: 1, 2: 2}
