"""What a layout is: a table of names, and how attention and class rows are stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

# Module names in a foreign layout and in ours; "#" stands for a number, the same in both but for what is
# added to it: "norms.#" and "norm#+1" are "norms.0" and "norm1".
Names = tuple[tuple[str, str], ...]

# Tensors by name.
Weights = Mapping[str, Tensor]

OURS_NAME = "detr_d2"

# Our names of the class head, a row for each class and one more for no-object.
HEAD = ("class_embed.weight", "class_embed.bias")

# Our names that every DETR has, and no other detector all of them.
DETECTOR = (
    "input_proj.weight",
    "query_embed.weight",
    "transformer.decoder.layers.0.multihead_attn.out_proj.weight",
    HEAD[0],
)

# Our attention layers keep the three projections in one tensor, in this order.
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_PROJECTION = re.compile(r"(.*_attn)\.[qkv]_proj\.(weight|bias)$")
_PACKED = re.compile(r"(.*_attn)\.in_proj_(weight|bias)")
_NUMBER = re.compile(r"#(?:\+(\d))?")
_MASK_HEAD = ("mask_head.", "bbox_attention.")
# Tensors inside modules that other programs have, too: of the bias of decoder "rpb", which none of them has,
# and of other decoders than DETR's, of which programs for DETR alone know nothing.
_BIAS = re.compile(r"\.multihead_attn\.bias\.")
_VARIANT = re.compile(r"\.(query_scale|ref_point_head|ref_anchor_head)\.")
# What other programs keep and a detector of ours does not miss: classifiers of ImageNet, counters of batch
# norms, class weights of the loss.
_UNUSED = re.compile(r"(^|\.)(fc\.(weight|bias)|num_batches_tracked|criterion\.empty_weight)$")


def renamer(table: Iterable[tuple[str, str]]) -> Callable[[str], str | None]:
    """A function that renames a tensor after the module that it belongs to; None where the table has none.

    A tensor's name begins with the name of its module; of several entries that fit, the longest counts,
    and of equally long ones the first.

    Args:
        table: old and new names of modules.
    """
    ordered = sorted(table, key=lambda entry: (entry[0].count("."), len(entry[0])), reverse=True)
    patterns = []
    for old, new in ordered:
        texts, added = _NUMBER.split(old)[::2], [int(number or 0) for number in _NUMBER.split(old)[1::2]]
        pattern = re.compile(r"(\d+)".join(re.escape(text) for text in texts) + r"(?=\.|$)")
        patterns.append((pattern, added, new))

    def rename(name: str) -> str | None:
        for pattern, added, new in patterns:
            if match := pattern.match(name):
                numbers = (int(number) - more for number, more in zip(match.groups(), added, strict=True))
                return _NUMBER.sub(lambda n: str(next(numbers) + int(n[1] or 0)), new) + name[match.end() :]  # noqa: B023
        return None

    return rename


def under(theirs: str, ours: str, names: Names) -> Names:
    """The same table for modules that lie inside others, ``theirs`` and ``ours`` with a dot at their ends."""
    return tuple((theirs + name, ours + own) for name, own in names)


@dataclass
class Conversion:
    """The outcome of a conversion from one layout to another.

    Attributes:
        source: name of the layout that the weights were in.
        weights: by name in the layout that they are in now.
        metadata: names of the classes under ``thing_classes`` and ``stuff_classes``, where known.
        mapped: from each name in the source to its name in the target, or its names with commas between.
        left: what the source holds and the target has no place for.
        added: what the target holds and the source does not, in words.
        no_object: the last row of the class head is for no-object.
        first_classes: the rows of the class head are those of the first of the model's classes.
        facts: a sentence for what was done to the class head, as it was known to be right.
        notes: a sentence for what was done so, and may be wrong.
    """

    source: str
    weights: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    mapped: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    no_object: bool = True
    first_classes: bool = False
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
        prefix: before all names.
        nested: models with a mask head have "detr." before the names of the detector in them.
        separate_attention: queries', keys' and values' projections are three tensors, not one.
        category_ids: its programs number the rows of the class head by category ids, or may do so.
        bare: its files are state dicts, without a key ``model``.
        no_object: its class head ends in a row for no-object.
        split: our names of two tensors, of which the second is the last row of the first there; None: none.
    """

    name: str
    description: str
    names: Names
    aliases: Names = ()
    required: tuple[str, ...] = ("backbone.stem.conv1.weight", *DETECTOR)
    prefix: str = ""
    nested: bool = False
    separate_attention: bool = False
    category_ids: bool = False
    bare: bool = False
    no_object: bool = True
    split: tuple[str, str] | None = None

    @property
    def is_detector(self) -> bool:
        """Whether it has whole detectors; weights can be converted to it, too."""
        return set(DETECTOR) <= set(self.required)

    @cached_property
    def _to_ours(self) -> Callable[[str], str | None]:
        return renamer((*self.names, *self.aliases))

    @cached_property
    def _to_theirs(self) -> Callable[[str], str | None]:
        return renamer((ours, theirs) for theirs, ours in self.names)

    def missing(self, names: Iterable[str]) -> str | None:
        """What tensors of these names lack to be of this layout, in its own words; None if nothing."""
        found = {f"{self._our_name(name)}." for name in names}
        for required in self.required:
            if not any(name.startswith(f"{required}.") for name in found):
                return self.prefix + (self._to_theirs(required) or required)
        return None

    def to_ours(self, weights: Weights) -> Conversion:
        """Convert weights of this layout to ours; the rows of the class head stay as they are.

        Raises:
            LookupError, RuntimeError: the three projections of an attention layer do not belong together.
        """
        result, separate = Conversion(self.name, no_object=self.no_object), {}
        for name, value in weights.items():
            ours = self._our_name(name)
            if ours is None or _UNUSED.search(name):
                result.left.append(name)
            else:
                separate[ours] = value
                packed = _PROJECTION.sub(r"\1.in_proj_\2", ours) if self.separate_attention else ours
                result.mapped[name] = packed
        for name in dict.fromkeys(result.mapped.values()):
            parts = [separate[part] for part in _projections(name)] if name not in separate else []
            result.weights[name] = torch.cat(parts) if parts else separate[name]
        if self.split and self.split[0] in result.weights:
            table = result.weights[self.split[0]]
            result.weights |= zip(self.split, (table[:-1].clone(), table[-1].clone()), strict=True)
        return result

    def from_ours(self, weights: Weights) -> Conversion:
        """Convert weights of our layout to this one."""
        result = Conversion(OURS_NAME, no_object=self.no_object)
        has_masks = any(name.startswith(_MASK_HEAD) for name in weights)
        weights = dict(weights)
        if self.split and set(self.split) <= weights.keys():
            last = weights.pop(self.split[1])
            weights[self.split[0]] = torch.cat([weights[self.split[0]], last[None]])
        for name, value in weights.items():
            parts = _projections(name) if self.separate_attention else []
            within = "detr." if self.nested and has_masks and not name.startswith(_MASK_HEAD) else ""
            theirs = [self._to_theirs(part) for part in parts or [name]]
            if None in theirs or self._is_strange(name):
                result.left.append(name)
                continue
            full = [f"{self.prefix}{within}{part}" for part in theirs]
            pieces = [piece.clone() for piece in value.chunk(3)] if parts else [value]
            result.mapped[name] = ", ".join(full)
            result.weights.update(zip(full, pieces, strict=True))
        return result

    def _is_strange(self, name: str) -> bool:
        """Whether it is a tensor of ours that its programs would leave out without a word."""
        if self.name == OURS_NAME:
            return False
        return bool(_BIAS.search(name) or (self.no_object and _VARIANT.search(name)))

    def _our_name(self, name: str) -> str | None:
        name = name.removeprefix(self.prefix)
        return self._to_ours(name.removeprefix("detr.") if self.nested else name)


def _projections(packed: str) -> list[str]:
    """The names of the three projections in one tensor of an attention layer; empty for other tensors."""
    match = _PACKED.fullmatch(packed)
    return [f"{match[1]}.{part}.{match[2]}" for part in _PROJECTIONS] if match else []
