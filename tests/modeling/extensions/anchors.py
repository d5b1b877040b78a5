"""A decoder of boxes that are refined from layer to layer, as in DAB-DETR."""

from __future__ import annotations

from dataclasses import replace

import torch
from detectron2.config import CfgNode
from torch import nn

from detr_d2.modeling import Decoded, Decoder, LearnedQueries, Memory, Part, Queries
from detr_d2.modeling.decoders import DecoderLayer
from detr_d2.modeling.heads import MLP, BoxHead


class Anchors(LearnedQueries):
    """Queries that are boxes before the sigmoid, and nothing else."""

    positioned = False

    def __init__(self, num_queries: int, channels: int, copies: int):
        super().__init__(num_queries, 4, copies)
        self.channels = channels

    def forward(self, memory: Memory, rows: slice | None = None) -> Queries:
        boxes = self.weight[rows or slice(self.num_queries)][None]
        content = boxes.new_zeros(1, boxes.shape[1], self.channels)
        return Queries(content, None, boxes, (Part(slice(0, boxes.shape[1])),))


class AnchorDecoder(Decoder):
    queries = Anchors

    def __init__(self, layers: list[DecoderLayer], norm: nn.Module, channels: int):
        super().__init__(layers, norm)
        self.place = MLP(4, channels, channels, num_layers=2)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> AnchorDecoder:
        plain = Decoder.from_config(cfg)
        return cls(list(plain.layers), plain.norm, cfg.MODEL.DETR.HIDDEN_DIM)

    def forward(self, queries: Queries, memory: Memory, box_head: BoxHead) -> Decoded:
        images = len(memory.tokens)
        assert queries.reference is not None
        x, box = (y.expand(images, -1, -1) for y in (queries.content, queries.reference))
        outputs, references = [], []
        for layer in self.layers:
            # The next layer attends with the detached box, and predicts relative to the undetached one.
            x = layer(x, replace(queries, position=self.place(box.detach().sigmoid())), memory)
            outputs.append(self.norm(x))
            references.append(box)
            box = box_head(outputs[-1], box)
        return Decoded(torch.stack(outputs), torch.stack(references))
