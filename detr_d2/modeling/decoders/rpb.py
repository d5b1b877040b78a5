"""Anchors with the box-relative position bias of Plain DETR (Lin et al., "DETR Doesn't Need Multi-Scale or
Locality Design", ICCV 2023).

A query is a box, the anchor, that every layer refines. Cross-attention is DETR's own, with a bias on its
scores that says where a cell lies relative to the sides of the anchor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..attention import MultiHeadAttention, attend
from ..boxes import bounded_logits, cxcywh_to_xyxy
from ..heads import MLP, BoxHead, RelativeBoxHead
from ..position_encoding import reference_waves
from ..structures import Decoded, Memory, Queries
from ..transformer import layer_arguments
from .dab import AnchorQueries
from .plain import Decoder, DecoderLayer

# So many queries attend at a time in training.
CHUNK = 256


def box_distances(box: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """How far rows and columns of cells lie from the sides of boxes, in cells and on a logarithmic scale.

    Of a distance Δ = center of the cell - side of the box it is sign(Δ) · log2(1 + |8 Δ|) / log2 8.

    Args:
        box: (B, Q, 4) as (cx, cy, w, h), a share of the image without its padding.
        memory: the encoded images, with h rows and w columns of cells.

    Returns:
        (B, Q, h, 2) of the rows, from the upper and the lower side, and (B, Q, w, 2) of the columns, from the
        left and the right one.
    """
    (height, width), *_ = memory.shapes
    left, upper, right, lower = (cxcywh_to_xyxy(box) * memory.extent.repeat(1, 2)[:, None]).unbind(-1)
    distances = []
    for count, sides in ((height, (upper, lower)), (width, (left, right))):
        center = torch.arange(count, device=box.device)[:, None] + 0.5
        distance = center - torch.stack(sides, dim=-1)[:, :, None]  # B x Q x count x 2
        distances.append(distance.sign() * torch.log1p(8 * distance.abs()) / math.log(8))
    return distances[0], distances[1]


class BoxBias(nn.Module):
    """One number for each head, box and cell: the sum of one for the row and one for the column of the cell.

    The sum costs a small part of what one network over both distances would. A constant would change no
    softmax, so that the last layers have none.

    Args:
        channels: hidden channels of both networks.
        heads: numbers of each cell.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.rows, self.columns = (
            nn.Sequential(nn.Linear(2, channels), nn.ReLU(), nn.Linear(channels, heads, bias=False))
            for _ in range(2)
        )

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(B, Q, h, 2) and (B, Q, w, 2), see :func:`box_distances` → (B, heads, Q, h · w)."""
        y, x = self.rows(rows).movedim(-1, 1), self.columns(columns).movedim(-1, 1)  # B x heads x Q x ·
        return (y[..., :, None] + x[..., None, :]).flatten(-2)


class BoxAttention(MultiHeadAttention):
    """Cross-attention with a bias: softmax(q·kᵀ / √c + bias)·v."""

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__(channels, heads, dropout)
        self.bias = BoxBias(channels, heads)

    def forward(self, query: Tensor, memory: Memory, box: Tensor) -> Tensor:  # type: ignore[override]
        """Attend to the image.

        The bias of all queries for all cells is the largest thing that a training step would keep. It is
        computed anew in the backward pass, for some queries at a time, and so are the attention weights.

        Args:
            query: (B, Q, d).
            memory: the encoded images.
            box: (B, Q, 4), of the queries, see :func:`box_distances`.

        Returns:
            (B, Q, d).
        """
        q, k, v = self.project(query, memory.keys, memory.tokens)
        rows, columns = box_distances(box, memory)
        if not (self.training and q.requires_grad):
            return self.out_proj(self.attend_near(q, rows, columns, k, v, memory.padding))
        chunks = zip(*(x.split(CHUNK, dim=1) for x in (q, rows, columns)), strict=True)
        attended = [
            checkpoint(
                self.attend_near,
                *chunk,
                k,
                v,
                memory.padding,
                use_reentrant=False,
                preserve_rng_state=self.dropout > 0,
            )
            for chunk in chunks
        ]
        return self.out_proj(torch.cat(attended, dim=1))

    def attend_near(
        self, q: Tensor, rows: Tensor, columns: Tensor, k: Tensor, v: Tensor, padding: Tensor | None
    ) -> Tensor:
        """Projected queries (B, n, d) with their distances, keys, values (B, S, d), padding → (B, n, d)."""
        bias = self.bias(rows, columns)
        if padding is not None:
            bias = bias.masked_fill(padding[:, None, None], float("-inf"))
        return attend(q, k, v, self.heads, bias=bias, dropout=self.dropout if self.training else 0.0)


class RpbLayer(DecoderLayer):
    """A decoder layer that looks around the queries' references, which are boxes before the sigmoid."""

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float, pre_norm: bool):
        super().__init__(channels, heads, feedforward, dropout, pre_norm)
        self.multihead_attn = BoxAttention(channels, heads, dropout)

    def cross_attention(self, x: Tensor, queries: Queries, memory: Memory) -> Tensor:
        assert queries.reference is not None
        return self.multihead_attn(queries.located(x), memory, queries.reference.sigmoid())


class RpbDecoder(Decoder):
    """A stack of such layers that refine the queries' anchors.

    Args:
        layers: of the stack.
        norm: of every output.
        temperature: of the encoding of the anchors, see :func:`reference_waves`.
        position_in_content: add each layer's encoding of the anchor to the content that enters it: the layer
            predicts how the anchor has to change, and otherwise knows it by what it attends to alone.
    """

    layer = RpbLayer
    queries = AnchorQueries
    box_head = RelativeBoxHead
    refines = True

    def __init__(
        self, layers: Sequence[DecoderLayer], norm: nn.Module, temperature: float, position_in_content: bool
    ):
        super().__init__(layers, norm)
        self.temperature = temperature
        self.position_in_content = position_in_content
        self.channels = layers[0].channels
        self.ref_point_head = MLP(2 * self.channels, self.channels, self.channels, num_layers=2)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> RpbDecoder:
        detr = cfg.MODEL.DETR
        layers = [cls.layer(*layer_arguments(cfg)) for _ in range(detr.DEC_LAYERS)]
        norm = nn.LayerNorm(detr.HIDDEN_DIM)
        return cls(layers, norm, detr.QUERY_TEMPERATURE, detr.RPB.POSITION_IN_CONTENT)

    def forward(self, queries: Queries, memory: Memory, box_head: BoxHead) -> Decoded:
        """Decode; a layer attends around its anchor without gradient, and boxes are predicted relative to it
        with gradient (but for the learned anchors, which have both).
        """
        assert queries.reference is not None
        images = len(memory.tokens)
        x, anchor = (y.expand(images, -1, -1) for y in (queries.content, queries.reference))
        outputs: list[Tensor] = []
        references = [bounded_logits(anchor)]
        for layer in self.layers:
            if outputs:  # the layer before refines
                refined = box_head(outputs[-1], bounded_logits(anchor))
                references.append(bounded_logits(refined))
                anchor = refined.detach()
            waves = reference_waves(anchor.sigmoid(), self.channels, self.temperature)  # B x Q x 2 d
            position = self.ref_point_head(waves)
            if self.position_in_content:
                x = x + position
            x = layer(x, replace(queries, position=position, reference=anchor), memory)
            outputs.append(self.norm(x))
        return Decoded(torch.stack(outputs), torch.stack(references))
