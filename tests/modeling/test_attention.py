import pytest
import torch
from torch import nn

from detr_d2.modeling.attention import MultiHeadAttention, attend

HEADS = 2


def oracle(attention: MultiHeadAttention, channels: int, heads: int) -> nn.MultiheadAttention:
    reference = nn.MultiheadAttention(channels, heads, batch_first=True)
    reference.load_state_dict(attention.state_dict())
    return reference.eval()


@pytest.mark.parametrize("padded", [False, True])
def test_cross_attention_equals_pytorchs_module_with_the_same_weights(padded: bool) -> None:
    attention = MultiHeadAttention(32, 4).eval()
    nn.init.normal_(attention.in_proj_bias)
    query, key, value = torch.randn(2, 5, 32), torch.randn(2, 7, 32), torch.randn(2, 7, 32)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[1, 4:] = padded
    expected, _ = oracle(attention, 32, 4)(query, key, value, key_padding_mask=padding, need_weights=False)
    torch.testing.assert_close(attention(query, key, value, padding if padded else None), expected)


def test_self_attention_equals_pytorchs_module_with_the_same_weights() -> None:
    attention = MultiHeadAttention(32, 4).eval()
    nn.init.normal_(attention.in_proj_bias)
    x, located = torch.randn(2, 6, 32), torch.randn(2, 6, 32)
    expected, _ = oracle(attention, 32, 4)(located, located, x, need_weights=False)
    torch.testing.assert_close(attention(located, located, x), expected)


def test_padding_content_does_not_matter() -> None:
    attention = MultiHeadAttention(16, 2).eval()
    query, key = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    padding = torch.tensor([[False, False, False, True, True]])
    changed = key.clone()
    changed[:, 3:] = 100.0
    torch.testing.assert_close(
        attention(query, key, key, padding), attention(query, changed, changed, padding)
    )


def test_dropout_acts_in_training_only() -> None:
    attention = MultiHeadAttention(16, 2, dropout=0.5)
    x = torch.randn(1, 8, 16)
    assert not torch.equal(attention(x, x, x), attention(x, x, x))
    attention.eval()
    assert torch.equal(attention(x, x, x), attention(x, x, x))


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="30 channels cannot be divided among 4"):
        MultiHeadAttention(30, 4)


def test_training_in_bfloat16_on_the_cpu_agrees_with_float32() -> None:
    attention = MultiHeadAttention(32, 4)
    x = torch.randn(2, 6, 32)
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    expected = attention(x, x, x, padding)
    with torch.autocast("cpu", torch.bfloat16):
        low_precision = attention(x, x, x, padding)
    assert low_precision.dtype == torch.bfloat16
    torch.testing.assert_close(low_precision.float(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bias_is_added_to_the_scores_in_training_as_in_inference(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(2, 5, 8, dtype=dtype) for _ in range(3))
    bias = torch.randn(2, HEADS, 5, 5, dtype=dtype)
    bias[..., 3] = float("-inf")
    expected = torch.zeros(2, 5, 8)
    width = 8 // HEADS
    for head in range(HEADS):
        own = slice(head * width, (head + 1) * width)
        scores = q[..., own].float() @ k[..., own].float().mT / width**0.5 + bias[:, head].float()
        expected[..., own] = scores.softmax(-1) @ v[..., own].float()
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    for query in (q, q.clone().requires_grad_()):
        result = attend(query, k, v, HEADS, bias=bias)
        torch.testing.assert_close(result.float(), expected, rtol=tolerance, atol=tolerance)
