"""Multi-head attention on PyTorch's fused kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .structures import Part


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

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        padding: Tensor | None = None,
        parts: Sequence[Part] = (),
    ) -> Tensor:
        """Attend.

        Args:
            query: (B, N, d).
            key, value: (B, S, d).
            padding: (B, S) bool, True on keys that nothing may attend to; None when there are none.
            parts: of the rows, where they are queries that do not all see each other; see
                :func:`attend_by_parts`.

        Returns:
            (B, N, d).
        """
        q, k, v = self.project(query, key, value)
        dropout = self.dropout if self.training else 0.0
        if parts:
            return self.out_proj(attend_by_parts(q, k, v, self.heads, parts, dropout))
        hidden = None if padding is None else padding[:, None]
        return self.out_proj(attend(q, k, v, self.heads, hidden, dropout))

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """To what :func:`attend` takes, (B, n, d) each."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        channels = weight.shape[1]
        if query is key:  # self-attention: one product for both
            q, k = F.linear(query, weight[: 2 * channels], bias[: 2 * channels]).chunk(2, dim=-1)
        else:
            q = F.linear(query, weight[:channels], bias[:channels])
            k = F.linear(key, weight[channels : 2 * channels], bias[channels : 2 * channels])
        return q, k, F.linear(value, weight[2 * channels :], bias[2 * channels :])


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    hidden: Tensor | None = None,
    dropout: float = 0.0,
    bias: Tensor | None = None,
) -> Tensor:
    """softmax(q·kᵀ / √c + bias)·v in each head, of projected queries, keys and values.

    Args:
        q: (B, N, heads · c), head after head.
        k: (B, S, heads · c).
        v: (B, S, heads · e); its heads may be of another width.
        heads: number of heads.
        hidden: (N, S) or (B, N or 1, S) bool, True where a query may not attend to a key; None hides
            nothing and leaves PyTorch the fastest kernel.
        dropout: probability to drop an attention weight.
        bias: (B, heads, N, S), in place of ``hidden``: -inf hides.

    Returns:
        (B, N, heads · e).
    """
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # B x heads x · x c
    mask = bias if hidden is None else ~hidden[..., None, :, :]  # B x heads or 1 x N x S
    if not (q.is_cpu and q.dtype == torch.bfloat16 and q.requires_grad):
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    else:  # PyTorch's fused CPU kernel is 4 to 7 times slower backwards in bfloat16 than these products.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # B x heads x N x S
        if hidden is not None:
            scores = scores.masked_fill(hidden[..., None, :, :], float("-inf"))
        if bias is not None:
            scores = scores + bias
        out = F.dropout(scores.softmax(-1), dropout) @ v
    return out.transpose(1, 2).flatten(2)  # B x heads x N x e -> B x N x (heads · e)


def attend_by_parts(
    q: Tensor, k: Tensor, v: Tensor, heads: int, parts: Sequence[Part], dropout: float = 0.0
) -> Tensor:
    """Self-attention in which each part's rows see what the part says, and no more.

    Parts are attended to one after the other, and groups as if they were images: one mask over all rows
    would cost the square of their number.

    Args:
        q, k: (B, Q, heads · c), see :func:`attend`.
        v: (B, Q, heads · e).
        heads: number of heads.
        parts: of the Q rows, in their order.
        dropout: probability to drop an attention weight.

    Returns:
        (B, Q, heads · e).
    """
    results = []
    for part in parts:
        # A group is like another image: B x G·n x · -> B·G x n x ·
        queries, keys, values = (
            x[:, part.rows].unflatten(1, (part.groups, -1)).flatten(0, 1) for x in (q, k, v)
        )
        if part.reads:
            keys, values = (
                torch.cat([*(x[:, rows].repeat_interleave(part.groups, 0) for rows in part.reads), own], 1)
                for x, own in ((k, keys), (v, values))
            )
        hidden = part.hidden
        if hidden is not None and hidden.dim() == 3:
            hidden = hidden.repeat_interleave(part.groups, dim=0)
        attended = attend(queries, keys, values, heads, hidden, dropout)
        results.append(attended.unflatten(0, (len(q), -1)).flatten(1, 2))
    return results[0] if len(results) == 1 else torch.cat(results, dim=1)
