"""Object queries: what a decoder starts from."""

from __future__ import annotations

from typing import ClassVar

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from .structures import Memory, Part, Queries


class LearnedQueries(nn.Module):
    """The object queries of DETR: a learned position each, and no content yet.

    Args:
        num_queries: N, those of inference.
        channels: d.
        copies: how many times as many there are in all; the others are for auxiliary supervision.

    Attributes:
        positioned: the queries have a position; otherwise their reference, a box, says where they are.
    """

    positioned: ClassVar[bool] = True

    def __init__(self, num_queries: int, channels: int, copies: int = 1):
        super().__init__()
        self.num_queries = num_queries
        self.channels = channels
        self.weight = nn.Parameter(torch.randn(copies * num_queries, channels))

    @classmethod
    def from_config(cls, cfg: CfgNode, copies: int) -> LearnedQueries:
        return cls(cfg.MODEL.DETR.NUM_OBJECT_QUERIES, cfg.MODEL.DETR.HIDDEN_DIM, copies)

    def forward(self, memory: Memory, rows: slice | None = None) -> Queries:
        """Some of the queries, as one part.

        Args:
            memory: the images that they are for; learned queries are the same for all.
            rows: of the table; None takes the N of inference.
        """
        position = self.weight[rows or slice(self.num_queries)][None]
        return Queries(torch.zeros_like(position), position, None, (Part(slice(0, position.shape[1])),))

    @torch.no_grad()
    def place(self, rows: Tensor, points: Tensor, learned: Tensor) -> None:
        """Let new queries beside learned ones look at points of the image.

        Learned positions alone do not tell where a query looks: these stay as they were initialized.

        Args:
            rows: (n,) int64, of the table, the new ones.
            points: (n, 2), (x, y) in (0, 1).
            learned: (m,) int64, rows of the others.
        """
