"""What a layout is: a table of names, and how attention and class rows are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .names import Names, NameTable, has_module
from .rows import HEAD

OURS_NAME = "detr_d2"

# Our attention layers keep the three projections in one tensor, in this order.
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_MASK_HEAD = ("mask_head.", "bbox_attention.")
# What other programs keep and a detector of ours does not miss: classifiers of ImageNet, counters of batch
# norms, class weights of the loss.
_UNUSED = re.compile(r"(^|\.)(fc\.(weight|bias)|num_batches_tracked|criterion\.empty_weight)$")

# Our names that every DETR has, and no other detector all of them.
DETECTOR = (
    "input_proj.weight",
    "query_embed.weight",
    "transformer.decoder.layers.0.multihead_attn.out_proj.weight",
    "class_embed.weight",
)


@dataclass
class Conversion:
    """The outcome of a conversion from one layout to another.

    Attributes:
        source: name of the layout that the weights were in.
        target: name of the layout that they are in now.
        weights: by name in the target layout.
        metadata: names of the classes under ``thing_classes`` and ``stuff_classes``, where known.
        mapped: from each name in the source to its name in the target, or its names with commas between.
        left: what the source holds and the target has no place for.
        added: what the target holds and the source does not, in words.
        beside: what lies beside the model in the source; it is in ``left``, too.
        by_ids: the rows of the class head are as in the source, which may number them by category ids.
        rule: by which of :data:`~detr_d2.checkpoint.numbering.RULES` they were brought to classes.
        facts: a sentence for what was done so, as it was known to be right.
        notes: a sentence for what was done so, and may be wrong.
    """

    source: str
    target: str
    weights: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    mapped: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    by_ids: bool = False
    rule: str = ""
    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """How a program names and orders the weights of a DETR, or of a backbone for one.

    Attributes:
        name: what the registry and the commands call it.
        description: for messages, "published DETR".
        names: modules in this layout and in ours, without prefixes.
        aliases: other names of the same modules, which are read and never written.
        required: our names of modules and tensors that tell a file of this layout from all others.
        detector_prefix: before all names of a model without a mask head.
        segmentation_prefix: before the detector's names in a model with a mask head.
        mask_prefix: before the mask head's own names.
        separate_attention: queries', keys' and values' projections are three tensors, not one.
        category_ids: its programs number the rows of the class head by category ids, or may do so.
        bare: its files are state dicts, without a key ``model``.
        writable: weights can be converted to it, too.
    """

    name: str
    description: str
    names: Names
    aliases: Names = ()
    required: tuple[str, ...] = ("backbone.stem.conv1.weight", *DETECTOR)
    detector_prefix: str = ""
    segmentation_prefix: str = ""
    mask_prefix: str = ""
    separate_attention: bool = False
    category_ids: bool = False
    bare: bool = False
    writable: bool = True

    @cached_property
    def _table(self) -> NameTable:
        return NameTable(self.names, self.aliases)

    def missing(self, names: Iterable[str]) -> str | None:
        """What tensors of these names lack to be of this layout, in its own words; None if nothing."""
        ours = {self._our_name(name) or "" for name in names}
        absent = next((name for name in self.required if not has_module(name, ours)), None)
        return absent and self.detector_prefix + (self._table.to_theirs(absent) or absent)

    def to_ours(self, weights: Mapping[str, Tensor]) -> Conversion:
        """Convert weights of this layout to ours; the rows of the class head stay as they are."""
        result = Conversion(self.name, OURS_NAME, {})
        for name, value in weights.items():
            ours = self._our_name(name)
            if ours is None or _UNUSED.search(name):
                result.left.append(name)
            else:
                result.mapped[name] = ours
                result.weights[ours] = value
        if self.separate_attention:
            renamed = _pack(result.weights)
            result.mapped = {name: renamed.get(ours, ours) for name, ours in result.mapped.items()}
        result.by_ids = self.category_ids and HEAD[0] in result.weights
        return result

    def from_ours(self, weights: Mapping[str, Tensor]) -> Conversion:
        """Convert weights of our layout to this one."""
        result = Conversion(OURS_NAME, self.name, {})
        weights, sources = dict(weights), {name: name for name in weights}
        if self.separate_attention:
            sources.update(_unpack(weights))
        has_masks = any(name.startswith(_MASK_HEAD) for name in weights)
        detector = self.segmentation_prefix if has_masks else self.detector_prefix
        for name, value in weights.items():
            theirs = self._table.to_theirs(name)
            if theirs is None:
                result.left.append(sources[name])
                continue
            theirs = (self.mask_prefix if name.startswith(_MASK_HEAD) else detector) + theirs
            others = result.mapped.get(sources[name])
            result.mapped[sources[name]] = f"{others}, {theirs}" if others else theirs
            result.weights[theirs] = value
        return result

    def _our_name(self, name: str) -> str | None:
        prefixes = {self.segmentation_prefix, self.detector_prefix, self.mask_prefix}
        longest = max((p for p in prefixes if name.startswith(p)), key=len, default="")
        return self._table.to_ours(name[len(longest) :])


def _pack(weights: dict[str, Tensor]) -> dict[str, str]:
    """Join each attention layer's three projections, in place; returns new names by old ones."""
    renamed: dict[str, str] = {}
    for name in [n for n in weights if f"_attn.{_PROJECTIONS[0]}." in n]:
        module, kind = name.split(f".{_PROJECTIONS[0]}.")
        parts = [f"{module}.{part}.{kind}" for part in _PROJECTIONS]
        if all(part in weights for part in parts):
            packed = f"{module}.in_proj_{kind}"
            weights[packed] = torch.cat([weights.pop(part) for part in parts])
            renamed.update(dict.fromkeys(parts, packed))
    return renamed


def _unpack(weights: dict[str, Tensor]) -> dict[str, str]:
    """Undo :func:`_pack`, in place; returns old names by new ones."""
    sources: dict[str, str] = {}
    for packed in [n for n in weights if ".in_proj_" in n]:
        module, kind = packed.split(".in_proj_")
        for part, value in zip(_PROJECTIONS, weights.pop(packed).chunk(3), strict=True):
            weights[f"{module}.{part}.{kind}"] = value.clone()
            sources[f"{module}.{part}.{kind}"] = packed
    return sources
