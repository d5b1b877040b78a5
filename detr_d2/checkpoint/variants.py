"""Layouts of Conditional DETR, DAB-DETR and DN-DETR: what they have beside DETR of the same program.

Their class heads have no row for no-object. Names of Hugging Face's are those of its files and, as aliases,
those of version 5, where they differ.
"""

from __future__ import annotations

from dataclasses import replace

from .layout import Layout, Names, under

_DECODER = "transformer.decoder."
_LAYERS = f"{_DECODER}layers.#."
_POINTS = "query_embed.ref_point_head"
_ANCHORS = ("transformer.encoder.query_scale", f"{_DECODER}ref_anchor_head")
_LABELS = "auxiliary.denoising.label"


def hugging_face_variants(detr: Layout, whose: str) -> tuple[Layout, ...]:
    """Conditional DETR's and DAB-DETR's layout.

    Args:
        detr: the layout of DETR with the same backbone.
        whose: the backbone is, in words.
    """
    conditional = replace(
        detr,
        name=f"{detr.name}-conditional",
        description=f"Hugging Face's Conditional DETR with {whose} backbone",
        names=(*detr.names, *_HF_CONDITIONAL),
        aliases=(*detr.aliases, *_HF_CONDITIONAL_5),
        required=(*detr.required, _POINTS),
        no_object=False,
    )
    dab = replace(
        detr,
        name=f"{detr.name}-dab",
        description=f"Hugging Face's DAB-DETR with {whose} backbone",
        names=(*(pair for pair in detr.names if pair[1].startswith("backbone.")), *_HF_DAB),
        aliases=(),
        required=(*detr.required, *_ANCHORS),
        nested=False,
        no_object=False,
    )
    return conditional, dab


def detrex_variants(detr: Layout) -> tuple[Layout, ...]:
    """Conditional DETR's, DN-DETR's and DAB-DETR's layout, beside that of DETR."""
    base = replace(detr, names=(*detr.names, *_DETREX), no_object=False)
    conditional = replace(
        base,
        name="detrex-conditional",
        description="detrex's Conditional DETR",
        names=(*base.names, (f"{_DECODER}ref_point_head", _POINTS)),
        required=(*base.required, _POINTS),
    )
    dab = replace(
        base,
        name="detrex-dab",
        description="detrex's DAB-DETR",
        names=(*(pair for pair in base.names if pair[1] != "query_embed"), *_DETREX_DAB),
        required=(*base.required, *_ANCHORS),
    )
    # What matched queries start from is the last label, for no object.
    dn = replace(
        dab,
        name="detrex-dn",
        description="detrex's DN-DETR",
        names=(*dab.names, ("denoising_generator.label_encoder", _LABELS)),
        required=(*dab.required, _LABELS),
        split=(f"{_LABELS}.weight", "query_embed.content"),
    )
    return conditional, dn, dab


def _projections(theirs: str, query: str, key: str, value: str, ours: str) -> Names:
    """Of content and position by themselves: "query_content_proj" or "sa_qcontent_proj"."""
    kinds = [(query, "q_", kind) for kind in ("content", "pos", "pos_sine")]
    kinds += [(key, "k_", kind) for kind in ("content", "pos")]
    names = tuple((f"{theirs}{their}{kind}_proj", f"{ours}.{own}{kind}_proj") for their, own, kind in kinds)
    return (*names, (f"{theirs}{value}_proj", f"{ours}.v_content_proj"))


_HF_LAYERS = "model.decoder.layers.#."
_HF_CONDITIONAL: Names = (
    ("model.decoder.query_scale", f"{_DECODER}query_scale"),
    ("model.decoder.ref_point_head", _POINTS),
    *under(_HF_LAYERS, _LAYERS, _projections("sa_", "q", "k", "v", "self_attn")),
    *under(_HF_LAYERS, _LAYERS, _projections("ca_", "q", "k", "v", "multihead_attn")),
)
_HF_CONDITIONAL_5: Names = (
    (f"{_HF_LAYERS}self_attn.v_proj", f"{_LAYERS}self_attn.v_content_proj"),
    (f"{_HF_LAYERS}encoder_attn.v_proj", f"{_LAYERS}multihead_attn.v_content_proj"),
)


def _hf_attention(name: str, ours: str, norm: str) -> Names:
    return (
        *_projections(f"{name}.{name}_", "query_", "key_", "value", ours),
        (f"{name}.{name}.output_proj", f"{ours}.out_proj"),
        (f"{name}.{name}_layer_norm", norm),
    )


_HF_DAB_ENCODER: Names = (
    ("self_attn", "self_attn"),
    ("self_attn_layer_norm", "norm1"),
    ("final_layer_norm", "norm2"),
    ("activation_fn", "activation"),
    ("fc#", "linear#"),
)
_HF_DAB_DECODER: Names = (
    *_hf_attention("self_attn", "self_attn", "norm1"),
    *_hf_attention("cross_attn", "multihead_attn", "norm2"),
    ("mlp.final_layer_norm", "norm3"),
    ("mlp.activation_fn", "activation"),
    ("mlp.fc#", "linear#"),
)
_HF_DAB: Names = (
    ("model.input_projection", "input_proj"),
    ("model.query_refpoint_embeddings", "query_embed"),
    ("model.encoder.query_scale", "transformer.encoder.query_scale"),
    *under("model.encoder.layers.#.", "transformer.encoder.layers.#.", _HF_DAB_ENCODER),
    *((f"model.decoder.{name}", f"{_DECODER}{name}") for name in ("query_scale", "ref_point_head")),
    ("model.decoder.ref_anchor_head", f"{_DECODER}ref_anchor_head"),
    *under(_HF_LAYERS, _LAYERS, _HF_DAB_DECODER),
    ("model.decoder.layernorm", f"{_DECODER}norm"),
    ("class_embed", "class_embed"),
    ("bbox_predictor", "bbox_embed"),
)

_DETREX: Names = (
    *under(_LAYERS, _LAYERS, _projections("attentions.0.", "query_", "key_", "value", "self_attn")),
    *under(_LAYERS, _LAYERS, _projections("attentions.1.", "query_", "key_", "value", "multihead_attn")),
    (f"{_LAYERS}attentions.0.out_proj", f"{_LAYERS}self_attn.out_proj"),
    (f"{_LAYERS}attentions.1.out_proj", f"{_LAYERS}multihead_attn.out_proj"),
    (f"{_DECODER}query_scale", f"{_DECODER}query_scale"),
)
_DETREX_DAB: Names = (
    ("anchor_box_embed", "query_embed"),
    *((name, name) for name in (*_ANCHORS, f"{_DECODER}ref_point_head")),
    *(
        (f"{layers}ffns.0.layers.0.1", f"{layers}activation")
        for layers in (_LAYERS, "transformer.encoder.layers.#.")
    ),
)
