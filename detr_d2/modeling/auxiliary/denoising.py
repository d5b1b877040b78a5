"""Denoising of objects (Li et al., "DN-DETR: Accelerate DETR Training by Introducing Query DeNoising",
CVPR 2022)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor, nn

from ...errors import require
from ..decoders import DECODERS
from ..heads import MLP
from ..position_encoding import reference_waves
from ..queries import LearnedQueries
from ..structures import Matches, Memory, Part, Queries, Supervision
from ..targets import Targets
from .auxiliary import Auxiliary


class Denoising(Auxiliary):
    """Objects with noise on their classes and boxes as more queries, which are to find the noise out.

    They come in groups of as many rows as the image of the batch with most objects has. A row sees its own
    group, without the rows that its image has no object for, and the queries of inference; nobody sees it
    from outside. Losses end in ``_dn``, know what each row stands for, and are divided by the number of
    objects in all groups together.

    Args:
        num_classes: C.
        channels: d.
        groups: how many times each object is denoised, each time with other noise.
        label_noise: probability that a class is drawn anew, out of all.
        box_noise: λ: a center moves by up to λ/2 of the width and height, which change by up to λ.
        positioned: whether the queries have positions, which boxes then need too.
        temperature: of the encoding of the boxes that positions are made of.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        groups: int,
        label_noise: float,
        box_noise: float,
        positioned: bool,
        temperature: float,
    ):
        super().__init__()
        self.groups = groups
        self.label_noise = label_noise
        self.box_noise = box_noise
        self.channels = channels
        self.temperature = temperature
        # The last channel says that a query is one of these.
        self.label = nn.Embedding(num_classes, channels - 1)
        self.place = MLP(2 * channels, channels, channels, num_layers=2) if positioned else None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Denoising:
        detr, node = cfg.MODEL.DETR, cfg.MODEL.DETR.DENOISING
        require(node.GROUPS >= 1, "MODEL.DETR.DENOISING.GROUPS", node.GROUPS, "at least 1")
        for key in ("LABEL_NOISE", "BOX_NOISE"):
            require(0 <= node[key] <= 1, f"MODEL.DETR.DENOISING.{key}", node[key], "in [0, 1]")
        return cls(
            detr.NUM_CLASSES,
            detr.HIDDEN_DIM,
            node.GROUPS,
            node.LABEL_NOISE,
            node.BOX_NOISE,
            DECODERS[detr.DECODER].queries.positioned,
            detr.QUERY_TEMPERATURE,
        )

    def extend(self, queries: Queries, learned: LearnedQueries, memory: Memory, targets: Targets) -> Queries:
        labels, boxes = targets.labels, targets.boxes
        if not labels.shape[1]:  # a row that learns nothing, for every parameter needs its gradient: zeros
            labels, boxes = F.pad(labels, (0, 1)), F.pad(boxes, (0, 0, 0, 1))
        full = torch.arange(labels.shape[1]) < torch.tensor(targets.counts)[:, None]  # B x n
        labels, boxes = self.with_noise(labels.repeat(1, self.groups), boxes.repeat(1, self.groups, 1))
        # Rows without an object are seen by nobody, but what is computed of no size may overflow.
        empty = (~full).repeat(1, self.groups).to(boxes.device, non_blocking=True)
        boxes = boxes.masked_fill(empty[..., None], 0.5)
        content = F.pad(self.label(labels), (0, 1), value=1.0)
        position = reference = None
        if self.place is not None:
            position = self.place(reference_waves(boxes, self.channels, self.temperature))
        if queries.reference is not None:  # a point needs the center alone
            reference = boxes.logit(eps=1e-5)[..., : queries.reference.shape[-1]]
        rows = slice(len(queries), len(queries) + labels.shape[1])
        part = self.part(rows, queries.parts[0].rows, full, labels.device)
        return queries.joined(Queries(content, position, reference, (part,)))

    def with_noise(self, labels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n) and (B, n, 4) (cx, cy, w, h) → the same with noise."""
        anew = torch.rand(labels.shape, device=labels.device) < self.label_noise
        labels = torch.where(anew, torch.randint_like(labels, self.label.num_embeddings), labels)
        size = boxes[..., 2:]
        change = self.box_noise * torch.cat([size / 2, size], dim=-1)
        return labels, (boxes + (2 * torch.rand_like(boxes) - 1) * change).clamp(0, 1)

    def part(self, rows: slice, seen: slice, full: Tensor, device: torch.device) -> Part:
        """What the rows see and are to predict.

        Args:
            rows: K groups of n each.
            seen: the queries that they see besides their group.
            full: (B, n) bool on the host, True where a row of a group is an object.
            device: of the result.
        """
        image, row = full.repeat_interleave(self.groups, dim=0).nonzero(as_tuple=True)  # of B·K groups
        index = torch.stack([image, row]).to(device, non_blocking=True)
        matches = Matches(index[0], index[1:], index[1:])
        ignored = hidden = None
        if not full.all():
            empty = (~full).to(device, non_blocking=True)
            ignored = empty.repeat_interleave(self.groups, dim=0)
            hidden = F.pad(empty, (seen.stop - seen.start, 0))[:, None]  # B x 1 x (N + n)
        supervision = Supervision("_dn", 1 / self.groups, matches, ignored, per_object=True)
        return Part(rows, self.groups, (seen,), hidden, supervision)
