"""The transformer of DAB-DETR (Liu et al., "DAB-DETR: Dynamic Anchor Boxes are Better Queries", ICLR 2022).

A query is a box, the anchor, that every layer refines. Conditional cross-attention looks around its center,
as far as its width and height say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..boxes import bounded_logits
from ..heads import MLP, BoxHead
from ..position_encoding import reference_waves
from ..queries import LearnedQueries
from ..structures import Decoded, Memory, Part, Queries
from ..transformer import Encoder, EncoderLayer
from .conditional import ConditionalDecoder, ConditionalLayer


class AnchorQueries(LearnedQueries):
    """Learned boxes before the sigmoid, (N, 4), whose content is zeros or one vector that all share.

    Their centers start spread over the image.

    Args:
        num_queries, channels, copies: see :class:`LearnedQueries`.
        learned_content: learn the vector, as DN-DETR does, but for the last channel, by which denoising
            tells its queries from these.
    """

    positioned = False

    def __init__(self, num_queries: int, channels: int, copies: int = 1, learned_content: bool = False):
        super().__init__(num_queries, 4, copies)
        self.channels = channels
        with torch.no_grad():
            self.weight[:, :2] = torch.rand(copies * num_queries, 2).logit(eps=1e-3)
        self.content = nn.Parameter(torch.randn(channels - 1)) if learned_content else None

    @classmethod
    def from_config(cls, cfg: CfgNode, copies: int) -> AnchorQueries:
        detr = cfg.MODEL.DETR
        return cls(detr.NUM_OBJECT_QUERIES, detr.HIDDEN_DIM, copies, detr.DAB.LEARNED_CONTENT)

    def forward(self, memory: Memory, rows: slice | None = None) -> Queries:
        boxes = self.weight[rows or slice(self.num_queries)][None]
        content = boxes.new_zeros(self.channels) if self.content is None else F.pad(self.content, (0, 1))
        number = boxes.shape[1]
        return Queries(content.expand(1, number, -1), None, boxes, (Part(slice(0, number)),))

    @torch.no_grad()
    def place(self, rows: Tensor, points: Tensor, learned: Tensor) -> None:
        """As :meth:`LearnedQueries.place`; their sizes are the medians of the learned ones."""
        self.weight[rows, :2] = points.to(self.weight).logit()
        self.weight[rows, 2:] = self.weight[learned, 2:].median(dim=0).values


class DabEncoderLayer(EncoderLayer):
    """With PReLU."""

    nonlinearity = nn.PReLU


class DabEncoder(Encoder):
    """An encoder whose layers scale the position of each cell by its content."""

    layer = DabEncoderLayer

    def __init__(self, layers: Sequence[EncoderLayer], norm: nn.Module | None, position_in_content: bool):
        super().__init__(layers, norm, position_in_content)
        if layers:
            channels = layers[0].channels
            self.query_scale = MLP(channels, channels, channels, num_layers=2)

    def layer_position(self, tokens: Tensor, position: Tensor) -> Tensor:
        return position * self.query_scale(tokens)


class DabLayer(ConditionalLayer):
    """With PReLU."""

    nonlinearity = nn.PReLU


class DabDecoder(ConditionalDecoder):
    """A stack of conditional layers that refine the queries' anchors.

    Args:
        layers: the first of them made to be it.
        norm: of every output.
        temperature: of the encoding of the anchors, see :func:`reference_waves`.
    """

    layer = DabLayer
    encoder = DabEncoder
    queries = AnchorQueries
    refines = True

    def __init__(self, layers: Sequence[ConditionalLayer], norm: nn.Module, temperature: float):
        super().__init__(layers, norm, temperature)
        self.ref_point_head = MLP(2 * self.channels, self.channels, self.channels, num_layers=2)
        self.ref_anchor_head = MLP(self.channels, self.channels, 2, num_layers=2)

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
                refined = box_head(x, bounded_logits(anchor))
                references.append(bounded_logits(refined))
                anchor = refined.detach()
            box = anchor.sigmoid()
            waves = reference_waves(box, self.channels, self.temperature)  # B x Q x 2 d
            center = waves[..., : self.channels]
            if outputs:
                center = center * self.query_scale(x)
            place = self.modulated(center, x, box)
            x = layer(x, replace(queries, position=self.ref_point_head(waves), place=place), memory)
            outputs.append(self.norm(x))
        return Decoded(torch.stack(outputs), torch.stack(references))

    def modulated(self, center: Tensor, x: Tensor, box: Tensor) -> Tensor:
        """Let each query say how near in x and in y, against the size of its anchor (section 4.4).

        Args:
            center: (B, Q, d), the encoding of the anchors' centers, y first.
            x: (B, Q, d), content.
            box: (B, Q, 4), the anchors (cx, cy, w, h).

        Returns:
            (B, Q, d): the half of y times h' / h and that of x times w' / w.
        """
        ratio = self.ref_anchor_head(x).sigmoid() / box[..., 2:]
        return (center.unflatten(-1, (2, -1)) * ratio.flip(-1)[..., None]).flatten(-2)
