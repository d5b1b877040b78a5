"""Where the queries of inference start."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .auxiliary.auxiliary import Predict
from .class_losses import ClassLoss
from .structures import Memory, Queries


class LearnedStart(nn.Module):
    """Where they were learned to, whatever the image."""

    def forward(self, queries: Queries, predict: Predict, memory: Memory) -> Queries:
        """Queries with other references.

        Args:
            queries: learned.
            predict: classes and boxes of tokens.
            memory: the encoded images.
        """
        return queries


class EncoderStart(LearnedStart):
    """Some of them at boxes that the decoder's heads read off the encoder's tokens, the most certain ones
    (two-stage DETR: Zhu et al., "Deformable DETR", ICLR 2021).

    Their contents stay learned, as in DINO (Zhang et al., ICLR 2023). The other queries, and those that a map
    of few cells has no box for, start from learned boxes. No gradient goes through the boxes: the tokens
    learn from encoder supervision.

    Args:
        number: of queries that start so.
        class_loss: tells scores.
    """

    def __init__(self, number: int, class_loss: ClassLoss):
        super().__init__()
        self.number = number
        self.class_loss = class_loss

    def forward(self, queries: Queries, predict: Predict, memory: Memory) -> Queries:
        assert queries.reference is not None
        boxes = self.best_boxes(predict, memory)
        learned = queries.reference[:, boxes.shape[1] :].expand(len(boxes), -1, -1)
        return replace(queries, reference=torch.cat([boxes, learned], dim=1))

    @torch.no_grad()
    def best_boxes(self, predict: Predict, memory: Memory) -> Tensor:
        """(B, at most ``number``, 4) before the sigmoid, the best first."""
        logits, boxes = predict(memory.tokens, memory.cell_centers().logit(eps=1e-5))
        scores, _ = self.class_loss.best(logits)  # B x S
        if memory.padding is not None:
            scores = scores.masked_fill(memory.padding, -1)
        best = scores.topk(min(self.number, scores.shape[1])).indices[..., None]
        return boxes.gather(1, best.expand(-1, -1, 4)).logit(eps=1e-5)
