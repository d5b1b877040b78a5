"""Names and shapes of the published checkpoints, from the architecture by rule, and files that have them."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
DIM, FEEDFORWARD, QUERIES = 256, 2048, 100


def published_shapes(depth: int, panoptic: bool) -> Shapes:
    """458 names for ResNet-50, 713 for ResNet-101; a mask head has 32 more, and gives the others a prefix."""
    detector = {**_resnet(depth), **_transformer(), **_heads(251 if panoptic else 92)}
    if not panoptic:
        return detector
    return {**{f"detr.{name}": shape for name, shape in detector.items()}, **_mask_head()}


def published_checkpoint(depth: int, panoptic: bool) -> dict[str, Any]:
    """A file like the published trainer's; each tensor is filled with a number of its own.

    Only the class head is stored element by element: its row i is filled with i.
    """
    weights: dict[str, Tensor] = {}
    for number, (name, shape) in enumerate(published_shapes(depth, panoptic).items()):
        weights[name] = torch.tensor(float(number)).expand(shape)
        if "class_embed" in name:
            rows = torch.arange(float(shape[0]))
            weights[name] = rows.view(-1, *[1] * (len(shape) - 1)).repeat(1, *shape[1:])
    return {"model": weights, "args": Namespace(lr=1e-4, masks=panoptic), "epoch": 499}


def _resnet(depth: int) -> Shapes:
    def conv_and_norm(conv: str, norm: str, shape: tuple[int, ...]) -> Shapes:
        statistics = ("weight", "bias", "running_mean", "running_var")
        return {f"{conv}.weight": shape, **{f"{norm}.{name}": shape[:1] for name in statistics}}

    body = conv_and_norm("conv1", "bn1", (64, 3, 7, 7))
    channels = 64
    for stage, count in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(count):
            prefix = f"layer{stage + 1}.{block}"
            convs = [(width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for number, shape in enumerate(convs, 1):
                body |= conv_and_norm(f"{prefix}.conv{number}", f"{prefix}.bn{number}", shape)
            if block == 0:
                shortcut = (4 * width, channels, 1, 1)
                body |= conv_and_norm(f"{prefix}.downsample.0", f"{prefix}.downsample.1", shortcut)
            channels = 4 * width
    return {f"backbone.0.body.{name}": shape for name, shape in body.items()}


def _affine(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _attention(name: str) -> Shapes:
    packed = {f"{name}.in_proj_weight": (3 * DIM, DIM), f"{name}.in_proj_bias": (3 * DIM,)}
    return {**packed, **_affine(f"{name}.out_proj", DIM, DIM)}


def _transformer() -> Shapes:
    shapes: Shapes = {}
    for half, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "multihead_attn"))):
        for layer in range(6):
            prefix = f"transformer.{half}.layers.{layer}"
            for attention in attentions:
                shapes |= _attention(f"{prefix}.{attention}")
            shapes |= _affine(f"{prefix}.linear1", FEEDFORWARD, DIM)
            shapes |= _affine(f"{prefix}.linear2", DIM, FEEDFORWARD)
            for norm in range(1, len(attentions) + 2):
                shapes |= _affine(f"{prefix}.norm{norm}", DIM)
    return shapes | _affine("transformer.decoder.norm", DIM)


def _heads(rows: int) -> Shapes:
    shapes = {**_affine("input_proj", DIM, 2048, 1, 1), "query_embed.weight": (QUERIES, DIM)}
    shapes |= _affine("class_embed", rows, DIM)
    for layer, width in enumerate((DIM, DIM, 4)):
        shapes |= _affine(f"bbox_embed.layers.{layer}", width, DIM)
    return shapes


def _mask_head() -> Shapes:
    shapes = {**_affine("bbox_attention.q_linear", DIM, DIM), **_affine("bbox_attention.k_linear", DIM, DIM)}
    widths = [264, 264, 128, 64, 32, 16]
    for layer in range(1, 6):
        shapes |= _affine(f"mask_head.lay{layer}", widths[layer], widths[layer - 1], 3, 3)
        shapes |= _affine(f"mask_head.gn{layer}", widths[layer])
    shapes |= _affine("mask_head.out_lay", 1, 16, 3, 3)
    for number, (channels, width) in enumerate(((1024, 128), (512, 64), (256, 32)), 1):
        shapes |= _affine(f"mask_head.adapter{number}", width, channels, 1, 1)
    return shapes
