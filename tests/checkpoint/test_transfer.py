"""A model of other classes or queries starts from what both have."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detr_d2.checkpoint.transfer import carried_rows, fit


def state(classes: int, queries: int = 5, width: int = 4) -> dict[str, Tensor]:
    """The parts of a DETR that depend on them, and one that does not."""
    return {
        "class_embed.weight": torch.randn(classes + 1, width),
        "class_embed.bias": torch.randn(classes + 1),
        "query_embed.weight": torch.randn(queries, width),
        "input_proj.bias": torch.randn(width),
    }


def same_but(new: dict[str, Tensor], old: dict[str, Tensor], *changed: str) -> None:
    for name in new.keys() - set(changed):
        assert torch.equal(new[name], old[name]), name


def test_rows_are_carried_over_by_name() -> None:
    file, model = state(4), state(3)
    weights = dict(file)
    fitted = fit(weights, model, ["person", "car", "dog", "cat"], ["zebra", "Cat", "person"])
    (note,) = fitted.notes
    assert note.endswith("from the file's 4, by name; new are zebra; left out are the file's car, dog.")
    assert fitted.partly_new == {"class_embed.weight", "class_embed.bias"}
    for name in ("class_embed.weight", "class_embed.bias"):
        assert torch.equal(weights[name][0], model[name][0])
        assert torch.equal(weights[name][1:], file[name][[3, 0, 4]])
    same_but(weights, file, "class_embed.weight", "class_embed.bias")


def test_the_same_classes_in_another_order_keep_their_rows() -> None:
    file, model = state(3), state(3)
    weights = dict(file)
    assert not fit(weights, model, ["a", "b", "c"], ["c", "a", "b"]).partly_new
    assert torch.equal(weights["class_embed.bias"], file["class_embed.bias"][[2, 0, 1, 3]])


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("abc", "abc", {0: 0, 1: 1, 2: 2}),
        ("abc", "xyz", {0: 0, 1: 1, 2: 2}),  # all renamed
        ("abc", "axc", {0: 0, 1: 1, 2: 2}),  # one renamed
        ("abc", "xab", {1: 0, 2: 1}),  # x is new: the row in its place is a's
        ("abc", "bax", {0: 1, 1: 0}),  # x is new: others have moved, so that its place says nothing
        ("abc", "xy", {}),
        ("ab", "abc", {0: 0, 1: 1}),
    ],
)
def test_which_rows_are_carried_over(old: str, new: str, rows: dict[int, int]) -> None:
    assert carried_rows(list(old), list(new)) == rows


def test_a_new_name_among_classes_that_have_moved_starts_anew() -> None:
    file, model = state(3), state(3)
    weights = dict(file)
    fitted = fit(weights, model, ["a", "b", "c"], ["b", "a", "x"])
    (note,) = fitted.notes
    assert note.endswith("2 start from the file's 3, by name; new are x; left out are the file's c.")
    assert torch.equal(weights["class_embed.bias"][[0, 1, 3]], file["class_embed.bias"][[1, 0, 3]])
    assert torch.equal(weights["class_embed.bias"][2], model["class_embed.bias"][2])


def test_renamed_classes_keep_their_rows_and_are_mentioned() -> None:
    file = state(2)
    weights = dict(file)
    fitted = fit(weights, state(2), ["cat", "dog"], ["Katze", "Hund"])
    (note,) = fitted.notes
    assert "cat is now Katze, dog is now Hund" in note
    assert not fitted.moved
    same_but(weights, file)


@pytest.mark.parametrize("names", [None, ["a", "b"]], ids=["unknown", "of one side"])
def test_another_number_of_classes_leaves_the_models_head(names: list[str] | None) -> None:
    file = state(4)
    weights = dict(file)
    (note,) = fit(weights, state(2), None, names).notes
    assert note == "The file has 4 classes and the model 2: the class head is new."
    assert weights.keys() == {"query_embed.weight", "input_proj.bias"}
    same_but(weights, file)


def test_a_list_of_names_that_is_not_the_heads_is_not_used() -> None:
    weights = state(4)
    assert "the class head is new" in fit(weights, state(2), ["a", "b"], ["a", "b"]).notes[0]


@pytest.mark.parametrize(("old", "new"), [(5, 3), (3, 5)])
def test_the_first_queries_are_kept(old: int, new: int) -> None:
    file, model = state(2, queries=old), state(2, queries=new)
    weights = dict(file)
    fitted = fit(weights, model)
    (note,) = fitted.notes
    assert fitted.partly_new == ({"query_embed.weight"} if new > old else set())
    assert note.startswith(f"The file has {old} object queries and the model {new}: the first 3 are kept")
    queries = weights["query_embed.weight"]
    assert torch.equal(queries[:3], file["query_embed.weight"][:3])
    assert torch.equal(queries[3:], model["query_embed.weight"][3:])
    same_but(weights, file, "query_embed.weight")


def test_nothing_is_said_or_done_where_all_is_the_same() -> None:
    file = state(3)
    weights = dict(file)
    assert fit(weights, state(3)).notes == []
    assert fit(weights, state(3), ["a", "b", "c"], ["a", "b", "c"]).notes == []
    same_but(weights, file)


def test_another_width_is_not_hidden() -> None:
    file = state(3)
    weights = dict(file)
    assert fit(weights, state(2, queries=7, width=8)).notes == []
    same_but(weights, file)


def test_labels_of_denoising_that_are_not_the_heads_are_left_out() -> None:
    """Weights that were converted from 91 numbered rows to 80 classes may have kept those of the labels."""
    labels = "auxiliary.denoising.label.weight"
    weights = {**state(3), labels: torch.randn(6, 4)}
    fitted = fit(weights, {**state(3), labels: torch.randn(3, 4)})
    assert labels not in weights
    assert len(fitted.notes) == 1
    assert fitted.moved
