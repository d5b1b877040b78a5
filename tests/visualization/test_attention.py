"""Attention weights, against a plain softmax loop for every decoder, and their picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import Metadata
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.errors import UserError
from detr_d2.modeling import DECODERS, Detr
from detr_d2.modeling.decoders.rpb import BoxAttention, box_distances
from detr_d2.visualization import draw_attention, watch_attention
from detr_d2.visualization.attention import ImageAttention, Watched

from ..conftest import make_input

SIZES = [(64, 96), (80, 48)]  # both are padded to 80 x 96: at stride 16, 5 x 6 cells


def make_model(cfg: CfgNode, decoder: str = "detr", **keys: Any) -> Detr:
    cfg.MODEL.DETR.DECODER = decoder
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    for key, value in keys.items():
        cfg.MODEL.DETR[key] = value
    model: Detr = build_model(cfg).eval()
    for parameter in model.transformer.parameters():  # else all weights are nearly equal
        parameter.data.mul_(2.0)
    return model


def call(model: Detr, sizes: list[tuple[int, int]] = SIZES) -> tuple[Watched, list[dict[str, Any]]]:
    torch.manual_seed(3)
    batch = [make_input(height, width, 0) for height, width in sizes]
    for x in batch:
        x["height"], x["width"] = 2 * x["height"], 2 * x["width"]
    with torch.inference_mode(), watch_attention(model) as watched:
        results = model(batch)
    return watched, results


class Arguments:
    """What the attention modules are called with."""

    def __init__(self, model: Detr):
        self.of: dict[nn.Module, tuple[Any, ...]] = {}
        for layer in (*model.transformer.encoder.layers, *model.transformer.decoder.layers):
            module = getattr(layer, "multihead_attn", layer.self_attn)
            module.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.of[module] = (*args, *kwargs.values())


def per_head(module: nn.Module, args: tuple[Any, ...]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Queries and keys, (B, n, heads, c), by the equations of the papers, and the padding."""
    heads: int = module.heads  # type: ignore[assignment]
    if isinstance(module, BoxAttention):
        query, memory, _ = args
        args = (query, memory.tokens + memory.position, memory.tokens, memory.padding)
    if hasattr(module, "in_proj_weight"):
        query, key, _, padding = (*args, None)[:4]
        channels = query.shape[-1]
        weight, bias = module.in_proj_weight, module.in_proj_bias
        q = query @ weight[:channels].T + bias[:channels]
        k = key @ weight[channels : 2 * channels].T + bias[channels : 2 * channels]
        return q.unflatten(-1, (heads, -1)), k.unflatten(-1, (heads, -1)), padding
    x, position, place, memory = args
    q, k = module.q_content_proj(x), module.k_content_proj(memory.tokens)
    q_place, k_place = module.q_pos_sine_proj(place), module.k_pos_proj(memory.position)
    if module.q_pos_proj is not None:
        q, k = q + module.q_pos_proj(position), k + k_place
    pairs = []
    for content, where in ((q, q_place), (k, k_place)):
        both = [y.expand_as(content).unflatten(-1, (heads, -1)) for y in (content, where)]
        pairs.append(torch.cat(both, -1))
    return pairs[0], pairs[1], memory.padding


@torch.inference_mode()
def plain_softmax(module: nn.Module, args: tuple[Any, ...], image: int, row: int) -> list[float]:
    """One query's weights: a softmax in each head, one cell after the other, and then their mean."""
    q, k, padding = per_head(module, args)
    cells, heads, channels = k.shape[1:]
    bias = torch.zeros(1, heads, 1, cells).expand(len(k), -1, q.shape[1], -1)
    if isinstance(module, BoxAttention):
        bias = module.bias(*box_distances(args[2], args[1]))
    means = [0.0] * cells
    for head in range(heads):
        exponentials = []
        for cell in range(cells):
            score = float(q[image, row, head] @ k[image, cell, head]) / math.sqrt(channels)
            score += float(bias[image, head, row, cell])
            there = padding is None or not padding[image, cell]
            exponentials.append(math.exp(score) if there else 0.0)
        for cell, value in enumerate(exponentials):
            means[cell] += value / sum(exponentials) / heads
    return means


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("sizes", [SIZES, [(64, 96), (64, 96)]], ids=["padded", "not padded"])
def test_weights_are_those_of_a_plain_softmax_loop(
    tiny_config: CfgNode, decoder: str, sizes: list[tuple[int, int]]
) -> None:
    model = make_model(tiny_config, decoder)
    arguments = Arguments(model)
    watched, _ = call(model, sizes)
    for image, (height, width) in enumerate(sizes):
        attention = watched.image(image)
        inside = torch.zeros(attention.shape, dtype=torch.bool)
        inside[: height // 16, : width // 16] = True
        for layer in (0, 1, -1):
            module = model.transformer.decoder.layers[layer].multihead_attn
            maps = attention.of_detections([0, 3], layer)
            torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2), rtol=0, atol=1e-5)
            assert float(maps[:, ~inside].sum()) == 0
            for own, place in zip(maps, (0, 3), strict=True):
                query = int(attention.queries[place])
                expected = plain_softmax(module, arguments.of[module], image, query)
                np.testing.assert_allclose(own.flatten(), expected, atol=1e-5)
            module = model.transformer.encoder.layers[layer].self_attn
            maps = attention.of_points([(40, 70)], layer)  # in pixels of twice the size: the third row
            assert float(maps[:, ~inside].sum()) == 0
            cell = 2 * attention.shape[1] + 1
            expected = plain_softmax(module, arguments.of[module], image, cell)
            np.testing.assert_allclose(maps[0].flatten(), expected, atol=1e-5)
            assert max(expected) > 1.2 * min(x for x in expected if x)


@pytest.mark.parametrize("keys", [{}, {"CLASS_LOSS": "focal"}], ids=str)
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_model_gives_what_it_gives_and_keeps_no_hook(
    tiny_config: CfgNode, decoder: str, keys: dict[str, Any]
) -> None:
    model = make_model(tiny_config, decoder, **keys)
    watched, seen = call(model)
    torch.manual_seed(3)
    batch = [make_input(height, width, 0) for height, width in SIZES]
    for x in batch:
        x["height"], x["width"] = 2 * x["height"], 2 * x["width"]
    with torch.inference_mode():
        unseen = model(batch)
    for image, (one, other) in enumerate(zip(seen, unseen, strict=True)):
        found, attention = one["instances"], watched.image(image)
        assert torch.equal(found.pred_boxes.tensor, other["instances"].pred_boxes.tensor)
        order = found.scores.argsort(descending=True, stable=True)
        assert torch.equal(attention.scores, found.scores[order])
        assert torch.equal(attention.classes, found.pred_classes[order])
        torch.testing.assert_close(attention.boxes, found.pred_boxes.tensor[order])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_mixed_precision_is_seen_too(tiny_config: CfgNode) -> None:
    model = make_model(tiny_config)
    torch.manual_seed(3)
    batch = [make_input(64, 96, 0)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), watch_attention(model) as watched:
        model(batch)
    maps = watched.image().of_detections([0])
    assert maps.dtype == torch.float32
    assert float(maps.sum()) == pytest.approx(1, abs=1e-5)


def test_what_is_not_there_is_said(tiny_config: CfgNode) -> None:
    model = make_model(tiny_config, ENC_LAYERS=0)
    with watch_attention(model) as watched:
        pass
    with pytest.raises(UserError, match="watch_attention"):
        watched.image()
    watched, _ = call(model)
    attention = watched.image()
    for wrong in (lambda: attention.of_detections([10]), lambda: attention.of_detections([0], 2),
                  lambda: attention.of_detections([-1]), lambda: attention.of_detections([0], -3),
                  lambda: attention.of_points([(3, 3)])):  # fmt: skip
        with pytest.raises(UserError):
            wrong()


def one_cell(shape: tuple[int, int], row: int, column: int) -> Tensor:
    maps = torch.zeros(1, *shape)
    maps[0, row, column] = 1
    return maps


def test_points_and_maps_leave_padding_out(tiny_config: CfgNode) -> None:
    watched, _ = call(make_model(tiny_config))
    attention = watched.image(1)  # 80 x 48 in 80 x 96: the left half
    assert attention.covered == (1.0, 0.5)
    with pytest.raises(UserError, match="outside"):
        attention.of_points([(96, 3)])
    large = attention.enlarge(one_cell(attention.shape, 4, 2), (160, 96))
    assert large.shape == (1, 160, 96)
    _, row, column = np.unravel_index(int(large.argmax()), large.shape)
    assert (row // 32, column // 32) == (4, 2)


def test_the_picture_shows_each_detection_where_it_looked(
    tiny_config: CfgNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tiny_config)
    watched, _ = call(model, [(64, 96)])
    attention = watched.image()
    looks = {0: one_cell(attention.shape, 0, 0), 1: one_cell(attention.shape, 3, 5)}
    monkeypatch.setattr(
        ImageAttention, "of_detections", lambda _, chosen, __: torch.cat([looks[n] for n in chosen])
    )
    image = np.full((128, 192, 3), 128, dtype=np.uint8)
    metadata = Metadata(thing_classes=["ant", "bee", "cat"])
    both = draw_attention(image, attention, [0, 1], metadata=metadata, size=384)
    few = draw_attention(image, attention, [0], points=[(5, 5)], metadata=metadata, size=384)
    assert both.shape[1] > 2 * 384
    changed = np.abs(both[: len(few)].astype(int) - few[: len(both)]).max(-1)
    assert changed.max() > 60
    monkeypatch.undo()
    without = make_model(tiny_config, ENC_LAYERS=0)
    watched, _ = call(without, [(64, 96)])
    alone = draw_attention(image, watched.image(), [], size=384)
    assert alone.shape[1] < 2 * 384
