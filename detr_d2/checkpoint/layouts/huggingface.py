"""Layouts of Hugging Face's ``DetrForObjectDetection`` and ``DetrForSegmentation``.

The library has used two backbones, timm's ResNet (torchvision's names) and its own, and has renamed
modules over time; its files keep the first names, which are listed first, while the state dicts of
version 5 have the later ones.
"""

from __future__ import annotations

from .layout import Layout
from .names import Names, under
from .resnet import HUGGING_FACE, TORCHVISION

# Of modules and of the same modules in version 5.
_BACKBONE, _BACKBONE_5 = "model.backbone.conv_encoder.model", "model.backbone.model"
_POSITION, _POSITION_5 = "model.backbone.position_embedding", "model.position_embedding"


def _attention(theirs: str, ours: str) -> Names:
    return tuple((f"{theirs}.{part}_proj", f"{ours}.{part}_proj") for part in ("q", "k", "v", "out"))


def _layers(half: str, attentions: Names, norms: tuple[str, ...]) -> Names:
    theirs, ours = f"model.{half}.layers.#", f"transformer.{half}.layers.#"
    return (
        *(entry for name, own in attentions for entry in _attention(f"{theirs}.{name}", f"{ours}.{own}")),
        *((f"{theirs}.{norm}", f"{ours}.norm{i}") for i, norm in enumerate(norms, 1)),
        *((f"{theirs}.fc{i}", f"{ours}.linear{i}") for i in (1, 2)),
    )


def _position(module: str) -> Names:
    return (
        (f"{module}.row_embeddings", "position_encoding.row_embed"),
        (f"{module}.column_embeddings", "position_encoding.col_embed"),
    )


_SELF = ("self_attn", "self_attn")
_CROSS = ("encoder_attn", "multihead_attn")

_DETECTOR: Names = (
    ("model.input_projection", "input_proj"),
    ("model.query_position_embeddings", "query_embed"),
    *_layers("encoder", (_SELF,), ("self_attn_layer_norm", "final_layer_norm")),
    *_layers(
        "decoder", (_SELF, _CROSS), ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
    ),
    ("model.decoder.layernorm", "transformer.decoder.norm"),
    ("class_labels_classifier", "class_embed"),
    ("bbox_predictor", "bbox_embed"),
    *_position(_POSITION),
)

_DETECTOR_5: Names = (
    *(
        (f"model.{half}.layers.#.{theirs}.o_proj", f"transformer.{half}.layers.#.{ours}.out_proj")
        for half, theirs, ours in (("encoder", *_SELF), ("decoder", *_SELF), ("decoder", *_CROSS))
    ),
    *(
        (f"model.{half}.layers.#.mlp.fc{i}", f"transformer.{half}.layers.#.linear{i}")
        for half in ("encoder", "decoder")
        for i in (1, 2)
    ),
    *_position(_POSITION_5),
)

_MASK_HEAD: Names = (("mask_head", "mask_head"), ("bbox_attention", "bbox_attention"))

_MASK_HEAD_5: Names = (
    *((f"bbox_attention.{part}_proj", f"bbox_attention.{part}_linear") for part in "qk"),
    *((f"mask_head.conv{i}.conv", f"mask_head.lay{i}") for i in (1, 2)),
    *((f"mask_head.conv{i}.norm", f"mask_head.gn{i}") for i in (1, 2)),
    *((f"mask_head.fpn_stages.{i}.fpn_adapter", f"mask_head.adapter{i + 1}") for i in range(3)),
    *((f"mask_head.fpn_stages.{i}.refine.conv", f"mask_head.lay{i + 3}") for i in range(3)),
    *((f"mask_head.fpn_stages.{i}.refine.norm", f"mask_head.gn{i + 3}") for i in range(3)),
    ("mask_head.output_conv", "mask_head.out_lay"),
)


def _layout(name: str, description: str, resnet: Names) -> Layout:
    return Layout(
        name=name,
        description=description,
        names=(*under(_BACKBONE, "backbone", resnet), *_DETECTOR, *_MASK_HEAD),
        aliases=(*under(_BACKBONE_5, "backbone", resnet), *_DETECTOR_5, *_MASK_HEAD_5),
        segmentation_prefix="detr.",
        separate_attention=True,
        category_ids=True,
        bare=True,
    )


HUGGING_FACE_TIMM = _layout("huggingface", "Hugging Face's DETR with timm's backbone", TORCHVISION)
HUGGING_FACE_RESNET = _layout("huggingface-resnet", "Hugging Face's DETR with its own backbone", HUGGING_FACE)
