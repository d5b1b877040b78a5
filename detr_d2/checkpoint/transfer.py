"""Weights of a model fitted to another one that has other classes or another number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .layouts import HEAD
from .numbering import listed

_QUERIES = "query_embed.weight"


@dataclass
class Fitted:
    """What :func:`fit` did.

    Attributes:
        notes: a sentence for every part that was changed.
        partly_new: names of tensors of which some rows are the model's own.
        moved: whether classes or queries are others than the file's.
    """

    notes: list[str] = field(default_factory=list)
    partly_new: set[str] = field(default_factory=set)
    moved: bool = False


def fit(
    weights: dict[str, Tensor],
    model: Mapping[str, Tensor],
    classes: Sequence[str] | None = None,
    model_classes: Sequence[str] | None = None,
    in_order: bool = False,
) -> Fitted:
    """Fit the class head and the object queries of ``weights`` to ``model``, in place.

    Everything else is left as it is. Object queries: the first ones are kept, as many as both have; the
    model's further ones stay as they were initialised. The class head is carried over row by row where
    the names of both models' classes are known (:func:`carried_rows`), and otherwise, where the numbers
    of classes differ, left out of ``weights``, so that the model keeps its own.

    Args:
        weights: by our names, of shapes (C' + 1, d), (C' + 1,) and (N', d) in these parts.
        model: state dict of the model.
        classes: names of the C' classes, where known.
        model_classes: names of the model's C classes, where known.
        in_order: the file's classes are the first of the model's.
    """
    result = Fitted()
    if all(name in weights and name in model for name in HEAD):
        _fit_classes(result, weights, model, classes, model_classes, in_order)
    if _QUERIES in weights and _QUERIES in model:
        old, new = weights[_QUERIES], model[_QUERIES]
        if old.ndim and len(old) != len(new) and old.shape[1:] == new.shape[1:]:
            kept = min(len(old), len(new))
            weights[_QUERIES] = _with_rows(new, old, range(kept), range(kept))
            text = (
                f"The file has {len(old)} object queries and the model {len(new)}: the first {kept} are kept"
            )
            if len(new) > kept:
                text += f", the other {len(new) - kept} of the model are new"
                result.partly_new.add(_QUERIES)
            result.notes.append(f"{text}.")
            result.moved = True
    return result


def carried_rows(classes: Sequence[str], model_classes: Sequence[str]) -> dict[int, int]:
    """Which row of a class head is carried over into which.

    A class gets the row of its name (upper and lower case are the same). Where both models have the
    same number of classes and all names that both have are in the same places, the other classes count
    as renamed: every row stays in its place.

    Returns:
        from the model's rows to the old ones, without no-object.
    """
    old, new = ([name.strip().casefold() for name in names] for names in (classes, model_classes))
    rows = {row: old.index(name) for row, name in enumerate(new) if name in old}
    if len(old) == len(new) and all(row == was for row, was in rows.items()):
        return {row: row for row in range(len(new))}
    return rows


def _fit_classes(
    result: Fitted,
    weights: dict[str, Tensor],
    model: Mapping[str, Tensor],
    classes: Sequence[str] | None,
    model_classes: Sequence[str] | None,
    in_order: bool,
) -> None:
    if any(not weights[name].ndim or weights[name].shape[1:] != model[name].shape[1:] for name in HEAD):
        return  # another width of tokens, which is not for here
    if len({len(weights[name]) for name in HEAD}) > 1:
        return  # nor is what was never a class head
    old, new = (len(state[HEAD[0]]) - 1 for state in (weights, model))
    if in_order and old < new:
        _carry(result, weights, model, {row: row for row in range(old)})
        result.notes.append(
            f"The file has {old} classes, the first of the model's {new}: the other {new - old} are new."
        )
        return
    if classes is None or model_classes is None or (len(classes), len(model_classes)) != (old, new):
        if old != new:
            for name in HEAD:
                del weights[name]
            result.moved = True
            result.notes.append(f"The file has {old} classes and the model {new}: the class head is new.")
        return
    if list(classes) == list(model_classes):
        return
    rows = carried_rows(classes, model_classes)
    if len(rows) == old == new and all(row == was for row, was in rows.items()):
        pairs = [
            f"{was} is now {name}" for was, name in zip(classes, model_classes, strict=True) if was != name
        ]
        result.notes.append(
            f"The file has other names for the classes, whose order is taken to be the same: {listed(pairs)}."
        )
        return
    _carry(result, weights, model, rows)
    text = f"Of the model's {new} classes {len(rows)} start from the file's {old}, by name"
    fresh = [name for row, name in enumerate(model_classes) if row not in rows]
    unused = [name for row, name in enumerate(classes) if row not in rows.values()]
    for what, names in (("new are", fresh), ("left out are the file's", unused)):
        text += f"; {what} {listed(names)}" if names else ""
    result.notes.append(f"{text}.")


def _carry(
    result: Fitted, weights: dict[str, Tensor], model: Mapping[str, Tensor], rows: Mapping[int, int]
) -> None:
    """Fill the model's class head from rows of the file's, and no-object; in place."""
    old, new = (len(state[HEAD[0]]) - 1 for state in (weights, model))
    for name in HEAD:
        weights[name] = _with_rows(model[name], weights[name], [*rows, new], [*rows.values(), old])
    result.moved = True
    if len(rows) < new:
        result.partly_new.update(HEAD)


def _with_rows(new: Tensor, old: Tensor, rows: Sequence[int], sources: Sequence[int]) -> Tensor:
    """A copy of ``new`` on the CPU with ``sources`` of ``old`` in its ``rows``."""
    result = new.detach().cpu().clone()
    result[list(rows)] = old[list(sources)].to(result.dtype)
    return result


def wrong_shapes(weights: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> list[str]:
    """What of ``weights`` has another shape than in ``model``, in words."""
    return [
        f"{name} is {tuple(value.shape)} in the file and {tuple(model[name].shape)} in the model"
        for name, value in weights.items()
        if name in model and value.shape != model[name].shape
    ]


def wrong_kinds(weights: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> list[str]:
    """What of ``weights`` is no plain tensor of numbers as the model has them, in words."""
    return [
        f"{name} is {value.dtype} ({value.layout}) in the file and {model[name].dtype} in the model"
        for name, value in weights.items()
        if name in model
        and (
            value.layout is not torch.strided
            or value.is_quantized
            or value.is_meta
            or value.is_complex()
            or (model[name].is_floating_point() and not value.is_floating_point())
        )
    ]
