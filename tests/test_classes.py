from __future__ import annotations

import pytest

from detr_d2.classes import match_classes
from detr_d2.errors import DataError


def test_classes_have_the_number_of_their_name() -> None:
    assert match_classes(["cat", "dog", "cow"], ["cow", "cat"]) == {2: 0, 0: 1}


def test_case_and_blanks_at_the_ends_are_the_same() -> None:
    assert match_classes(["Traffic Light ", "cat"], ["CAT", " traffic light"]) == {1: 0, 0: 1}


def test_only_wanted_classes_need_one_of_the_model_and_only_they_get_one() -> None:
    assert match_classes(["dog", "cat"], ["sky", "cat", "sea", "dog"], wanted=[1, 3]) == {1: 1, 0: 3}
    assert match_classes(["sky", "cat"], ["sky", "cat"], wanted=[1]) == {1: 1}


def test_equal_lists_match_by_position_even_where_a_name_occurs_twice() -> None:
    assert match_classes(["a", "b", "A"], ["a", "b", "a"]) == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize(
    ("model", "dataset", "culprit"),
    [
        (["cat", "dog"], ["cat", "horse"], "horse"),
        (["cat"], ["cat", "dog"], "dog"),
        ([], ["cat"], "cat"),
        (["cat", "dog", "Dog"], ["dog"], "dog"),
        (["cat", "dog"], ["dog", "dog"], "dog"),
    ],
)
def test_what_cannot_be_matched_is_named_with_both_lists(
    model: list[str], dataset: list[str], culprit: str
) -> None:
    with pytest.raises(DataError) as error:
        match_classes(model, dataset, what="data set 'mine'")
    words = str(error.value)
    assert words.count("data set 'mine'") >= 1
    assert "\n" not in words
    for name in (*model, *dataset, culprit):
        assert name in words


def test_long_lists_are_cut() -> None:
    with pytest.raises(DataError) as error:
        match_classes([f"class {i}" for i in range(5000)], ["other"])
    assert len(str(error.value)) < 1500
    assert "5000 classes" in str(error.value)


def test_no_classes_match_no_classes() -> None:
    assert match_classes(["cat"], []) == {}
    assert match_classes([], []) == {}
