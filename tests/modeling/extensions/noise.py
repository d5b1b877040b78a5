"""Noisy objects as more queries, with losses by index, as in DN-DETR.

Rows beyond an image's objects are hidden from its others and take no part in the class loss.
"""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from torch import nn

from detr_d2.modeling import Auxiliary, LearnedQueries, Matches, Memory, Part, Queries, Supervision, Targets


class Noise(Auxiliary):
    def __init__(self, classes: int, channels: int):
        super().__init__()
        self.label = nn.Embedding(classes, channels)
        self.place = nn.Linear(4, channels)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Noise:
        return cls(cfg.MODEL.DETR.NUM_CLASSES, cfg.MODEL.DETR.HIDDEN_DIM)

    def extend(self, queries: Queries, learned: LearnedQueries, memory: Memory, targets: Targets) -> Queries:
        images, rows = targets.labels.shape
        boxes = (targets.boxes + 0.05 * torch.randn_like(targets.boxes)).clamp(0.01, 0.99)
        counts = torch.tensor(targets.counts, device=boxes.device)
        empty = torch.arange(rows, device=boxes.device) >= counts[:, None]  # B x n
        itself = torch.eye(rows, dtype=torch.bool, device=boxes.device)
        among = empty[:, None] & ~itself  # B x n x n
        seen = slice(0, learned.num_queries)
        hidden = torch.cat([among.new_zeros(images, rows, seen.stop), among], dim=2)
        image, row = torch.nonzero(~empty, as_tuple=True)
        part = Part(
            rows=slice(len(queries), len(queries) + rows),
            reads=(seen,),
            hidden=hidden,
            supervision=Supervision("_noise", 1.0, Matches(image, row[None], row[None]), empty, True),
        )
        reference = queries.reference
        reference = None if reference is None else boxes.logit()[..., : reference.shape[2]]
        return queries.joined(Queries(self.label(targets.labels), self.place(boxes), reference, (part,)))
