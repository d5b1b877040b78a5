"""What holds for every decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.modeling import DECODERS, Decoded, Detr, Part, Queries

from ...conftest import make_input, make_mask_input
from ..steps import check_every_parameter_learns

AUXILIARY = [(), ("denoising",), ("groups", "denoising", "encoder"), ("denoising", "groups")]


def make_model(cfg: CfgNode, decoder: str, auxiliary: tuple[str, ...] = ()) -> Detr:
    cfg.MODEL.DETR.DECODER, cfg.MODEL.DETR.AUXILIARY, cfg.MODEL.DETR.GROUPS.NUM = decoder, auxiliary, 3
    cfg.MODEL.DETR.DROPOUT = 0.0
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    return build_model(cfg)


def decode(model: Detr, queries: Queries) -> tuple[Decoded, Tensor, Tensor]:
    """What the decoder, and then the heads, make of queries on two images, one of them padded."""
    batch = [make_input(64, 96, 0), make_input(80, 48, 0)]
    images = model.preprocess(batch)
    memory = model.encode(model.backbone(images.tensor), images)
    decoded = model.transformer.decoder(queries, memory, model.bbox_embed)
    return decoded, *model.predict(decoded.hidden, decoded.reference)


def learned(model: Detr) -> Queries:
    """Its queries, no two alike; they read nothing of the images."""
    queries: Queries = model.query_embed(None)
    return replace(queries, content=torch.randn(1, *queries.content.shape[1:]))


def rows(queries: Queries, order: Tensor) -> Queries:
    fields = {name: getattr(queries, name) for name in ("content", "position", "reference")}
    return replace(queries, **{name: None if x is None else x[:, order] for name, x in fields.items()})


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("auxiliary", AUXILIARY, ids=str)
def test_every_parameter_learns_with_and_without_objects(
    tiny_config: CfgNode, decoder: str, auxiliary: tuple[str, ...]
) -> None:
    check_every_parameter_learns(make_model(tiny_config, decoder, auxiliary))


@pytest.mark.parametrize("decoder", DECODERS)
def test_permuting_queries_permutes_outputs(tiny_config: CfgNode, decoder: str) -> None:
    model = make_model(tiny_config, decoder).eval()
    queries, order = learned(model), torch.randperm(10)
    with torch.no_grad():
        torch.manual_seed(1)
        _, logits, boxes = decode(model, queries)
        torch.manual_seed(1)
        _, other_logits, other_boxes = decode(model, rows(queries, order))
    assert float(logits.std(2).min()) > 1e-3
    torch.testing.assert_close(other_logits, logits[:, :, order])
    torch.testing.assert_close(other_boxes, boxes[:, :, order])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_group_does_not_see_another(tiny_config: CfgNode, decoder: str) -> None:
    model = make_model(tiny_config, decoder).eval()
    queries = learned(model)
    queries = replace(queries, parts=(Part(slice(0, 4)), Part(slice(4, 10), groups=2)))
    disturbed = queries.content.clone()
    disturbed[:, 4:7] += 1  # the second group of three
    with torch.no_grad():
        torch.manual_seed(1)
        _, logits, boxes = decode(model, queries)
        torch.manual_seed(1)
        _, other_logits, other_boxes = decode(model, replace(queries, content=disturbed))
    others = [0, 1, 2, 3, 7, 8, 9]
    assert torch.equal(logits[:, :, others], other_logits[:, :, others])
    assert torch.equal(boxes[:, :, others], other_boxes[:, :, others])
    assert not torch.isclose(logits[:, :, 4:7], other_logits[:, :, 4:7]).all(-1).any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_mixed_precision_moves_no_box_far(tiny_config: CfgNode, decoder: str) -> None:
    model = make_model(tiny_config, decoder).eval()
    queries = learned(model)
    with torch.no_grad():
        torch.manual_seed(1)
        _, _, boxes = decode(model, queries)
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            _, logits, mixed = decode(model, queries)
    assert logits.dtype == mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, boxes, rtol=0, atol=0.02)


@pytest.mark.parametrize("decoder", DECODERS)
def test_masks_and_segments_come_with_it(mask_config: CfgNode, decoder: str) -> None:
    detr = mask_config.MODEL.DETR
    detr.CLASS_LOSS, detr.TEST.PANOPTIC_ON = "focal", True
    detr.TEST.SIGMOID_PANOPTIC_SCORE_THRESHOLD = 0.001
    mask_config.DATASETS.TRAIN = ("shapes_train_panoptic",)
    model = make_model(mask_config, decoder, ("groups", "denoising"))
    losses = model([make_mask_input(64, 96, n) for n in (3, 0)])
    assert {"loss_mask", "loss_dice"} <= losses.keys()
    sum(losses.values()).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    with torch.no_grad():
        (result,) = model.eval()([make_mask_input(70, 90, 0)])
    ids, segments = result["panoptic_seg"]
    assert result["instances"].pred_masks.shape[1:] == ids.shape == (70, 90)
    assert segments
