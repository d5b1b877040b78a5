"""A decoder whose queries and keys are wider than its values, with a point as reference.

Content and position stand side by side in each head, as in Conditional DETR's cross-attention.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from detr_d2.modeling import Decoded, Decoder, DecoderLayer, LearnedQueries, Memory, Queries
from detr_d2.modeling.attention import attend
from detr_d2.modeling.heads import BoxHead


class PointQueries(LearnedQueries):
    def __init__(self, num_queries: int, channels: int, copies: int):
        super().__init__(num_queries, channels, copies)
        self.point = nn.Linear(channels, 2)

    def forward(self, memory: Memory, rows: slice | None = None) -> Queries:
        queries = super().forward(memory, rows)
        return replace(queries, reference=self.point(queries.position))


class PointLayer(DecoderLayer):
    def cross_attention(self, x: Tensor, queries: Queries, memory: Memory) -> Tensor:
        assert queries.reference is not None
        heads, hidden = self.multihead_attn.heads, None if memory.padding is None else memory.padding[:, None]
        q, k, v = self.multihead_attn.project(x, memory.tokens, memory.tokens)
        q = beside(q, waves(queries.reference.sigmoid(), x.shape[2]), heads)
        k = beside(k, memory.position, heads)
        return self.multihead_attn.out_proj(attend(q, k, v, heads, hidden))


class PointDecoder(Decoder):
    layer = PointLayer
    queries = PointQueries

    def forward(self, queries: Queries, memory: Memory, box_head: BoxHead) -> Decoded:
        assert queries.reference is not None
        return Decoded(super().forward(queries, memory, box_head).hidden, queries.reference[None])


def beside(one: Tensor, other: Tensor, heads: int) -> Tensor:
    """(B, n, d) and (1 or B, n, d) → (B, n, 2 d), head after head."""
    pair = (x.expand_as(one).unflatten(2, (heads, -1)) for x in (one, other))
    return torch.cat(list(pair), dim=-1).flatten(2)


def waves(points: Tensor, channels: int) -> Tensor:
    """(..., 2) in [0, 1] as (x, y) → (..., channels), y before x as in the images' encoding."""
    angles = points.flip(-1)[..., None] * 2 * math.pi * 20.0 ** -torch.linspace(0, 1, channels // 4)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-3)
