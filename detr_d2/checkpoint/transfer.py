"""Weights of a model fitted to another one that has other classes or another number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..classes import comparable
from .class_rows import listed
from .layout import HEAD, Weights
from .queries import QUERIES, NewQueries, carried_queries

# The names of all, in order.
Classes = Sequence[str]

_LABELS = "auxiliary.denoising.label.weight"  # a row for each class


@dataclass
class Fitted:
    """What :func:`fit` did.

    Attributes:
        notes: a sentence for every part that was changed.
        partly_new: names of tensors of which some rows are the model's own.
        moved: whether classes or queries are others than the file's.
        new_queries: those that the model has beside the file's, to be placed when the weights are loaded.
    """

    notes: list[str] = field(default_factory=list)
    partly_new: set[str] = field(default_factory=set)
    moved: bool = False
    new_queries: NewQueries | None = None


def fit(
    weights: dict[str, Tensor],
    model: Weights,
    classes: Classes | None = None,
    model_classes: Classes | None = None,
    in_order: bool = False,
    ends: tuple[bool, bool] = (True, True),
    group_sizes: tuple[int | None, int | None] = (None, None),
) -> Fitted:
    """Fit the class head and the object queries of ``weights`` to ``model``, in place.

    Everything else is left as it is. Object queries: the first ones of each group are kept, as many as both
    have; the model's further ones stay as they were initialized, until they are placed. The class head is
    carried over row by row where the names of both models' classes are known (:func:`carried_rows`), and
    otherwise, where the numbers of classes differ, left out of ``weights``, so that the model keeps its own.

    Args:
        weights: by our names, of shapes (C' + 1, d), (C' + 1,) and (N', d) in these parts.
        model: state dict of the model.
        classes: names of the C' classes, where known.
        model_classes: names of the model's C classes, where known.
        in_order: the file's classes are the first of the model's.
        ends: whether the file's class head, and the model's, end in a row for no-object.
        group_sizes: how many queries the file and the model have in a group; None: all are one, but in a file
            of as many as the model, which has its groups.
    """
    result = Fitted()
    if all(name in weights and name in model for name in HEAD):
        size, own = weights[HEAD[1]].numel(), len(model[HEAD[0]])
        # Another width of tokens is not for here, nor is what was never a class head.
        if all(weights[name].shape == (size, *model[name].shape[1:]) for name in HEAD):
            number, own_number = size - ends[0], own - ends[1]
            rows, note = _class_rows(number, own_number, classes, model_classes, in_order)
            last = {own - 1: size - 1} if all(ends) else {}
            if len(set(ends)) > 1:
                note = "Its classes were learned with another MODEL.DETR.CLASS_LOSS: the class head is new."
            _fit_rows(result, weights, model, HEAD, None if len(set(ends)) > 1 else rows, last)
            has_labels = _LABELS in weights and _LABELS in model
            if has_labels and weights[_LABELS].shape == (number, *model[_LABELS].shape[1:]):
                _fit_rows(result, weights, model, (_LABELS,), rows, {})
            elif has_labels and weights[_LABELS].shape[1:] == model[_LABELS].shape[1:]:
                _fit_rows(result, weights, model, (_LABELS,), None, {})
                result.notes.append("Its labels of denoising are of other classes than its class head: new.")
            result.notes += [note] if note else []
    old, new = weights.get(QUERIES), model.get(QUERIES)
    if old is not None and new is not None and old.ndim and len(old) and old.shape[1:] == new.shape[1:]:
        _fit_queries(result, weights, model, group_sizes)
    return result


def _fit_queries(
    result: Fitted, weights: dict[str, Tensor], model: Weights, sizes: tuple[int | None, int | None]
) -> None:
    old, new = len(weights[QUERIES]), len(model[QUERIES])
    in_model = sizes[1] or new
    in_file = sizes[0] or (in_model if old == new else old)
    rows, result.new_queries, note = carried_queries(old, new, in_file, in_model)
    if note:
        _carry(result, weights, model, QUERIES, rows)
        result.notes.append(note)


def _fit_rows(
    result: Fitted,
    weights: dict[str, Tensor],
    model: Weights,
    names: Sequence[str],
    rows: dict[int, int] | None,
    last: dict[int, int],
) -> None:
    """Carry over rows of some tensors, those of the classes and ``last``, or leave the tensors out (None)."""
    for name in names:
        if rows is None:
            del weights[name]
            result.moved = True
        elif len(weights[name]) != len(model[name]) or any(row != was for row, was in rows.items()):
            _carry(result, weights, model, name, {**rows, **last})


def carried_rows(classes: Classes, model_classes: Classes) -> dict[int, int]:
    """Which row of a class head is carried over into which.

    A class gets the row of its name (upper and lower case are the same). Where both models have the
    same number of classes and all names that both have are in the same places, the other classes count
    as renamed: every row stays in its place.

    Returns:
        from the model's rows to the old ones, without no-object.
    """
    old, new = comparable(classes), comparable(model_classes)
    rows = {row: old.index(name) for row, name in enumerate(new) if name in old}
    if len(old) == len(new) and all(row == was for row, was in rows.items()):
        return {row: row for row in range(len(new))}
    return rows


def _class_rows(
    old: int, new: int, classes: Classes | None, model_classes: Classes | None, in_order: bool
) -> tuple[dict[int, int] | None, str]:
    """Which of the model's rows come from which of the file's (None: the class head is new); what to say."""
    same = {row: row for row in range(min(old, new))}
    if in_order and old < new:
        return same, f"The file's {old} classes are the model's first ones: the other {new - old} are new."
    if classes is None or model_classes is None or (len(classes), len(model_classes)) != (old, new):
        if old == new:
            return same, ""
        return None, f"The file has {old} classes and the model {new}: the class head is new."
    if list(classes) == list(model_classes):
        return same, ""
    rows = carried_rows(classes, model_classes)
    if old == new and rows == same:
        pairs = zip(classes, model_classes, strict=True)
        renamed = listed(f"{was} is now {name}" for was, name in pairs if was != name)
        return rows, f"The file has other names for the classes, in an order taken to be the same: {renamed}."
    text = f"Of the model's {new} classes {len(rows)} start from the file's {old}, by name"
    fresh = [name for row, name in enumerate(model_classes) if row not in rows]
    unused = [name for row, name in enumerate(classes) if row not in rows.values()]
    for what, names in (("new are", fresh), ("left out are the file's", unused)):
        text += f"; {what} {listed(names)}" if names else ""
    return rows, f"{text}."


def _carry(
    result: Fitted, weights: dict[str, Tensor], model: Weights, name: str, rows: Mapping[int, int]
) -> None:
    """Put ``rows`` of the file's tensor into a copy of the model's, on the CPU; in place."""
    filled = model[name].detach().cpu().clone()
    filled[list(rows)] = weights[name][list(rows.values())].to(filled.dtype)
    weights[name] = filled
    result.moved = True
    if len(rows) < len(filled):
        result.partly_new.add(name)
