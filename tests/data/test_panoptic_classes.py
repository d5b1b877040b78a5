"""One numbering of things and stuff."""

from __future__ import annotations

import pytest

from detr_d2.data import DataError
from detr_d2.data.panoptic_classes import panoptic_classes


def category(number, name, isthing):
    return {"id": number, "name": name, "isthing": isthing}


def test_things_and_stuff_are_numbered_together_by_their_ids():
    categories = [category(200, "wall", 0), category(7, "cup", 1), category(9, "sky", False)]
    assert panoptic_classes(categories) == {
        "thing_classes": ["cup", "sky", "wall"],
        "stuff_classes": ["cup", "sky", "wall"],
        "thing_dataset_id_to_contiguous_id": {7: 0},
        "stuff_dataset_id_to_contiguous_id": {9: 1, 200: 2},
    }


def test_there_may_be_things_alone_or_stuff_alone():
    classes = panoptic_classes([category("b", "cup", 1.0), category("a", "jug", True)])
    assert classes["thing_dataset_id_to_contiguous_id"] == {"a": 0, "b": 1}
    assert classes["stuff_dataset_id_to_contiguous_id"] == {}


@pytest.mark.parametrize("isthing", [None, "0", 2, -1, float("nan"), [1], {}])
def test_a_category_that_does_not_tell_is_named(isthing):
    with pytest.raises(DataError, match=r"4 \('jug'\).*isthing"):
        panoptic_classes([category(3, "cup", 1), category(4, "jug", isthing)])
