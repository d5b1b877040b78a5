"""Names and shapes of the published Conditional DETR, DAB-DETR and DN-DETR with ResNet-50, by rule.

detrex's names were read off its code (e244e6c), Hugging Face's off what transformers 5 saves; the backbone of
their files is timm's, which has torchvision's names.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from .key_sets import DIM, FEEDFORWARD, Shapes, published_shapes

QUERIES = 300
KINDS = ("conditional", "dab", "dn")
LABELS = "denoising_generator.label_encoder.weight"


def variant_checkpoint(kind: str, program: str, dilation: bool = False) -> dict[str, Any]:
    """A file like the program's; each tensor is filled with a number of its own.

    Only rows of classes are stored element by element: row i is filled with i.
    """
    shapes = detrex_shapes(kind, dilation) if program == "detrex" else hugging_face_shapes(kind)
    weights: dict[str, Tensor] = {}
    for number, (name, shape) in enumerate(shapes.items()):
        weights[name] = torch.tensor(float(number)).expand(shape)
        if name == LABELS or name.startswith("class_"):
            weights[name] = (
                torch.arange(float(shape[0])).view(-1, *[1] * (len(shape) - 1)).repeat(1, *shape[1:])
            )
    return {"model": weights} if program == "detrex" else weights


def detrex_shapes(kind: str, dilation: bool) -> Shapes:
    """Of one of KINDS; a dilated backbone is torchvision's there, the other one Detectron2's."""
    rename = (lambda name: f"backbone.body.{name}") if dilation else _detectron2_name
    shapes: Shapes = {rename(name): shape for name, shape in _torchvision_backbone().items()}
    anchors = kind != "conditional"
    for half, count in (("encoder", 1), ("decoder", 2)):
        for layer in range(6):
            prefix = f"transformer.{half}.layers.{layer}"
            if half == "encoder":
                shapes |= _packed(f"{prefix}.attentions.0.attn")
            else:
                shapes |= _split(f"{prefix}.attentions.0.", ("query_content", "query_pos"))
                place = ("query_content", "query_pos", "query_pos_sine")
                shapes |= _split(f"{prefix}.attentions.1.", place if layer == 0 else place[::2])
            shapes |= _affine(f"{prefix}.ffns.0.layers.0.0", FEEDFORWARD, DIM)
            shapes |= _affine(f"{prefix}.ffns.0.layers.1", DIM, FEEDFORWARD)
            if anchors:  # one module by two names
                shapes |= {f"{prefix}.ffns.0.{name}.weight": (1,) for name in ("activation", "layers.0.1")}
            for norm in range(count + 1):
                shapes |= _affine(f"{prefix}.norms.{norm}", DIM)
    shapes |= _affine("transformer.decoder.post_norm_layer", DIM)
    shapes |= _heads_of_places("transformer.decoder.", "transformer.encoder.", anchors)
    shapes |= _affine("input_proj", DIM, 2048, 1, 1) | _affine("class_embed", 80, DIM)
    for name in ("bbox_embed", "transformer.decoder.bbox_embed") if anchors else ("bbox_embed",):
        shapes |= _box_head(name)
    shapes |= {"anchor_box_embed.weight": (QUERIES, 4)} if anchors else {"query_embed.weight": (QUERIES, DIM)}
    return shapes | ({LABELS: (81, DIM - 1)} if kind == "dn" else {})


def hugging_face_shapes(kind: str) -> Shapes:
    """Of "conditional" or "dab"; 91 rows of classes."""
    prefix = "model.backbone.conv_encoder.model."
    shapes: Shapes = {f"{prefix}{name}": shape for name, shape in _torchvision_backbone().items()}
    anchors = kind == "dab"
    for layer in range(6):
        prefix = f"model.encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _affine(f"{prefix}self_attn.{name}", DIM, DIM)
        shapes |= _feedforward(prefix, anchors)
        shapes |= _affine(f"{prefix}self_attn_layer_norm", DIM)
        prefix = f"model.decoder.layers.{layer}."
        for name, ours in (("self_attn", "sa"), ("cross_attn" if anchors else "encoder_attn", "ca")):
            parts = ["query_content", "query_pos", "key_content", "key_pos", "value"]
            if ours == "ca":
                parts = [part for part in parts if layer == 0 or part != "query_pos"] + ["query_pos_sine"]
            for part in parts:
                short = re.sub("value", "v", re.sub("query_", "q", re.sub("key_", "k", part)))
                own = f"{name}.{name}_{part}_proj" if anchors else f"{ours}_{short}_proj"
                shapes |= _affine(f"{prefix}{own}", DIM, DIM)
            out = f"{name}.{name}.output_proj" if anchors else f"{name}.out_proj"
            norm = f"{name}.{name}_layer_norm" if anchors else f"{name}_layer_norm"
            shapes |= _affine(f"{prefix}{out}", DIM, DIM) | _affine(f"{prefix}{norm}", DIM)
        shapes |= _feedforward(f"{prefix}mlp." if anchors else prefix, anchors)
    shapes |= _affine("model.decoder.layernorm", DIM)
    shapes |= _heads_of_places("model.decoder.", "model.encoder.", anchors)
    shapes |= _affine("model.input_projection", DIM, 2048, 1, 1) | _box_head("bbox_predictor")
    if anchors:
        return (
            shapes
            | _affine("class_embed", 91, DIM)
            | {"model.query_refpoint_embeddings.weight": (QUERIES, 4)}
        )
    queries: Shapes = {"model.query_position_embeddings.weight": (QUERIES, DIM)}
    return shapes | _affine("class_labels_classifier", 91, DIM) | queries


def _torchvision_backbone() -> Shapes:
    prefix = "backbone.0.body."
    shapes = published_shapes(50, panoptic=False)
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _detectron2_name(name: str) -> str:
    name = re.sub(r"^(conv1|bn1)", r"stem.\1", name)
    name = re.sub(r"layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    return "backbone." + re.sub(r"bn(\d)", r"conv\1.norm", name)


def _affine(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _packed(name: str) -> Shapes:
    packed = {f"{name}.in_proj_weight": (3 * DIM, DIM), f"{name}.in_proj_bias": (3 * DIM,)}
    return {**packed, **_affine(f"{name}.out_proj", DIM, DIM)}


def _split(prefix: str, queries: tuple[str, ...]) -> Shapes:
    shapes: Shapes = {}
    for part in (*queries, "key_content", "key_pos", "value"):
        shapes |= _affine(f"{prefix}{part}_proj", DIM, DIM)
    return shapes | _affine(f"{prefix}out_proj", DIM, DIM)


def _feedforward(prefix: str, activation: bool) -> Shapes:
    shapes = _affine(f"{prefix}fc1", FEEDFORWARD, DIM) | _affine(f"{prefix}fc2", DIM, FEEDFORWARD)
    shapes |= _affine(f"{prefix}final_layer_norm", DIM)
    return shapes | ({f"{prefix}activation_fn.weight": (1,)} if activation else {})


def _heads_of_places(decoder: str, encoder: str, anchors: bool) -> Shapes:
    width, out = (2 * DIM, DIM) if anchors else (DIM, 2)
    shapes = _two_layers(f"{decoder}query_scale", DIM, DIM) | _two_layers(
        f"{decoder}ref_point_head", width, out
    )
    if anchors:
        shapes |= _two_layers(f"{decoder}ref_anchor_head", DIM, 2)
        shapes |= _two_layers(f"{encoder}query_scale", DIM, DIM)
    return shapes


def _two_layers(name: str, width: int, out: int) -> Shapes:
    return _affine(f"{name}.layers.0", DIM, width) | _affine(f"{name}.layers.1", out, DIM)


def _box_head(name: str) -> Shapes:
    shapes: Shapes = {}
    for layer, width in enumerate((DIM, DIM, 4)):
        shapes |= _affine(f"{name}.layers.{layer}", width, DIM)
    return shapes
