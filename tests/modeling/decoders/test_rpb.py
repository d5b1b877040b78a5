"""The bias against loops over queries, rows and columns, in training and inference; refined anchors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch import Tensor

from detr_d2.modeling import Detr, Memory
from detr_d2.modeling.decoders import rpb
from detr_d2.modeling.decoders.rpb import BoxAttention, box_distances
from detr_d2.modeling.position_encoding import reference_waves

from ...conftest import make_input
from ..steps import check_every_parameter_learns
from .test_decoders import decode, learned, make_model

CHANNELS, HEADS, QUERIES, ROWS, COLUMNS = 16, 4, 5, 3, 4


def make_memory(padded: bool) -> Memory:
    """Two images; the second covers 2 of 3 rows and 3 of 4 columns where one is padded."""
    tokens, position = torch.randn(2, ROWS * COLUMNS, CHANNELS), torch.randn(1, ROWS * COLUMNS, CHANNELS)
    padding = torch.zeros(2, ROWS, COLUMNS, dtype=torch.bool)
    padding[1, 2:] = padding[1, :, 3:] = True
    return Memory(tokens, tokens, position, padding.flatten(1) if padded else None, ((ROWS, COLUMNS),))


def scaled(distance: float) -> float:
    return math.copysign(math.log2(1 + abs(8 * distance)) / math.log2(8), distance)


def plain_bias(attention: BoxAttention, box: Tensor, rows: int, columns: int) -> Tensor:
    """(heads, ROWS, COLUMNS) of one box (cx, cy, w, h) in an image of so many rows and columns."""
    cx, cy, w, h = box.tolist()
    x1, x2 = (cx - w / 2) * columns, (cx + w / 2) * columns
    y1, y2 = (cy - h / 2) * rows, (cy + h / 2) * rows
    result = torch.zeros(HEADS, ROWS, COLUMNS)
    for r in range(ROWS):
        dy = torch.tensor([scaled(r + 0.5 - y1), scaled(r + 0.5 - y2)])
        for c in range(COLUMNS):
            dx = torch.tensor([scaled(c + 0.5 - x1), scaled(c + 0.5 - x2)])
            parts = []
            for network, distance in ((attention.bias.rows, dy), (attention.bias.columns, dx)):
                hidden = (network[0].weight @ distance + network[0].bias).clamp(min=0)
                parts.append(network[2].weight @ hidden)
            result[:, r, c] = parts[0] + parts[1]
    return result


def plain_attention(attention: BoxAttention, query: Tensor, memory: Memory, box: Tensor) -> Tensor:
    """softmax(QKᵀ/√c + B) V of every image, query and head: (B, Q, d)."""
    width = CHANNELS // HEADS
    w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
    b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
    images = []
    for image in range(len(query)):
        rows, columns = (ROWS, COLUMNS) if memory.padding is None or image == 0 else (2, 3)
        k = (memory.tokens[image] + memory.position[0]) @ w_k.T + b_k
        v = memory.tokens[image] @ w_v.T + b_v
        queries = []
        for n in range(query.shape[1]):
            q = w_q @ query[image, n] + b_q
            bias = plain_bias(attention, box[image, n], rows, columns).flatten(1)
            heads = []
            for head in range(HEADS):
                own = slice(head * width, (head + 1) * width)
                scores = k[:, own] @ q[own] / math.sqrt(width) + bias[head]
                if memory.padding is not None:
                    scores = scores.masked_fill(memory.padding[image], -math.inf)
                heads.append(scores.softmax(0) @ v[:, own])
            queries.append(torch.cat(heads))
        images.append(torch.stack(queries))
    return attention.out_proj(torch.stack(images))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_attention_and_its_gradients_equal_the_plain_loops(
    padded: bool, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpb, "CHUNK", 2)  # so that queries attend in three parts
    attention = BoxAttention(CHANNELS, HEADS, 0.0).train(training)
    memory, query = make_memory(padded), torch.randn(2, QUERIES, CHANNELS, requires_grad=True)
    box = torch.rand(2, QUERIES, 4) * torch.tensor([1, 1, 0.5, 0.5])
    box[0, 0] = torch.tensor([0.5, 0.5, 1.0, 1.0])
    expected, result = plain_attention(attention, query, memory, box), attention(query, memory, box)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
    direction = torch.randn_like(result)
    of = [query, *attention.parameters()]
    for own, wanted in zip(
        torch.autograd.grad((result * direction).sum(), of),
        torch.autograd.grad((expected * direction).sum(), of),
        strict=True,
    ):
        torch.testing.assert_close(own, wanted, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(attention(query, memory, box), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_the_bias_equals_the_plain_loop(padded: bool) -> None:
    attention, memory = BoxAttention(CHANNELS, HEADS, 0.0), make_memory(padded)
    box = torch.rand(2, QUERIES, 4)
    bias = attention.bias(*box_distances(box, memory))
    assert bias.shape == (2, HEADS, QUERIES, ROWS * COLUMNS)
    for image in range(2):
        rows, columns = (2, 3) if padded and image else (ROWS, COLUMNS)
        for n in range(QUERIES):
            expected = plain_bias(attention, box[image, n], rows, columns)
            torch.testing.assert_close(bias[image, :, n], expected.flatten(1), rtol=0, atol=1e-6)


def test_distances_by_hand() -> None:
    """A box over the left quarter of four columns and the upper two thirds of three rows."""
    rows, columns = box_distances(torch.tensor([[[1 / 8, 1 / 3, 1 / 4, 2 / 3]]]), make_memory(False))
    at = [math.log2(1 + 8 * distance) / 3 for distance in (0.5, 1.5, 2.5, 3.5)]
    assert columns[0, 0, :, 0].tolist() == pytest.approx(at)
    assert columns[0, 0, :, 1].tolist() == pytest.approx([-at[0], *at[:3]])
    assert rows[0, 0, :, 0].tolist() == pytest.approx(at[:3])
    assert rows[0, 0, :, 1].tolist() == pytest.approx([-at[1], -at[0], at[0]], abs=1e-6)


def test_in_training_neither_bias_nor_weights_of_a_layer_are_kept(tiny_config: CfgNode) -> None:
    """What autograd keeps of the attention does not grow with queries times cells."""
    attention = BoxAttention(CHANNELS, HEADS, 0.0)
    tokens = torch.randn(1, 40 * 40, CHANNELS)
    memory = Memory(tokens, tokens, torch.zeros_like(tokens), None, ((40, 40),))
    kept: list[int] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        attention(torch.randn(1, 300, CHANNELS, requires_grad=True), memory, torch.rand(1, 300, 4))
    assert sum(kept) < 300 * 40 * 40 / 2


def moving_model(cfg: CfgNode, **keys: Any) -> Detr:
    """One whose boxes do not stay where the anchors are."""
    cfg.MODEL.DETR.DEC_LAYERS = 3
    cfg.MODEL.DETR.merge_from_list([x for pair in keys.items() for x in pair])
    model = make_model(cfg, "rpb").eval()
    torch.nn.init.normal_(model.bbox_embed.layers[-1].weight, std=0.3)
    return model


@pytest.mark.parametrize("regression", ["absolute", "relative"])
def test_each_layer_looks_around_the_boxes_of_the_layer_before(tiny_config: CfgNode, regression: str) -> None:
    model = moving_model(tiny_config, BOX_REGRESSION=regression)
    looked: list[Tensor] = []
    for layer in model.transformer.decoder.layers:
        layer.multihead_attn.register_forward_pre_hook(lambda module, args: looked.append(args[2]))
    decoded, _, boxes = decode(model, learned(model))
    assert decoded.reference is not None
    torch.testing.assert_close(looked[0][1], model.query_embed.weight.sigmoid())
    for i in range(2):
        torch.testing.assert_close(looked[i + 1], boxes[i], rtol=0, atol=1e-6)
        torch.testing.assert_close(decoded.reference[i + 1].sigmoid(), boxes[i], rtol=0, atol=1e-6)
        assert not torch.isclose(boxes[i], boxes[i + 1]).all(-1).any()
    assert [box.requires_grad for box in looked] == [True, False, False]
    (gradient,) = torch.autograd.grad(decoded.reference[2].sum(), model.query_embed.weight)
    assert gradient.abs().sum() > 0, "boxes are relative to the box of the layer before with its gradient"


def test_the_anchors_position_enters_the_content_where_asked_for(tiny_config: CfgNode) -> None:
    """With the content of all queries alike, only that tells the values of self-attention apart."""
    for inside in (True, False):
        tiny_config.MODEL.DETR.RPB.POSITION_IN_CONTENT = inside
        model = make_model(tiny_config, "rpb").eval()
        queries, decoder = learned(model), model.transformer.decoder
        entered: list[Tensor] = []
        decoder.layers[0].register_forward_pre_hook(lambda module, args: entered.append(args[0]))  # noqa: B023
        with torch.no_grad():
            decode(model, queries)
            assert queries.reference is not None
            waves = reference_waves(queries.reference.sigmoid(), 32, 10000.0)
            expected = queries.content + inside * decoder.ref_point_head(waves)
        torch.testing.assert_close(entered[0], expected.expand(2, -1, -1))


@pytest.mark.parametrize("key", ["ENC_LAYERS", "DEC_LAYERS"])
def test_the_fewest_layers_leave_no_parameter_without_gradient(tiny_config: CfgNode, key: str) -> None:
    tiny_config.MODEL.DETR[key] = {"ENC_LAYERS": 0, "DEC_LAYERS": 1}[key]
    check_every_parameter_learns(make_model(tiny_config, "rpb"))


def test_all_its_ingredients_train_together(mask_config: CfgNode) -> None:
    detr = mask_config.MODEL.DETR
    detr.CLASS_LOSS, detr.BOX_REGRESSION, detr.DAB.LEARNED_CONTENT = "matchability_aware", "relative", True
    detr.FUSE_FEATURES, detr.POSITION_EMBEDDING = ("res2", "res3"), "sine_centered"
    mask_config.MODEL.MASK_ON = False
    check_every_parameter_learns(make_model(mask_config, "rpb", ("groups", "denoising", "encoder")))


def test_dropout_is_drawn_again_as_it_was(tiny_config: CfgNode) -> None:
    """The backward pass, which computes attention anew, is that of the weights that the forward pass kept."""
    attention = BoxAttention(CHANNELS, HEADS, 0.5)
    memory, query = make_memory(True), torch.randn(2, QUERIES, CHANNELS, requires_grad=True)
    box, direction = torch.rand(2, QUERIES, 4), torch.randn(2, QUERIES, CHANNELS)
    gradients = []
    for straight in (False, True):
        torch.manual_seed(7)
        if straight:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(rpb, "checkpoint", lambda function, *args, **_: function(*args))
                result = attention(query, memory, box)
        else:
            result = attention(query, memory, box)
        gradients.append(torch.autograd.grad((result * direction).sum(), query)[0])
    torch.testing.assert_close(*gradients)


def test_an_image_in_a_padded_batch_is_seen_as_alone(tiny_config: CfgNode) -> None:
    """Where the backbone does not see the padding: tokens are given."""
    decoder = make_model(tiny_config, "rpb").eval()
    queries = learned(decoder)
    tokens, position = torch.randn(1, 3, 4, 32), torch.randn(1, 3, 4, 32)
    padding = torch.zeros(1, 3, 4, dtype=torch.bool)
    padding[:, 2:] = padding[:, :, 3:] = True
    cut = [x[:, :2, :3].flatten(1, 2) for x in (tokens, position)]
    whole = [x.flatten(1, 2) for x in (tokens, position)]
    alone = Memory(cut[0], cut[0], cut[1], None, ((2, 3),))
    padded = Memory(whole[0], whole[0], whole[1], padding.flatten(1), ((3, 4),))
    with torch.no_grad():
        one, other = (
            decoder.transformer.decoder(queries, memory, decoder.bbox_embed) for memory in (alone, padded)
        )
    torch.testing.assert_close(one.hidden, other.hidden, rtol=0, atol=1e-5)


def test_it_runs_in_mixed_precision(tiny_config: CfgNode) -> None:
    model = make_model(tiny_config, "rpb", ("groups", "denoising"))
    with torch.autocast("cpu", torch.bfloat16):
        losses = model([make_input(64, 96, 3), make_input(80, 48, 0)])
        total = sum(losses.values())
    assert isinstance(total, Tensor)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
