"""Groups of queries (Chen et al., "Group DETR", ICCV 2023)."""

from __future__ import annotations

from dataclasses import replace

from detectron2.config import CfgNode

from ...errors import require
from ..queries import LearnedQueries
from ..structures import Memory, Part, Queries, Supervision
from ..targets import Targets
from .auxiliary import Auxiliary


class QueryGroups(Auxiliary):
    """K groups of N queries, each matched with the objects by itself; the first is that of inference.

    Groups do not see each other. All count the same: the loss is the mean of their losses.

    Args:
        groups: K, the first one counted.
    """

    def __init__(self, groups: int):
        super().__init__()
        self.copies = groups

    @classmethod
    def from_config(cls, cfg: CfgNode) -> QueryGroups:
        groups = cfg.MODEL.DETR.GROUPS.NUM
        require(groups >= 2, "MODEL.DETR.GROUPS.NUM", groups, "at least 2")
        return cls(groups)

    def extend(self, queries: Queries, learned: LearnedQueries, memory: Memory, targets: Targets) -> Queries:
        share = 1 / self.copies
        first, *others = queries.parts
        of_first = replace(first.supervision, weight=share * first.supervision.weight)
        queries = replace(queries, parts=(replace(first, supervision=of_first), *others))
        more = learned(memory, slice(learned.num_queries, self.copies * learned.num_queries))
        rows = slice(len(queries), len(queries) + len(more))
        part = Part(rows, groups=self.copies - 1, supervision=Supervision(weight=share))
        return queries.joined(replace(more, parts=(part,)))
