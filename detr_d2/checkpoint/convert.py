"""Conversion of checkpoints between the known layouts and ours."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

from ..errors import CheckpointError
from .class_rows import AUTO, ModelClasses, number_by_classes, number_by_ids, number_of_rows
from .layout import HEAD, Conversion, Weights
from .layouts import LAYOUTS, OURS, find_layout
from .safe_load import weights_and_rest

_DEPTH = 3  # modules around modules


def convert(checkpoint: Mapping[str, Any], source: str, classes: ModelClasses | None = None) -> Conversion:
    """Bring a checkpoint of any known layout to ours.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.
        classes: what is known of the classes, where another program numbered the rows of the class head.

    Returns:
        the weights under our names, the classes' names where known, and what happened. The training state
        of foreign files (``optimizer``, ``args``, ...) is not kept.

    Raises:
        CheckpointError: the names are of no known layout (says what was looked for and shows some of them);
            or there are no weights by name, or some that belong together do not fit together, or the rows of
            the class head are not as ``classes`` says.
    """
    given, rest = weights_and_rest(checkpoint, source)
    weights, beside = unwrap(given, source)
    result = to_ours(weights, rest.pop("metadata", None), source, classes or ModelClasses())
    result.left += [*beside, *rest]
    return result


def to_ours(weights: Weights, metadata: object, source: str, classes: ModelClasses) -> Conversion:
    """As :func:`convert`, for weights by name and the metadata that lies beside them."""
    layout = find_layout(weights)
    if layout is None:
        looked_for = "; ".join(f"{x.description}: no {x.missing(weights)}" for x in LAYOUTS.values())
        raise CheckpointError(
            f"checkpoint {source} is of no known layout ({looked_for}). "
            f"It has {len(weights)} tensors, such as {', '.join(list(weights)[:5])}"
        )
    try:
        if layout is OURS:
            result = Conversion(OURS.name, dict(weights), mapped={name: name for name in weights})
        else:
            result = layout.to_ours(weights)
        has_head = layout.category_ids and HEAD[0] in result.weights
        numbered = has_head and number_of_rows(result.weights, result.no_object)
    except (LookupError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {source} has the names of {layout.description}, but not all of its tensors, or "
            f"some of other shapes ({type(error).__name__}: {error}): it is incomplete or was changed"
        ) from error
    if isinstance(metadata, Mapping):
        result.metadata = dict(metadata)
    if numbered:
        number_by_classes(result, classes, source)
    return result


def unwrap(
    weights: Weights, source: str, is_part: Callable[[Collection[str]], bool] = lambda names: False
) -> tuple[Weights, list[str]]:
    """Remove what stands before the names of a model, where they are of a known layout without it.

    Args:
        weights: by name.
        source: how the user called the file, for messages.
        is_part: whether names are those of a part of the user's model, which suits as well.

    Returns:
        the weights, and the names that were beside them, such as a loss's; only a whole detector is taken
        out of others. ``weights`` as they are where they suit, or where no prefix makes them suit.

    Raises:
        CheckpointError: there are several models, under different prefixes.
    """

    def suits(names: Collection[str], are_all: bool) -> bool:
        layout = find_layout(names)
        is_whole = layout is not None and layout.is_detector
        return is_whole or (are_all and (layout is not None or is_part(names)))

    if suits(weights.keys(), True):
        return weights, []
    counts = Counter(
        prefix for name in weights for prefix in accumulate(f"{m}." for m in name.split(".")[:-1][:_DEPTH])
    )
    found: list[str] = []
    for prefix, count in counts.items():
        if 2 * count < len(weights) or prefix.startswith(tuple(found)):
            continue
        if suits([n.removeprefix(prefix) for n in weights if n.startswith(prefix)], count == len(weights)):
            found.append(prefix)
    if len(found) > 1:
        raise CheckpointError(
            f"checkpoint {source} holds several models, under {' and '.join(found)}: save one of them alone"
        )
    if not found:
        return weights, []
    inside = OrderedDict((n.removeprefix(found[0]), x) for n, x in weights.items() if n.startswith(found[0]))
    return inside, [name for name in weights if not name.startswith(found[0])]


def from_detr_d2(
    model: Weights,
    layout: str,
    metadata: Mapping[str, Any] | None = None,
    num_queries: int | None = None,
    rule: str = AUTO,
    category_ids: Sequence[int] = (),
) -> Conversion:
    """Bring weights of ours to another layout.

    Args:
        model: weights by our names.
        layout: one of :data:`~.layouts.LAYOUTS` that has whole detectors.
        metadata: names of the classes, as in our checkpoints.
        num_queries: keep only the first so many object queries; a model trained with groups of queries has
            more than other programs use.
        rule: how the layout's rows shall be numbered, where its programs number them by category ids: one of
            :data:`~.class_rows.RULES`. "auto" takes COCO's where the names of the classes are COCO's.
        category_ids: of the classes in their order, for the rule "category_ids".

    Raises:
        CheckpointError: there is no such layout, or it has no place for some of the weights, or the classes
            are not as the rule says.
    """
    writable = [known.name for known in LAYOUTS.values() if known.is_detector]
    if layout not in writable:
        raise CheckpointError(f"there is no layout {layout!r} to convert to, but {', '.join(writable)}")
    weights = dict(model)
    if num_queries is not None:
        available = len(weights.get("query_embed.weight", ()))
        if not 1 <= num_queries <= available:
            raise CheckpointError(f"cannot keep {num_queries} object queries: the weights have {available}")
        weights["query_embed.weight"] = weights["query_embed.weight"][:num_queries].clone()
    added = 0
    if LAYOUTS[layout].category_ids and HEAD[0] in weights:
        no_object = LAYOUTS[layout].no_object
        added = number_by_ids(weights, metadata or {}, rule, category_ids, no_object)
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
