"""Layouts of the published DETR, of its Detectron2 wrapper, and of detrex."""

from __future__ import annotations

from .layout import DETECTOR, OURS_NAME, Layout
from .names import Names, under
from .resnet import DETECTRON2, TORCHVISION

# Our names are the published ones outside of the backbone.
_OWN: Names = tuple(
    (name, name) for name in ("input_proj", "query_embed", "transformer", "class_embed", "bbox_embed")
)
_MASK_HEAD: Names = (("mask_head", "mask_head"), ("bbox_attention", "bbox_attention"))
_POSITION: Names = (("backbone.1", "position_encoding"),)

OURS = Layout(
    name=OURS_NAME,
    description="detr_d2's own",
    names=(*_OWN, *_MASK_HEAD, ("backbone", "backbone"), ("position_encoding", "position_encoding")),
    required=("backbone", *DETECTOR),
)

PUBLISHED = Layout(
    name="published",
    description="published DETR",
    names=(*under("backbone.0.body", "backbone", TORCHVISION), *_POSITION, *_OWN, *_MASK_HEAD),
    segmentation_prefix="detr.",
    category_ids=True,
)

WRAPPER = Layout(
    name="wrapper",
    description="the official Detectron2 wrapper of DETR",
    names=(("backbone.0.backbone", "backbone"), *_POSITION, *_OWN, *_MASK_HEAD),
    required=("backbone", *DETECTOR),
    detector_prefix="detr.",
    segmentation_prefix="detr.detr.",
    mask_prefix="detr.",
)


def _detrex_layers() -> Names:
    names = [
        ("transformer.encoder.post_norm_layer", "transformer.encoder.norm"),
        ("transformer.decoder.post_norm_layer", "transformer.decoder.norm"),
    ]
    for half, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "multihead_attn"))):
        layer = f"transformer.{half}.layers.#"
        names += [
            (f"{layer}.attentions.{i}.attn", f"{layer}.{attention}") for i, attention in enumerate(attentions)
        ]
        names += [(f"{layer}.norms.{i}", f"{layer}.norm{i + 1}") for i in range(len(attentions) + 1)]
        names += [(f"{layer}.ffns.0.layers.0.0", f"{layer}.linear1")]
        names += [(f"{layer}.ffns.0.layers.1", f"{layer}.linear2")]
    return tuple(names)


DETREX = Layout(
    name="detrex",
    description="detrex's DETR",
    names=(
        *under("backbone", "backbone", DETECTRON2),
        ("position_embedding", "position_encoding"),
        *_detrex_layers(),
        *((theirs, ours) for theirs, ours in _OWN if theirs != "transformer"),
    ),
    aliases=under("backbone.body", "backbone", TORCHVISION),  # in its DC5 models
)
