"""What auxiliary supervision is: more to learn from in training, and nothing at all in inference."""

from __future__ import annotations

from collections.abc import Callable

from detectron2.config import CfgNode
from torch import Tensor, nn

from ..queries import LearnedQueries
from ..structures import Memory, Prediction, Queries
from ..targets import Targets

# Tokens (..., d) and reference (..., 2 or 4) or None → logits and boxes, by the detector's own heads.
Predict = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


class Auxiliary(nn.Module):
    """Extends the queries, or adds predictions that are read off the encoded images, or both.

    Attributes:
        copies: times N rows of the learned queries that it needs; 1 where those of inference do.
    """

    copies: int = 1

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Auxiliary:
        """One with what its node of MODEL.DETR says.

        Raises:
            ConfigError: a key has a value that it cannot have.
        """
        return cls()

    def extend(self, queries: Queries, learned: LearnedQueries, memory: Memory, targets: Targets) -> Queries:
        """The queries with more parts after those that there are.

        Args:
            queries: so far.
            learned: the module that gave the first part.
            memory: the encoded images.
            targets: objects of the images.
        """
        return queries

    def predictions(self, predict: Predict, memory: Memory, targets: Targets) -> list[Prediction]:
        """What is predicted without the decoder.

        Args:
            predict: classes and boxes of tokens.
            memory: the encoded images.
            targets: objects of the images.
        """
        return []
