"""The layouts of weights that are known: tables of the names in them, beside ours."""

from __future__ import annotations

from collections.abc import Iterable

from .layout import DETECTOR, OURS_NAME, Layout, Names, under
from .variants import detrex_variants, hugging_face_variants

# Inside a ResNet: timm's names are torchvision's.
_TORCHVISION: Names = (
    ("conv1", "stem.conv1"),
    ("bn1", "stem.conv1.norm"),
    ("layer#.#.conv#", "res#+1.#.conv#"),
    ("layer#.#.bn#", "res#+1.#.conv#.norm"),
    ("layer#.#.downsample.0", "res#+1.#.shortcut"),
    ("layer#.#.downsample.1", "res#+1.#.shortcut.norm"),
)
_DETECTRON2: Names = (("stem", "stem"), ("res#", "res#"))
_HUGGING_FACE: Names = (
    ("embedder.embedder.convolution", "stem.conv1"),
    ("embedder.embedder.normalization", "stem.conv1.norm"),
    ("encoder.stages.#.layers.#.layer.#.convolution", "res#+2.#.conv#+1"),
    ("encoder.stages.#.layers.#.layer.#.normalization", "res#+2.#.conv#+1.norm"),
    ("encoder.stages.#.layers.#.shortcut.convolution", "res#+2.#.shortcut"),
    ("encoder.stages.#.layers.#.shortcut.normalization", "res#+2.#.shortcut.norm"),
)

# Of ImageNet; they become the backbone of a detector.
_TORCHVISION_RESNET = Layout(
    name="torchvision",
    description="torchvision's ResNet",
    names=under("", "backbone.", _TORCHVISION),
    required=("backbone.stem.conv1.weight", "backbone.res2.0.conv1.weight", "backbone.res5.0.conv1.weight"),
)
_DETECTRON2_RESNET = Layout(
    name="detectron2-imagenet",
    description="a ResNet of Detectron2's names",
    names=under("", "backbone.", _DETECTRON2),
    required=("backbone.stem.conv1.weight", "backbone.res2.0.conv1.weight"),
)

# Our names are the published ones outside of the backbone.
_HEADS: Names = tuple((name, name) for name in ("input_proj", "query_embed", "class_embed", "bbox_embed"))
_OWN: Names = (*_HEADS, *((name, name) for name in ("transformer", "mask_head", "bbox_attention")))

OURS = Layout(
    name=OURS_NAME,
    description="detr_d2's own",
    names=(*_OWN, ("backbone", "backbone"), ("position_encoding", "position_encoding")),
    required=("backbone", *DETECTOR),
)
_PUBLISHED = Layout(
    name="published",
    description="published DETR",
    names=(*under("backbone.0.body.", "backbone.", _TORCHVISION), ("backbone.1", "position_encoding"), *_OWN),
    nested=True,
    category_ids=True,
)
_WRAPPER = Layout(
    name="wrapper",
    description="the official Detectron2 wrapper of DETR",
    names=(("backbone.0.backbone", "backbone"), ("backbone.1", "position_encoding"), *_OWN),
    required=("backbone", *DETECTOR),
    prefix="detr.",
    nested=True,
)

_DETREX_LAYER: Names = (
    ("attentions.0.attn", "self_attn"),
    ("attentions.1.attn", "multihead_attn"),
    ("norms.#", "norm#+1"),
    ("ffns.0.layers.0.0", "linear1"),
    ("ffns.0.layers.1", "linear2"),
)
_DETREX = Layout(
    name="detrex",
    description="detrex's DETR",
    names=(
        *under("backbone.", "backbone.", _DETECTRON2),
        ("position_embedding", "position_encoding"),
        *under("transformer.encoder.layers.#.", "transformer.encoder.layers.#.", _DETREX_LAYER),
        *under("transformer.decoder.layers.#.", "transformer.decoder.layers.#.", _DETREX_LAYER),
        ("transformer.encoder.post_norm_layer", "transformer.encoder.norm"),
        ("transformer.decoder.post_norm_layer", "transformer.decoder.norm"),
        *_HEADS,
    ),
    aliases=under("backbone.body.", "backbone.", _TORCHVISION),  # in its DC5 models
)

# Hugging Face has used two backbones, timm's ResNet and its own, and has renamed modules over time; its
# files keep the first names, while the state dicts of version 5 have the later ones.
_LAYER: Names = (("self_attn", "self_attn"), ("self_attn_layer_norm", "norm1"), ("fc#", "linear#"))
_CROSS: Names = (("encoder_attn", "multihead_attn"), ("encoder_attn_layer_norm", "norm2"))
_LAYER_5: Names = (
    ("self_attn.o_proj", "self_attn.out_proj"),
    ("encoder_attn.o_proj", "multihead_attn.out_proj"),
    ("mlp.fc#", "linear#"),
)
_POSITION: Names = (("row_embeddings", "row_embed"), ("column_embeddings", "col_embed"))
_FIRST_NAMES: Names = (
    ("model.input_projection", "input_proj"),
    ("model.query_position_embeddings", "query_embed"),
    *under("model.encoder.layers.#.", "transformer.encoder.layers.#.", _LAYER),
    ("model.encoder.layers.#.final_layer_norm", "transformer.encoder.layers.#.norm2"),
    *under("model.decoder.layers.#.", "transformer.decoder.layers.#.", (*_LAYER, *_CROSS)),
    ("model.decoder.layers.#.final_layer_norm", "transformer.decoder.layers.#.norm3"),
    ("model.decoder.layernorm", "transformer.decoder.norm"),
    ("class_labels_classifier", "class_embed"),
    ("bbox_predictor", "bbox_embed"),
    *under("model.backbone.position_embedding.", "position_encoding.", _POSITION),
    ("mask_head", "mask_head"),
    ("bbox_attention", "bbox_attention"),
)
_LATER_NAMES: Names = (
    *under("model.encoder.layers.#.", "transformer.encoder.layers.#.", _LAYER_5),
    *under("model.decoder.layers.#.", "transformer.decoder.layers.#.", _LAYER_5),
    *under("model.position_embedding.", "position_encoding.", _POSITION),
    ("bbox_attention.q_proj", "bbox_attention.q_linear"),
    ("bbox_attention.k_proj", "bbox_attention.k_linear"),
    ("mask_head.conv#.conv", "mask_head.lay#"),
    ("mask_head.conv#.norm", "mask_head.gn#"),
    ("mask_head.fpn_stages.#.fpn_adapter", "mask_head.adapter#+1"),
    ("mask_head.fpn_stages.#.refine.conv", "mask_head.lay#+3"),
    ("mask_head.fpn_stages.#.refine.norm", "mask_head.gn#+3"),
    ("mask_head.output_conv", "mask_head.out_lay"),
)


def _hugging_face(name: str, whose: str, resnet: Names) -> Layout:
    return Layout(
        name=name,
        description=f"Hugging Face's DETR with {whose} backbone",
        names=(*under("model.backbone.conv_encoder.model.", "backbone.", resnet), *_FIRST_NAMES),
        aliases=(*under("model.backbone.model.", "backbone.", resnet), *_LATER_NAMES),
        nested=True,
        separate_attention=True,
        category_ids=True,
        bare=True,
    )


_TIMM = _hugging_face("huggingface", "timm's", _TORCHVISION)
_OWN_RESNET = _hugging_face("huggingface-resnet", "its own", _HUGGING_FACE)

# By name, in the order in which files are compared with them: after those that have the same names and more.
LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        _PUBLISHED,
        _WRAPPER,
        *hugging_face_variants(_TIMM, "timm's"),
        *hugging_face_variants(_OWN_RESNET, "its own"),
        *detrex_variants(_DETREX),
        _TIMM,
        _OWN_RESNET,
        _DETREX,
        OURS,
        _TORCHVISION_RESNET,
        _DETECTRON2_RESNET,
    )
}


def find_layout(names: Iterable[str]) -> Layout | None:
    """The layout that tensors of these names are in, or None."""
    names = list(names)
    return next((layout for layout in LAYOUTS.values() if layout.missing(names) is None), None)
