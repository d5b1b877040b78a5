"""Conversion of checkpoints between the known layouts and ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .class_rows import incomplete, number_rows, spread
from .layouts import DETECTOR, HEAD, LAYOUTS, OURS, Conversion, find_layout
from .numbering import AUTO, Numbering
from .safe_load import weights_key, weights_of
from .unwrap import unwrap


class UnknownLayout(CheckpointError):
    """Weights whose names are of no known layout."""


def convert(
    checkpoint: Mapping[str, Any], source: str, numbering: Callable[[], Numbering] = Numbering
) -> Conversion:
    """Bring a checkpoint of any known layout to ours.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.
        numbering: gives what is known of the rows of the class head; called where another program numbered
            them.

    Returns:
        the weights under our names, the classes' names where known, and what happened.

    Raises:
        UnknownLayout: the names are of no known layout; says what was looked for and shows some of them.
        CheckpointError: there are no weights by name, or some that belong together do not fit together, or
            the rows of the class head are not as ``numbering`` says.
    """
    weights, beside = unwrap(weights_of(checkpoint, source), is_known, source, is_detector)
    layout = find_layout(weights)
    if layout is None:
        looked_for = "; ".join(f"{x.description}: no {x.missing(weights)}" for x in LAYOUTS.values())
        raise UnknownLayout(
            f"checkpoint {source} is of no known layout ({looked_for}). "
            f"It has {len(weights)} tensors, such as {', '.join(list(weights)[:5])}"
        )
    key = weights_key(checkpoint)
    left = [] if key is None else [other for other in checkpoint if other != key]
    if layout is OURS:
        result = Conversion(OURS.name, OURS.name, dict(weights), mapped={name: name for name in weights})
    else:
        try:
            result = layout.to_ours(weights)
        except (LookupError, RuntimeError, TypeError) as error:
            raise incomplete(source, layout.name, error) from error
    metadata = checkpoint.get("metadata")
    if isinstance(metadata, Mapping):
        result.metadata = dict(metadata)
        left = [other for other in left if other != "metadata"]
    if result.by_ids:
        number_rows(result, numbering(), source)
    result.beside = beside
    result.left += [*beside, *left]
    return result


def is_known(names: Collection[str]) -> bool:
    """Whether tensors of these names are of a known layout."""
    return find_layout(names) is not None


def is_detector(names: Collection[str]) -> bool:
    """Whether tensors of these names are of a known layout of whole detectors."""
    layout = find_layout(names)
    return layout is not None and layout.required[-len(DETECTOR) :] == DETECTOR


def to_detr_d2(
    checkpoint: dict[str, Any], source: str, numbering: Callable[[], Numbering] = Numbering
) -> dict[str, Any]:
    """Bring a checkpoint of any known layout to ours; one of ours is returned as it is.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.
        numbering: as for :func:`convert`.

    Returns:
        ``model``, the weights by our names, and ``metadata`` with ``thing_classes`` and
        ``stuff_classes`` where the names of the classes are known. The training state of foreign files
        (``optimizer``, ``args``, ...) is not kept.

    Raises:
        UnknownLayout, CheckpointError: as :func:`convert`.
    """
    result = convert(checkpoint, source, numbering)
    if result.source == OURS.name:
        return {**checkpoint, "model": result.weights} if "model" in checkpoint else {"model": result.weights}
    return {"model": result.weights, "metadata": result.metadata}


def from_detr_d2(
    model: Mapping[str, Tensor],
    layout: str,
    metadata: Mapping[str, Any] | None = None,
    num_queries: int | None = None,
    rule: str = AUTO,
    category_ids: Sequence[int] = (),
) -> Conversion:
    """Bring weights of ours to another layout.

    Args:
        model: weights by our names.
        layout: one of :data:`~.layouts.LAYOUTS` that can be written.
        metadata: names of the classes, as in our checkpoints.
        num_queries: keep only the first so many object queries; a model trained with
            ``MODEL.DETR.QUERY_GROUPS`` has more than other programs use.
        rule: how the layout's rows shall be numbered, where its programs number them by category ids: one of
            :data:`~.numbering.RULES`. "auto" takes COCO's where the names of the classes are COCO's.
        category_ids: of the classes in their order, for the rule "category_ids".

    Raises:
        CheckpointError: there is no such layout, or it has no place for some of the weights, or the classes
            are not as the rule says.
    """
    writable = [known.name for known in LAYOUTS.values() if known.writable]
    if layout not in writable:
        raise CheckpointError(f"there is no layout {layout!r} to convert to, but {', '.join(writable)}")
    weights = dict(model)
    if num_queries is not None:
        queries = weights.get("query_embed.weight")
        available = 0 if queries is None else len(queries)
        if queries is None or not 1 <= num_queries <= available:
            raise CheckpointError(f"cannot keep {num_queries} object queries: the weights have {available}")
        weights["query_embed.weight"] = queries[:num_queries].clone()
    added = 0
    if LAYOUTS[layout].category_ids and HEAD[0] in weights:
        added = spread(weights, metadata or {}, rule, category_ids)
    result = LAYOUTS[layout].from_ours(weights)
    if result.left:
        raise CheckpointError(
            f"{LAYOUTS[layout].description} has no place for {len(result.left)} of the model's tensors, such "
            f"as {', '.join(result.left[:3])}"
        )
    result.metadata = dict(metadata or {})
    if added:
        result.added.append(f"{added} rows of unused category ids in the class head")
    return result
