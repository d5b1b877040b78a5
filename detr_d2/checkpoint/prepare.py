"""What a checkpoint file holds, made ready for one model; nothing is loaded here."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .convert import UnknownLayout, convert
from .imagenet import place_backbone
from .layouts import DETECTOR, HEAD, LAYOUTS, OURS, class_list
from .numbering import CATEGORY_IDS, Numbering
from .safe_load import copy_versions, weights_key, weights_of
from .transfer import Fitted, fit, wrong_kinds, wrong_shapes
from .unwrap import unwrap

# Set in a checkpoint, it lets Detectron2 guess which names belong together.
HEURISTICS = "matching_heuristics"

_BACKBONE, _STEM = "backbone.", "backbone.stem.conv1.weight"
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Prepared:
    """A checkpoint that suits a model.

    Attributes:
        checkpoint: as Detectron2 loads it: ``model``, the weights by the model's names, and what else the
            file holds.
        found: a sentence on what was found in a file of another layout; "" for one of ours.
        notes: a sentence for everything that was changed, or left out, and that a user may not expect.
        partly_new: names of tensors of which some rows are the model's own.
        moved: whether classes or queries are others than the file's, so that its training state would not
            belong to them.
    """

    checkpoint: dict[str, Any]
    found: str = ""
    notes: list[str] = field(default_factory=list)
    partly_new: set[str] = field(default_factory=set)
    moved: bool = False


def prepare(
    checkpoint: Mapping[str, Any],
    source: str,
    model: Mapping[str, Tensor],
    guess_names: bool = False,
    numbering: Callable[[], Numbering] = Numbering,
    metadata: Callable[[], Mapping[str, Any]] | None = None,
    keep_classes: bool = False,
) -> Prepared:
    """Bring a checkpoint of any known layout to a model's names, classes and queries.

    Args:
        checkpoint: what :func:`~.safe_load.read_checkpoint` returned.
        source: how the user called the file, for messages.
        model: the model's state dict, which stays as it is.
        guess_names: let Detectron2 guess which names belong together, where they are of no known layout.
        numbering: gives what is known of the class rows of other programs; called where it matters.
        metadata: gives the names of the model's classes, as in our checkpoints; called where it matters.
        keep_classes: leave the file's classes as they are where their number is the model's.

    Raises:
        CheckpointError: there are no weights, or of no known layout, or of a model with other dimensions.
    """
    weights, key = weights_of(checkpoint, source), weights_key(checkpoint)
    rest = {} if key is None else {name: item for name, item in checkpoint.items() if name != key}
    if guess_names:
        rest = {**rest, HEURISTICS: True}
    is_detr = all(name in model for name in DETECTOR)
    result, rule = _named({**rest, "model": weights}, source, model, is_detr, numbering)
    if result.checkpoint.get(HEURISTICS):
        return result
    weights = OrderedDict(result.checkpoint["model"])
    _refuse(source, wrong_kinds(weights, model), "Save its weights as plain floating-point tensors")
    fitted = Fitted()
    if is_detr:
        classes = _classes(result.checkpoint.get("metadata"), weights)
        own = None
        kept = keep_classes and classes is not None and len(classes) + 1 == len(model[HEAD[0]])
        if classes is not None and metadata is not None and not kept:
            own = _classes(metadata(), model)
        fitted = fit(weights, model, classes, own, in_order=rule == CATEGORY_IDS)
        _refuse(source, wrong_shapes(weights, model), "Set MODEL.RESNETS and MODEL.DETR as they were for it")
    # Without versions Detectron2's batch norms would reset statistics that a file of parts has not.
    copy_versions(model, weights)
    copy_versions(result.checkpoint["model"], weights)
    return replace(
        result,
        checkpoint={**result.checkpoint, "model": weights},
        notes=[*result.notes, *fitted.notes, *_not_finite(weights)],
        partly_new=fitted.partly_new,
        moved=fitted.moved,
    )


def _named(
    checkpoint: dict[str, Any],
    source: str,
    model: Mapping[str, Tensor],
    is_detr: bool,
    numbering: Callable[[], Numbering],
) -> tuple[Prepared, str]:
    """The checkpoint with the model's names, and the rule that the rows of its class head followed."""

    def is_part(names: Collection[str]) -> bool:
        return _own_prefix(names, model) is not None

    weights, _ = unwrap(checkpoint["model"], is_part, source)
    # Names that are ours already leave nothing to guess, whatever the file says.
    as_named = {name: item for name, item in checkpoint.items() if name != HEURISTICS}
    prefix = _own_prefix(weights, model)
    if prefix is not None:
        return Prepared({**as_named, "model": _under(prefix, weights)}), ""
    try:
        result = convert(checkpoint, source, numbering)
    except UnknownLayout:
        # Other models than ours, and names to be guessed, are Detectron2's matter.
        if checkpoint.get(HEURISTICS) or (not is_detr and checkpoint["model"].keys() & model.keys()):
            return Prepared(checkpoint), ""
        prefix = _backbone_prefix(checkpoint["model"], model)
        if prefix is None:
            raise
        return Prepared({**as_named, "model": _under(prefix, checkpoint["model"])}), ""
    if result.source == OURS.name:
        own = {**as_named, "model": OrderedDict(result.weights)} if is_detr else checkpoint
        beside = [f"Beside the model, left over: {by_module(result.beside)}."] if result.beside else []
        return Prepared(own, notes=beside), ""
    weights, description = result.weights, LAYOUTS[result.source].description
    if not any(name in weights for name in DETECTOR):
        weights = place_backbone(weights, model)
    if not weights:
        raise CheckpointError(
            f"checkpoint {source} holds {description}, but the model has no ResNet of "
            "Detectron2's to load it into, or several"
        )
    found = (
        f"{source} holds {description}: {len(result.mapped)} of its tensors have a place here, left are "
        f"{by_module(result.left) or 'none'}. {' '.join(result.facts)}"
    )
    return Prepared({"model": weights, "metadata": result.metadata}, found.strip(), result.notes), result.rule


def _refuse(source: str, wrong: list[str], remedy: str) -> None:
    """End with what is wrong with the weights, if anything is."""
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"checkpoint {source} is of a model with other dimensions, so nothing was loaded: "
            f"{'; '.join(wrong[:3])}{more}. {remedy}"
        )


def _own_prefix(names: Iterable[str], model: Collection[str]) -> str | None:
    """What lacks before the names of a part of the model, counters of batch norms aside; None: it is none."""
    counted = [name for name in names if not name.endswith(_COUNTER)]
    return next((p for p in ("", _BACKBONE) if counted and all(p + name in model for name in counted)), None)


def _backbone_prefix(names: Iterable[str], model: Collection[str]) -> str | None:
    """What lacks before the names of a backbone that has more, or other, stages than the model's."""
    for prefix in ("", _BACKBONE):
        full = {prefix + name for name in names}
        if _STEM in full and _STEM in model and all(name.startswith(_BACKBONE) for name in full):
            return prefix
    return None


def _under(prefix: str, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return OrderedDict((prefix + name, value) for name, value in weights.items()) if prefix else weights


def _classes(metadata: object, weights: Mapping[str, Tensor]) -> list[str] | None:
    """The names of the classes of a model or file, where its metadata has them."""
    if HEAD[0] not in weights or not weights[HEAD[0]].ndim or not isinstance(metadata, Mapping):
        return None
    return class_list(metadata, len(weights[HEAD[0]]) - 1)


def _not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    broken = [name for name, x in weights.items() if x.is_floating_point() and not torch.isfinite(x).all()]
    return [f"Not all numbers are finite in {by_module(broken)}."] if broken else []


def by_module(names: Iterable[str]) -> str:
    """Names counted by their modules, e.g. "backbone.res5 (12), class_embed (2)"."""
    depth = {"backbone": 2, "transformer": 2}
    counts = Counter(".".join(name.split(".")[: depth.get(name.split(".")[0], 1)]) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in sorted(counts.items()))
