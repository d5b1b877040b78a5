"""Conversion of checkpoints between the known layouts and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .layouts import LAYOUTS, OURS, Conversion, find_layout
from .safe_load import weights_key, weights_of


class UnknownLayout(CheckpointError):
    """Weights whose names are of no known layout."""


def convert(checkpoint: Mapping[str, Any], source: str) -> Conversion:
    """Bring a checkpoint of any known layout to ours.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.

    Returns:
        the weights under our names, the classes' names where known, and what happened.

    Raises:
        UnknownLayout: the names are of no known layout; says what was looked for and shows some of them.
        CheckpointError: there are no weights by name, or some that belong together do not fit together.
    """
    weights = weights_of(checkpoint, source)
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
        metadata = checkpoint.get("metadata")
        result = Conversion(OURS.name, OURS.name, weights, mapped={name: name for name in weights})
        result.metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
        left = [other for other in left if other != "metadata"]
    else:
        try:
            result = layout.to_ours(weights)
        except (LookupError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"checkpoint {source} has the names of {layout.description}, but not all of its tensors, or "
                f"some of other shapes ({type(error).__name__}: {error}): it is incomplete or was changed"
            ) from error
    result.left += left
    return result


def to_detr_d2(checkpoint: dict[str, Any], source: str) -> dict[str, Any]:
    """Bring a checkpoint of any known layout to ours; one of ours is returned as it is.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.

    Returns:
        ``model``, the weights by our names, and ``metadata`` with ``thing_classes`` and
        ``stuff_classes`` where the names of the classes are known. The training state of foreign files
        (``optimizer``, ``args``, ...) is not kept.

    Raises:
        UnknownLayout: the names are of no known layout; says what was looked for and shows some of them.
        CheckpointError: there are no weights by name, or some that belong together do not fit together.
    """
    result = convert(checkpoint, source)
    if result.source == OURS.name:
        return {**checkpoint, "model": result.weights} if "model" in checkpoint else {"model": result.weights}
    return {"model": result.weights, "metadata": result.metadata}


def from_detr_d2(
    model: Mapping[str, Tensor],
    layout: str,
    metadata: Mapping[str, Any] | None = None,
    num_queries: int | None = None,
) -> Conversion:
    """Bring weights of ours to another layout.

    Args:
        model: weights by our names.
        layout: one of :data:`~.layouts.LAYOUTS` that can be written.
        metadata: names of the classes, as in our checkpoints. A head of 80 or 133 classes counts as COCO's
            unless they say something else.
        num_queries: keep only the first so many object queries; a model trained with
            ``MODEL.DETR.QUERY_GROUPS`` has more than other programs use.

    Raises:
        CheckpointError: there is no such layout, or it has no place for some of the weights.
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
    result = LAYOUTS[layout].from_ours(weights, metadata or {})
    if result.left:
        raise CheckpointError(
            f"{LAYOUTS[layout].description} has no place for {len(result.left)} of the model's tensors, such "
            f"as {', '.join(result.left[:3])}"
        )
    return result
