"""Anchors: how they are encoded, modulated, refined and learned."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from detr_d2.modeling import Detr
from detr_d2.modeling.decoders.dab import AnchorQueries, DabDecoder
from detr_d2.modeling.position_encoding import reference_waves

from ...conftest import make_input
from .test_decoders import decode, learned, make_model


def test_a_box_is_encoded_as_y_x_w_h() -> None:
    cx, cy, w, h = box = (0.3, 0.6, 0.2, 0.9)
    code = reference_waves(torch.tensor(box), 8, 20.0)
    expected = []
    for value in (cy, cx, w, h):
        for frequency in (1.0, 20.0**-0.5):
            expected += [math.sin(2 * math.pi * value * frequency), math.cos(2 * math.pi * value * frequency)]
    assert code.tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(reference_waves(torch.tensor(box[:2]), 8, 20.0), code[:8])


def test_attention_is_modulated_by_the_asked_for_size_over_the_anchors(tiny_config: CfgNode) -> None:
    decoder: DabDecoder = make_model(tiny_config, "dab").transformer.decoder  # type: ignore[assignment]
    center, x, box = torch.randn(1, 2, 32), torch.randn(1, 2, 32), torch.rand(1, 2, 4)
    with torch.no_grad():
        result = decoder.modulated(center, x, box)
        for query in range(2):
            asked_w, asked_h = decoder.ref_anchor_head(x[0, query]).sigmoid().tolist()
            width, height = box[0, query, 2:].tolist()
            torch.testing.assert_close(result[0, query, :16], center[0, query, :16] * asked_h / height)
            torch.testing.assert_close(result[0, query, 16:], center[0, query, 16:] * asked_w / width)


def moving_model(cfg: CfgNode) -> Detr:
    """One whose boxes do not stay where the anchors are."""
    model = make_model(cfg, "dab").eval()
    torch.nn.init.normal_(model.bbox_embed.layers[-1].weight, std=0.3)
    return model


def test_anchors_are_refined_layer_by_layer(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.DETR.DEC_LAYERS = 3
    model = moving_model(tiny_config)
    outputs: list[torch.Tensor] = []
    for layer in model.transformer.decoder.layers:
        layer.register_forward_hook(lambda module, args, out: outputs.append(out))
    with torch.no_grad():
        decoded, _, boxes = decode(model, learned(model))
        assert decoded.reference is not None
        assert decoded.reference.shape == (3, 2, 10, 4)
        torch.testing.assert_close(decoded.reference[0, 1], model.query_embed.weight)
        for i in range(2):  # the layer's output before the norm
            moved = decoded.reference[i] + model.bbox_embed(outputs[i])
            torch.testing.assert_close(decoded.reference[i + 1], moved)
            assert not torch.isclose(decoded.reference[i + 1], decoded.reference[i]).all()
            normed = decoded.reference[i] + model.bbox_embed(model.transformer.decoder.norm(outputs[i]))
            torch.testing.assert_close(boxes[i], normed.sigmoid())


def test_a_box_learns_from_the_layer_before_but_attention_does_not(tiny_config: CfgNode) -> None:
    """The last layer's boxes move the box that they are relative to, whose own anchor has no gradient."""
    tiny_config.MODEL.DETR.DEC_LAYERS = 3
    model = moving_model(tiny_config)
    attended: list[torch.Tensor] = []

    def remember(module: object, args: tuple[torch.Tensor, ...]) -> None:
        attended.append(args[0])

    model.transformer.decoder.ref_point_head.register_forward_pre_hook(remember)
    decoded, _, _ = decode(model, learned(model))
    assert [waves.requires_grad for waves in attended] == [True, False, False]
    assert decoded.reference is not None
    (gradient,) = torch.autograd.grad(decoded.reference[1].sum(), model.query_embed.weight, retain_graph=True)
    assert gradient.abs().sum() > 0
    for parameter in model.bbox_embed.parameters():
        (gradient,) = torch.autograd.grad(decoded.reference[2].sum(), parameter, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_the_encoder_scales_the_position_by_the_content_in_every_layer(tiny_config: CfgNode) -> None:
    model = make_model(tiny_config, "dab").eval()
    encoder = model.transformer.encoder
    tokens, position = torch.randn(2, 6, 32), torch.randn(1, 6, 32)
    with torch.no_grad():
        expected = tokens
        for layer in encoder.layers:
            expected = layer(expected, position * encoder.query_scale(expected), None)
        torch.testing.assert_close(encoder(tokens, position, None), expected)


def test_layers_have_a_learned_slope(tiny_config: CfgNode) -> None:
    model = make_model(tiny_config, "dab").eval()
    for layer in (model.transformer.encoder.layers[0], model.transformer.decoder.layers[1]):
        x = torch.randn(1, 3, 32)
        with torch.no_grad():
            layer.activation.weight.fill_(-0.5)
            hidden = layer.linear1(x)
            expected = layer.linear2(torch.where(hidden > 0, hidden, -0.5 * hidden))
            torch.testing.assert_close(layer.feed_forward(x), expected)


@pytest.mark.parametrize("key", ["ENC_LAYERS", "DEC_LAYERS"])
@pytest.mark.parametrize("decoder", ["dab", "conditional"])
def test_the_fewest_layers_leave_no_parameter_without_gradient(
    tiny_config: CfgNode, key: str, decoder: str
) -> None:
    tiny_config.MODEL.DETR[key] = {"ENC_LAYERS": 0, "DEC_LAYERS": 1}[key]
    model = make_model(tiny_config, decoder)
    sum(model([make_input(64, 64, 2)]).values()).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_all_queries_may_start_from_one_learned_content(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.DETR.DECODER, tiny_config.MODEL.DETR.DAB.LEARNED_CONTENT = "dab", True
    model = build_model(tiny_config)
    queries = model.query_embed(None)
    assert torch.equal(queries.content[..., :-1], model.query_embed.content.expand(1, 10, 31))
    assert not queries.content[..., -1].any(), "by which denoising tells them from its own"
    assert queries.content.abs().sum() > 0
    sum(model([make_input(64, 64, 2)]).values()).backward()
    assert model.query_embed.content.grad.abs().sum() > 0


def test_centers_of_anchors_start_spread_over_the_image() -> None:
    centers = AnchorQueries(2000, 32).weight[:, :2].sigmoid()
    counts = torch.histc(centers[:, 0], bins=10, min=0, max=1)
    assert counts.min() > 140
    assert counts.max() < 260
