"""The steps of a model's forward, for tests that look between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from detr_d2.modeling import Decoded, Detr, HungarianMatcher, Matches, Memory, Prediction, Targets

from ..conftest import make_input


class Steps(NamedTuple):
    features: dict[str, Tensor]
    memory: Memory
    decoded: Decoded


def steps(model: Detr, batched_inputs: list[dict[str, Any]]) -> Steps:
    """What a model makes of a batch: in training with the groups of queries, which read no targets."""
    images = model.preprocess(batched_inputs)
    features = model.backbone(images.tensor)
    memory = model.encode(features, images)
    count = len(batched_inputs)
    nothing = Targets(torch.zeros(count, 0).long(), torch.zeros(count, 0, 4), (0,) * count)
    queries = model.queries(memory, nothing if model.training else None)
    return Steps(features, memory, model.transformer.decoder(queries, memory, model.bbox_embed))


def masks_of(model: Detr, of: Steps, queries: Sequence[Tensor]) -> Sequence[Tensor]:
    """Mask logits of some queries of each image."""
    return model.predict_masks(*of, queries)


def match(matcher: HungarianMatcher, logits: Tensor, boxes: Tensor, targets: Targets) -> Matches:
    """The matches of one prediction."""
    (matches,) = matcher([Prediction(logits, boxes)], targets)
    return matches


def check_every_parameter_learns(model: Detr) -> None:
    """With objects in some images, and in none: DistributedDataParallel waits for every gradient."""
    for counts in ((3, 0, 12), (0, 0)):
        losses = model([make_input(64, 96, n) for n in counts])
        assert all(loss.isfinite() for loss in losses.values())
        model.zero_grad()
        sum(losses.values()).backward()
        assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def targets_of(model: Detr, batched_inputs: list[dict[str, Any]]) -> Targets:
    """The objects of a batch."""
    return model.targets(batched_inputs, model.preprocess(batched_inputs))
