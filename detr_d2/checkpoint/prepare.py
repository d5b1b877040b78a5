"""What a checkpoint file holds, made ready for one model; nothing is loaded here."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..classes import class_list
from ..errors import CheckpointError
from .backbone import place_backbone
from .class_rows import ModelClasses
from .convert import to_ours, unwrap
from .layout import DETECTOR, HEAD, Weights
from .layouts import LAYOUTS, OURS, find_layout
from .queries import QUERIES, group_size
from .safe_load import weights_and_rest
from .transfer import Fitted, fit

# Set in a checkpoint, it lets Detectron2 guess which names belong together.
HEURISTICS = "matching_heuristics"


@dataclass
class Prepared:
    """A checkpoint that suits a model.

    Attributes:
        weights: by the model's names.
        rest: what else the file holds.
        found: a sentence on what was found in a file of another layout; "" for one of ours.
        fitted: what was changed. ``notes`` has a sentence for everything that a user may not expect; where
            it ``moved``, the file's training state would not belong to it.
    """

    weights: Weights
    rest: dict[str, Any]
    found: str = ""
    fitted: Fitted = field(default_factory=Fitted)


def prepare(
    checkpoint: Mapping[str, Any],
    source: str,
    model: Weights,
    classes: ModelClasses,
    guess_names: bool = False,
    num_queries: int | None = None,
) -> Prepared:
    """Bring a checkpoint of any known layout to a model's names, classes and queries.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.
        model: the model's state dict, which stays as it is.
        classes: what is known of the model's classes.
        guess_names: let Detectron2 guess which names belong together, where they are of no known layout.
        num_queries: how many queries of the model inference takes.

    Raises:
        CheckpointError: there are no weights, or of no known layout, or of a model with other dimensions.
    """
    given, rest = weights_and_rest(checkpoint, source)
    guess_names = bool(rest.pop(HEURISTICS, False)) or guess_names
    is_detr = all(name in model for name in DETECTOR)
    weights, beside = unwrap(given, source, lambda names: _own_prefix(names, model) is not None)
    prefix, layout = _own_prefix(weights, model), find_layout(weights)
    # Other models than ours, and names to be guessed, are Detectron2's matter; names that are ours already
    # leave nothing to guess, whatever the file says.
    if prefix is None and guess_names and (layout is None or (layout is OURS and not is_detr)):
        return Prepared(given, {**rest, HEURISTICS: True})
    found, notes, in_order, no_object = "", [], False, classes.no_object
    if prefix is not None or layout is OURS:
        if prefix:
            weights = {prefix + name: value for name, value in weights.items()}
        if beside:
            notes.append(f"Beside the model, left over: {by_module(beside)}.")
    elif layout is not None or is_detr or not given.keys() & model.keys():
        result = to_ours(weights, rest.get("metadata"), source, classes)
        weights, notes, in_order = result.weights, result.notes, result.first_classes
        no_object = result.no_object
        found = f"{source} holds {LAYOUTS[result.source].description}"
        if not LAYOUTS[result.source].is_detector:
            weights = place_backbone(weights, model, f"checkpoint {found}")
        left = by_module([*result.left, *beside, *(key for key in rest if key != "metadata")]) or "none"
        found += f": {len(result.mapped)} of its tensors have a place here, left are {left}."
        found = " ".join([found, *result.facts])
        rest = {"metadata": result.metadata}

    # Without versions Detectron2's batch norms would reset statistics that a file of parts has not.
    versions = getattr(weights, "_metadata", None) or getattr(model, "_metadata", None)
    weights = OrderedDict(weights)
    weights._metadata = versions  # type: ignore[attr-defined]
    _refuse(source, weights, model, _other_kinds, "Save its weights as plain floating-point tensors")
    fitted = Fitted()
    if is_detr:
        rows = weights[HEAD[0]].shape[:1].numel() if HEAD[0] in weights else 0
        metadata = rest.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        # A file of ours tells by its names alone, and only where they do not fit as they are.
        fits_as_it_is = class_list(metadata, rows - no_object) is not None
        if not found and not fits_as_it_is and class_list(metadata, rows - (not no_object)) is not None:
            no_object = not no_object
        names, own_names = class_list(metadata, rows - no_object), None
        if names is not None and not (classes.kept and rows == len(model[HEAD[0]])):
            own_names = list(classes.names())
        sizes = group_size(metadata, len(weights.get(QUERIES, ()))), num_queries
        fitted = fit(weights, model, names, own_names, in_order, (no_object, classes.no_object), sizes)
        _refuse(source, weights, model, _other_shapes, "Set MODEL.RESNETS and MODEL.DETR as they were for it")
    broken = [name for name, x in weights.items() if x.is_floating_point() and not torch.isfinite(x).all()]
    if broken:
        fitted.notes.append(f"Not all numbers are finite in {by_module(broken)}.")
    fitted.notes[:0] = notes
    return Prepared(weights, rest, found, fitted)


def by_module(names: Iterable[str]) -> str:
    """Names counted by their modules, e.g. "backbone.res5 (12), class_embed (2)"."""
    depth = {"backbone": 2, "transformer": 2}
    counts = Counter(".".join(name.split(".")[: depth.get(name.split(".")[0], 1)]) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in sorted(counts.items()))


def _own_prefix(names: Iterable[str], model: Collection[str]) -> str | None:
    """What lacks before the names of a part of the model, counters of batch norms aside; None: it is none."""
    counted = [name for name in names if not name.endswith("num_batches_tracked")]
    prefixes = ("", "backbone.") if counted else ()
    return next((prefix for prefix in prefixes if all(prefix + name in model for name in counted)), None)


def _other_kinds(value: Tensor, own: Tensor) -> tuple[object, object] | None:
    plain = value.layout is torch.strided and not (value.is_quantized or value.is_meta or value.is_complex())
    suits = plain and (value.is_floating_point() or not own.is_floating_point())
    return None if suits else (f"{value.dtype} ({value.layout})", own.dtype)


def _other_shapes(value: Tensor, own: Tensor) -> tuple[object, object] | None:
    return None if value.shape == own.shape else (tuple(value.shape), tuple(own.shape))


def _refuse(
    source: str,
    weights: Weights,
    model: Weights,
    others: Callable[[Tensor, Tensor], tuple[object, object] | None],
    remedy: str,
) -> None:
    """End with the tensors that are something in the file and something else in the model, if any are."""
    pairs = {name: others(value, model[name]) for name, value in weights.items() if name in model}
    wrong = [f"{n} is {pair[0]} in the file and {pair[1]} in the model" for n, pair in pairs.items() if pair]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"checkpoint {source} is of a model with other dimensions, so nothing was loaded: "
            f"{'; '.join(wrong[:3])}{more}. {remedy}"
        )
