"""The decoder of DETR (Carion et al., ECCV 2020, figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..attention import MultiHeadAttention
from ..heads import BoxHead
from ..queries import LearnedQueries
from ..structures import Decoded, Memory, Queries
from ..transformer import Encoder, TransformerLayer, layer_arguments


class DecoderLayer(TransformerLayer):
    """Self-attention among the queries, cross-attention to the image, then a feed-forward network.

    Another kind of attention overrides :meth:`self_attention` or :meth:`cross_attention`.
    """

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float, pre_norm: bool):
        super().__init__(channels, feedforward, dropout, pre_norm)
        self.self_attn: nn.Module = MultiHeadAttention(channels, heads, dropout)
        self.multihead_attn: nn.Module = MultiHeadAttention(channels, heads, dropout)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)

    def forward(self, x: Tensor, queries: Queries, memory: Memory) -> Tensor:
        """x (B, Q, d), the content so far → (B, Q, d)."""
        x = self.residual(x, self.norm1, partial(self.self_attention, queries=queries))
        x = self.residual(x, self.norm2, partial(self.cross_attention, queries=queries, memory=memory))
        return self.residual(x, self.norm3, self.feed_forward)

    def self_attention(self, x: Tensor, queries: Queries) -> Tensor:
        """(B, Q, d) → (B, Q, d), each row from those that its part sees."""
        located = queries.located(x)
        return self.self_attn(located, located, x, parts=queries.parts)

    def cross_attention(self, x: Tensor, queries: Queries, memory: Memory) -> Tensor:
        """(B, Q, d) → (B, Q, d), from the image."""
        return self.multihead_attn(queries.located(x), memory.keys, memory.tokens, memory.padding)


class Decoder(nn.Module):
    """A stack of decoder layers; every output goes through the same final norm.

    Attributes:
        layer: the kind of its layers.
        encoder: the kind of encoder that goes before it.
        queries: the kind of queries that it starts from.
        box_head: the kind of head that predicts its boxes.
        refines: its queries are boxes, which every layer refines.
    """

    layer: ClassVar[type[DecoderLayer]] = DecoderLayer
    encoder: ClassVar[type[Encoder]] = Encoder
    queries: ClassVar[type[LearnedQueries]] = LearnedQueries
    box_head: ClassVar[type[BoxHead]] = BoxHead
    refines: ClassVar[bool] = False

    def __init__(self, layers: Sequence[DecoderLayer], norm: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Decoder:
        """MODEL.DETR.DEC_LAYERS layers."""
        layers = [cls.layer(*layer_arguments(cfg)) for _ in range(cfg.MODEL.DETR.DEC_LAYERS)]
        return cls(layers, nn.LayerNorm(cfg.MODEL.DETR.HIDDEN_DIM))

    def forward(self, queries: Queries, memory: Memory, box_head: BoxHead) -> Decoded:
        """Decode.

        Args:
            queries: of the kind that the class names.
            memory: the encoded images.
            box_head: (hidden, reference) → boxes before the sigmoid, for decoders that refine a reference
                from layer to layer; this one does not.
        """
        x = queries.content.expand(len(memory.tokens), -1, -1)
        outputs = []
        for layer in self.layers:
            x = layer(x, queries, memory)
            outputs.append(self.norm(x))
        return Decoded(torch.stack(outputs))
