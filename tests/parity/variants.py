"""What comparisons with other programs' Conditional DETR, DAB-DETR and DN-DETR share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from detr_d2.modeling import Detr, Targets
from detr_d2.modeling.auxiliary import Denoising

from ..conftest import make_input, make_tiny_config

# Their encoding of references is written for 256 channels.
CLASSES, QUERIES, DIM, HEADS, FEEDFORWARD, LAYERS, GROUPS = 5, 7, 256, 8, 64, 3, 2

TABLES = ("anchor_box_embed", "refpoint_embed", "query_embed", "label_enc")  # of rows, in their names


def variant(kind: str) -> CfgNode:
    """Our config of "conditional", "dab" or "dn"."""
    cfg = make_tiny_config()
    detr = cfg.MODEL.DETR
    detr.DECODER = "conditional" if kind == "conditional" else "dab"
    detr.NUM_CLASSES, detr.NUM_OBJECT_QUERIES, detr.CLASS_LOSS = CLASSES, QUERIES, "focal"
    detr.HIDDEN_DIM, detr.NHEADS, detr.DIM_FEEDFORWARD = DIM, HEADS, FEEDFORWARD
    detr.ENC_LAYERS, detr.DEC_LAYERS, detr.DROPOUT, detr.POSITION_TEMPERATURE = 2, LAYERS, 0.0, 20.0
    if kind == "dn":
        detr.AUXILIARY, detr.DAB.LEARNED_CONTENT, detr.DENOISING.GROUPS = ("denoising",), True, GROUPS
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    return cfg


def randomize(model: nn.Module) -> None:
    """Weights large enough that queries differ, and boxes small enough that no inverse sigmoid ends.

    Theirs ends at 1e-3 from the border, and Hugging Face's, as ours, at 1e-5.
    """
    for name, value in model.named_parameters():
        if "backbone" in name:
            continue
        is_table = any(part in name for part in TABLES)
        fan_in = value[0].numel() if value.dim() > 1 and not is_table else 1
        scale = {"bbox_embed.layers.2.weight": 0.3, "class_embed.weight": 1.0}.get(name, 1.2)
        scale = scale if value.dim() > 1 else 0.1
        value.data = scale / fan_in**0.5 * torch.randn_like(value) + (value.dim() == 1) * value.data


def denoised(labels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The noise that both get: (..., n) and (..., n, 4) → the same with noise."""
    return (labels + 1) % CLASSES, (boxes * torch.tensor([0.97, 1.02, 1.1, 0.9])).clamp(0.02, 0.98)


def inputs(counts: tuple[int, ...], sizes: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """Images with so many objects each, none at the border."""
    batch = []
    for count, (height, width) in zip(counts, sizes, strict=True):
        one = make_input(height, width, count, CLASSES)
        boxes = one["instances"].gt_boxes.tensor
        center = (boxes[:, :2] + boxes[:, 2:]) / 2
        center = 0.25 * torch.tensor([width, height]) + 0.5 * center
        half = 0.1 * torch.tensor([width, height]) * (1 + torch.rand(count, 2))
        boxes[:] = torch.cat([center - half, center + half], dim=1)
        batch.append(one)
    return batch


def ours(model: Detr, batch: list[dict[str, Any]]) -> list[tuple[Tensor, Tensor]]:
    """(L, B, n, C) logits and (L, B, n, 4) boxes of the queries, and of those that denoise."""
    images = model.preprocess(batch)
    targets: Targets = model.targets(batch, images)
    with torch.no_grad(), injected_noise():
        memory = model.encode(model.backbone(images.tensor), images)
        queries = model.queries(memory, targets)
        decoded = model.transformer.decoder(queries, memory, model.bbox_embed)
        predictions = model.predictions(decoded, queries.parts)
    count = len(batch)  # groups of denoising come as if they were images
    return [
        (logits.unflatten(1, (count, -1)).flatten(2, 3), boxes.unflatten(1, (count, -1)).flatten(2, 3))
        for logits, boxes in ((x.logits, x.boxes) for x in predictions)
    ]


@contextmanager
def injected_noise() -> Iterator[None]:
    """Our denoising gets the noise of :func:`denoised`."""
    own = Denoising.with_noise
    Denoising.with_noise = lambda self, labels, boxes: denoised(labels, boxes)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Denoising.with_noise = own  # type: ignore[method-assign]


def stacked(output: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Their dict of all layers' predictions as two tensors."""
    layers = [*output["aux_outputs"], output]
    logits, boxes = (torch.stack([layer[name] for layer in layers]) for name in ("pred_logits", "pred_boxes"))
    return logits, boxes


def close(
    result: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], what: str, differ: bool = True
) -> None:
    """Within 1e-5, and different from query to query."""
    errors = [float((one - other).abs().max()) for one, other in zip(result, expected, strict=True)]
    print(f"{what}: largest difference: logits {errors[0]:.1e}, boxes {errors[1]:.1e}")
    for name, one, other, error in zip(("logits", "boxes"), result, expected, errors, strict=True):
        assert one.shape == other.shape
        assert not differ or float(one.std(-2).mean()) > 0.01, f"{name}: queries see the same"
        assert error <= 1e-5, name
