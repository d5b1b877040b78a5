import pytest
import torch
from torch import nn

from detr_d2.modeling.transformer import DecoderLayer, EncoderLayer, Transformer


@pytest.mark.parametrize("pre_norm", [False, True])
def test_encoder_layer_without_position_equals_pytorchs(pre_norm: bool) -> None:
    layer = EncoderLayer(32, 4, 64, dropout=0.1, pre_norm=pre_norm).eval()
    reference = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=pre_norm)
    reference.load_state_dict(layer.state_dict())
    reference.train()  # eval mode would take PyTorch's fused path, which ignores norm_first's order of sums
    for module in reference.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    reference.self_attn.dropout = 0.0
    x = torch.randn(2, 7, 32)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[0, 5:] = True
    expected = reference(x, src_key_padding_mask=padding)
    torch.testing.assert_close(layer(x, torch.zeros(1, 7, 32), padding), expected)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_decoder_layer_without_positions_equals_pytorchs(pre_norm: bool) -> None:
    layer = DecoderLayer(32, 4, 64, dropout=0.1, pre_norm=pre_norm).eval()
    reference = nn.TransformerDecoderLayer(32, 4, 64, batch_first=True, norm_first=pre_norm)
    reference.load_state_dict(layer.state_dict())
    reference.eval()
    queries, memory = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    no_position = torch.zeros(5, 32)
    expected = reference(queries, memory)
    torch.testing.assert_close(layer(queries, no_position, memory, memory, None), expected)


def test_positions_reach_queries_and_keys_but_never_values() -> None:
    layer = EncoderLayer(8, 2, 16, dropout=0.0, pre_norm=False).eval()
    x, position = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    reference = nn.MultiheadAttention(8, 2, batch_first=True)
    reference.load_state_dict(layer.self_attn.state_dict())
    attended, _ = reference(x + position, x + position, x)
    tokens = layer.norm1(x + attended)
    expected = layer.norm2(tokens + layer.linear2(layer.linear1(tokens).relu()))
    torch.testing.assert_close(layer(x, position, None), expected)


def test_decoder_positions_reach_queries_and_keys_but_never_values() -> None:
    layer = DecoderLayer(8, 2, 16, dropout=0.0, pre_norm=False).eval()
    x, query_embed = torch.randn(1, 3, 8), torch.randn(3, 8)
    memory, position = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    self_attn, cross_attn = (nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
    self_attn.load_state_dict(layer.self_attn.state_dict())
    cross_attn.load_state_dict(layer.multihead_attn.state_dict())
    located = x + query_embed
    tokens = layer.norm1(x + self_attn(located, located, x)[0])
    tokens = layer.norm2(tokens + cross_attn(tokens + query_embed, memory + position, memory)[0])
    expected = layer.norm3(tokens + layer.linear2(layer.linear1(tokens).relu()))
    torch.testing.assert_close(layer(x, query_embed, memory, memory + position, None), expected)


def test_every_decoder_layer_is_given_through_the_same_final_norm() -> None:
    transformer = Transformer(16, 2, encoder_layers=1, decoder_layers=3, feedforward=32).eval()
    nn.init.zeros_(transformer.decoder.norm.weight)
    nn.init.constant_(transformer.decoder.norm.bias, 7.0)
    features, position = torch.randn(2, 16, 3, 4), torch.randn(1, 16, 3, 4)
    queries, memory = transformer(features, position, torch.randn(5, 16), None)
    assert queries.shape == (3, 2, 5, 16)
    assert memory.shape == (2, 12, 16)
    assert torch.equal(queries, torch.full_like(queries, 7.0))


def test_only_the_pre_norm_encoder_ends_in_a_norm() -> None:
    assert Transformer(16, 2, 1, 1, 32, pre_norm=False).encoder.norm is None
    assert isinstance(Transformer(16, 2, 1, 1, 32, pre_norm=True).encoder.norm, nn.LayerNorm)


def test_matrices_are_xavier_uniform_and_vectors_keep_pytorchs_defaults() -> None:
    transformer = Transformer(64, 4, 1, 1, 256)
    for name, parameter in transformer.named_parameters():
        if parameter.dim() > 1:
            fan_out, fan_in = parameter.shape
            bound = (6 / (fan_in + fan_out)) ** 0.5
            assert parameter.abs().max() <= bound, name
            assert parameter.abs().max() > 0.95 * bound, name
            assert abs(parameter.std() / (bound / 3**0.5) - 1) < 0.05, name
        elif "norm" in name:
            assert torch.equal(parameter, torch.ones(64) if name.endswith("weight") else torch.zeros(64)), (
                name
            )
        elif "in_proj_bias" in name or "out_proj.bias" in name:
            assert not parameter.any(), name
