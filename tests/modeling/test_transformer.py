import pytest
import torch
from torch import nn

from detr_d2.modeling import Decoder, DecoderLayer, Encoder, EncoderLayer, Memory, Part, Queries, Transformer

from ..conftest import make_tiny_config


def make(
    channels: int, heads: int, encoder: int, decoder: int, feedforward: int, pre_norm: bool = False
) -> Transformer:
    cfg = make_tiny_config()
    detr = cfg.MODEL.DETR
    detr.HIDDEN_DIM, detr.NHEADS, detr.DIM_FEEDFORWARD, detr.PRE_NORM = channels, heads, feedforward, pre_norm
    detr.ENC_LAYERS, detr.DEC_LAYERS = encoder, decoder
    return Transformer(Encoder.from_config(cfg), Decoder.from_config(cfg))


def asking(position: torch.Tensor) -> Queries:
    """Queries (N, d) that all see each other."""
    rows = slice(0, len(position))
    return Queries(torch.zeros_like(position)[None], position[None], None, (Part(rows),))


def remembering(tokens: torch.Tensor, position: torch.Tensor) -> Memory:
    """Images without padding, of one row of cells."""
    return Memory(tokens, tokens, position, None, ((1, tokens.shape[1]),))


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
    expected = reference(queries, memory)
    torch.testing.assert_close(
        layer(queries, asking(torch.zeros(5, 32)), remembering(memory, torch.zeros(1, 7, 32))), expected
    )


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
    torch.testing.assert_close(layer(x, asking(query_embed), remembering(memory, position)), expected)


def test_every_decoder_layer_is_given_through_the_same_final_norm() -> None:
    decoder = make(16, 2, 1, 3, 32).decoder.eval()
    nn.init.zeros_(decoder.norm.weight)
    nn.init.constant_(decoder.norm.bias, 7.0)
    memory = remembering(torch.randn(2, 12, 16), torch.randn(1, 12, 16))
    queries = decoder(asking(torch.randn(5, 16)), memory, None).hidden
    assert queries.shape == (3, 2, 5, 16)
    assert torch.equal(queries, torch.full_like(queries, 7.0))


def test_only_the_pre_norm_encoder_ends_in_a_norm() -> None:
    assert make(16, 2, 1, 1, 32).encoder.norm is None
    assert isinstance(make(16, 2, 1, 1, 32, pre_norm=True).encoder.norm, nn.LayerNorm)


def test_matrices_are_xavier_uniform_and_vectors_keep_pytorchs_defaults() -> None:
    transformer = make(64, 4, 1, 1, 256)
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
