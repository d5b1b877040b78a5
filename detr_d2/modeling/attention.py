"""Multi-head attention on PyTorch's fused kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError


class MultiHeadAttention(nn.Module):
    """Attention of Vaswani et al. (2017), batch first, with ``nn.MultiheadAttention``'s parameter names.

    Args:
        channels: d of queries, keys, values and result.
        heads: must divide ``channels``.
        dropout: probability to drop an attention weight in training.

    Raises:
        ConfigError: ``channels`` is not divisible by ``heads``.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0):
        super().__init__()
        if channels % heads:
            raise ConfigError(f"{channels} channels cannot be divided among {heads} attention heads")
        self.heads = heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            query: (B, N, d).
            key, value: (B, S, d).
            padding: (B, S) bool, True on keys that nothing may attend to; None when there are none.

        Returns:
            (B, N, d).
        """
        q, k, v = self._project(query, key, value)
        attend = None if padding is None else ~padding[:, None, None, :]  # B x 1 x 1 x S
        out = _dot_product_attention(q, k, v, attend, self.dropout if self.training else 0.0)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # B x h x N x d/h -> B x N x d

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project and split into heads: each (B, n, d) → (B, heads, n, d / heads)."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        channels = weight.shape[1]
        if query is key:  # self-attention: one product for both
            q, k = F.linear(query, weight[: 2 * channels], bias[: 2 * channels]).chunk(2, dim=-1)
        else:
            q = F.linear(query, weight[:channels], bias[:channels])
            k = F.linear(key, weight[channels : 2 * channels], bias[channels : 2 * channels])
        v = F.linear(value, weight[2 * channels :], bias[2 * channels :])
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        return q, k, v


def _dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attend: Tensor | None, dropout: float) -> Tensor:
    """softmax(q·kᵀ / √d)·v over (B, h, n, d), where ``attend`` (broadcast to B, h, N, S) is True."""
    if not (q.is_cpu and q.dtype == torch.bfloat16 and q.requires_grad):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attend, dropout_p=dropout)
    # PyTorch's fused CPU kernel is 4 to 7 times slower backwards in bfloat16 than these products.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # B x h x N x S
    if attend is not None:
        scores = scores.masked_fill(~attend, float("-inf"))
    return F.dropout(scores.softmax(-1), dropout) @ v
