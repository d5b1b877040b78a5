"""The decoder of Conditional DETR (Meng et al., "Conditional DETR for Fast Training Convergence", ICCV 2021).

A query looks for its object around a point: in cross-attention its content meets the content of the cells,
and its place their places, each on channels of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.func import jacrev, vmap

from ..attention import attend, attend_by_parts
from ..boxes import bounded_logits
from ..heads import MLP, BoxHead, RelativeBoxHead
from ..position_encoding import reference_waves
from ..precision import without_autocast
from ..queries import LearnedQueries
from ..structures import Decoded, Memory, Part, Queries
from ..transformer import layer_arguments
from .plain import Decoder, DecoderLayer


class PointQueries(LearnedQueries):
    """Learned positions, each with the point s that it stands for, before the sigmoid."""

    def __init__(self, num_queries: int, channels: int, copies: int = 1):
        super().__init__(num_queries, channels, copies)
        self.ref_point_head = MLP(channels, channels, 2, num_layers=2)
        for parameter in self.ref_point_head.parameters():
            if parameter.dim() > 1:  # as the matrices of the transformer
                nn.init.xavier_uniform_(parameter)

    def forward(self, memory: Memory, rows: slice | None = None) -> Queries:
        queries = super().forward(memory, rows)
        assert queries.position is not None
        with without_autocast(queries.position.device):
            return replace(queries, reference=self.ref_point_head(queries.position))

    @torch.no_grad()
    def place(self, rows: Tensor, points: Tensor, learned: Tensor) -> None:
        """As :meth:`LearnedQueries.place`: each starts from the learned position whose point is nearest,
        changed as little as moves the point (Gauss-Newton steps of least norm).
        """
        goals, head = points.to(self.weight), self.ref_point_head
        positions = self.weight[learned]
        start = positions[torch.cdist(goals, head(positions).sigmoid()).argmin(dim=1)]
        position = start
        for _ in range(20):  # the head is linear but for the bends of its ReLUs
            slope = vmap(jacrev(head))(position)  # n x 2 x d
            left = goals.logit() - head(position)
            square = slope @ slope.mT + 1e-6 * torch.eye(2).to(slope)
            position = position + (slope.mT @ torch.linalg.solve(square, left)[..., None])[..., 0]
        nearer = torch.stack([head(x).sub(goals.logit()).norm(dim=1) for x in (position, start)])
        self.weight[rows] = torch.where((nearer[0] < nearer[1])[:, None], position, start)


class ConditionalSelfAttention(nn.Module):
    """Self-attention whose content and position are projected each by itself, and then added.

    Args:
        channels: d of every token.
        heads: must divide ``channels``.
        dropout: probability to drop an attention weight in training.
    """

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.q_content_proj, self.q_pos_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.k_content_proj, self.k_pos_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.v_content_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, position: Tensor, parts: Sequence[Part]) -> Tensor:
        """x (B, Q, d), position (1 or B, Q, d) → (B, Q, d), each row from those that its part sees."""
        q = self.q_content_proj(x) + self.q_pos_proj(position)
        k = self.k_content_proj(x) + self.k_pos_proj(position)
        dropout = self.dropout if self.training else 0.0
        attended = attend_by_parts(q, k, self.v_content_proj(x), self.heads, parts, dropout)
        return self.out_proj(attended)


class ConditionalCrossAttention(nn.Module):
    """Cross-attention in which content meets content, and place meets place.

    In the first layer, whose content says nothing yet, the positions are added to the content as well.

    Args:
        channels: d of every token.
        heads: must divide ``channels``.
        dropout: probability to drop an attention weight in training.
        first: of the layers.
    """

    def __init__(self, channels: int, heads: int, dropout: float, first: bool):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.q_content_proj, self.k_content_proj = (nn.Linear(channels, channels) for _ in "qk")
        self.q_pos_proj = nn.Linear(channels, channels) if first else None
        self.q_pos_sine_proj, self.k_pos_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.v_content_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, position: Tensor, place: Tensor, memory: Memory) -> Tensor:
        """Attend to the image.

        Args:
            x: (B, Q, d), content.
            position: (1 or B, Q, d), of the queries.
            place: (1 or B, Q, d), what is compared with the positions of the cells.
            memory: the encoded images.

        Returns:
            (B, Q, d).
        """
        q, k = self.q_content_proj(x), self.k_content_proj(memory.tokens)
        q_place, k_place = self.q_pos_sine_proj(place), self.k_pos_proj(memory.position)
        if self.q_pos_proj is not None:
            q, k = q + self.q_pos_proj(position), k + k_place
        q, k = beside(q, q_place, self.heads), beside(k, k_place, self.heads)
        hidden = None if memory.padding is None else memory.padding[:, None]
        dropout = self.dropout if self.training else 0.0
        return self.out_proj(attend(q, k, self.v_content_proj(memory.tokens), self.heads, hidden, dropout))


class ConditionalLayer(DecoderLayer):
    """A decoder layer whose attentions keep content and place apart; ``first`` says that it is that."""

    def __init__(
        self, channels: int, heads: int, feedforward: int, dropout: float, pre_norm: bool, first: bool
    ):
        super().__init__(channels, heads, feedforward, dropout, pre_norm)
        self.self_attn = ConditionalSelfAttention(channels, heads, dropout)
        self.multihead_attn = ConditionalCrossAttention(channels, heads, dropout, first)

    def self_attention(self, x: Tensor, queries: Queries) -> Tensor:
        return self.self_attn(x, queries.position, queries.parts)

    def cross_attention(self, x: Tensor, queries: Queries, memory: Memory) -> Tensor:
        return self.multihead_attn(x, queries.position, queries.place, memory)


class ConditionalDecoder(Decoder):
    """A stack of conditional layers. Boxes are predicted relative to the queries' points.

    Args:
        layers: the first of them made to be it.
        norm: of every output.
        temperature: of the encoding p_s of the points, see :func:`reference_waves`.
    """

    layer: ClassVar[type[ConditionalLayer]] = ConditionalLayer
    queries: ClassVar[type[LearnedQueries]] = PointQueries
    box_head = RelativeBoxHead

    def __init__(self, layers: Sequence[ConditionalLayer], norm: nn.Module, temperature: float):
        super().__init__(layers, norm)
        self.temperature = temperature
        self.channels = layers[0].channels
        if len(layers) > 1:
            self.query_scale = MLP(self.channels, self.channels, self.channels, num_layers=2)  # T

    @classmethod
    def from_config(cls, cfg: CfgNode) -> ConditionalDecoder:
        detr = cfg.MODEL.DETR
        layers = [cls.layer(*layer_arguments(cfg), first=i == 0) for i in range(detr.DEC_LAYERS)]
        return cls(layers, nn.LayerNorm(detr.HIDDEN_DIM), detr.QUERY_TEMPERATURE)

    def forward(self, queries: Queries, memory: Memory, box_head: BoxHead) -> Decoded:
        assert queries.reference is not None
        points = reference_waves(queries.reference.sigmoid(), self.channels, self.temperature)  # p_s
        x = queries.content.expand(len(memory.tokens), -1, -1)
        outputs: list[Tensor] = []
        for layer in self.layers:
            place = points * self.query_scale(x) if outputs else points  # p_q
            x = layer(x, replace(queries, place=place), memory)
            outputs.append(self.norm(x))
        return Decoded(torch.stack(outputs), bounded_logits(queries.reference)[None])


def beside(one: Tensor, other: Tensor, heads: int) -> Tensor:
    """(B, n, d) and (1 or B, n, d) → (B, n, 2 d): each head has its part of both, side by side."""
    pair = [x.expand_as(one).unflatten(2, (heads, -1)) for x in (one, other)]
    return torch.cat(pair, dim=-1).flatten(2)
