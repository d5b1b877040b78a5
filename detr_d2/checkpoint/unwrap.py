"""Names with a common prefix: what Lightning, wrappers and compilers put before a model's own names."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from ..errors import CheckpointError

_DEPTH = 3  # modules around modules


def unwrap(
    weights: Mapping[str, Tensor],
    fits: Callable[[Collection[str]], bool],
    source: str,
    is_detector: Callable[[Collection[str]], bool] | None = None,
) -> tuple[Mapping[str, Tensor], list[str]]:
    """Remove what stands before the names of a model, where they fit without it.

    Args:
        weights: by name.
        fits: whether names are of a known model; it may be a bare backbone.
        source: how the user called the file, for messages.
        is_detector: whether they are a detector's; then others may lie beside it, such as a loss. None: all
            names have the prefix.

    Returns:
        the weights, and the names that were beside them. ``weights`` as they are where they fit, or where
        no prefix makes them fit.

    Raises:
        CheckpointError: there are several models, under different prefixes.
    """
    if fits(weights.keys()):
        return weights, []
    counts = Counter(prefix for name in weights for prefix in _prefixes(name))
    found: list[str] = []
    for prefix, count in counts.items():
        if 2 * count < len(weights) or prefix.startswith(tuple(found)):
            continue
        inner = [name.removeprefix(prefix) for name in weights if name.startswith(prefix)]
        accepts = fits if count == len(weights) else is_detector
        if accepts is not None and accepts(inner):
            found.append(prefix)
    if len(found) > 1:
        raise CheckpointError(
            f"checkpoint {source} holds several models, under {' and '.join(found)}: save one of them alone"
        )
    if not found:
        return weights, []
    prefix = found[0]
    inside = OrderedDict(
        (name.removeprefix(prefix), value) for name, value in weights.items() if name.startswith(prefix)
    )
    return inside, [name for name in weights if not name.startswith(prefix)]


def _prefixes(name: str) -> list[str]:
    """The names of the modules around a tensor, the outermost first, each with a dot at its end."""
    modules = name.split(".")[:-1][:_DEPTH]
    return [".".join(modules[: depth + 1]) + "." for depth in range(len(modules))]
