"""Plain-loop versions of matching and loss, written from the paper's equations, one pair at a time."""

from __future__ import annotations

import itertools
import math

import torch
import torchvision.ops
from torch import Tensor

from detr_d2.modeling import Targets


def random_predictions(layers: int, batch: int, queries: int, classes: int) -> tuple[Tensor, Tensor]:
    """Logits (L, B, N, C + 1) and boxes (L, B, N, 4)."""
    logits = torch.randn(layers, batch, queries, classes + 1)
    boxes = torch.cat(
        [torch.rand(layers, batch, queries, 2), 0.05 + 0.5 * torch.rand(layers, batch, queries, 2)], -1
    )
    return logits, boxes


def random_targets(counts: tuple[int, ...], classes: int) -> Targets:
    longest = max(counts)
    labels = torch.randint(classes, (len(counts), longest))
    boxes = torch.cat(
        [torch.rand(len(counts), longest, 2), 0.05 + 0.5 * torch.rand(len(counts), longest, 2)], -1
    )
    for i, count in enumerate(counts):
        labels[i, count:] = 0
        boxes[i, count:] = 0
    return Targets(labels, boxes, counts)


def pair_cost(
    logits: Tensor, box: Tensor, label: int, target_box: Tensor, weights: tuple[float, float, float]
) -> float:
    """Cost of one query, logits (C + 1,), for one object, with weights of (class, L1, GIoU)."""
    exponentials = [math.exp(float(x)) for x in logits]
    probability = exponentials[label] / sum(exponentials)
    l1 = sum(abs(float(a) - float(b)) for a, b in zip(box, target_box, strict=True))
    return weights[1] * l1 - weights[0] * probability - weights[2] * pair_giou(box, target_box)


def pair_giou(box: Tensor, target_box: Tensor) -> float:
    corners = torchvision.ops.box_convert(torch.stack([box, target_box]).double(), "cxcywh", "xyxy")
    return float(torchvision.ops.generalized_box_iou(corners[:1], corners[1:]))


def least_cost(cost: list[list[float]]) -> float:
    """The least total of a one-to-one assignment of a small (N, T) matrix, by trying all of them."""
    queries, objects = len(cost), len(cost[0]) if cost else 0
    if queries >= objects:
        choices = itertools.permutations(range(queries), objects)
        return min(sum(cost[q][t] for t, q in enumerate(choice)) for choice in choices)
    choices = itertools.permutations(range(objects), queries)
    return min(sum(cost[q][t] for q, t in enumerate(choice)) for choice in choices)


def set_loss(
    logits: Tensor, boxes: Tensor, targets: Targets, pairs: list[list[tuple[int, int]]], no_object: float
) -> tuple[float, float, float, float, int]:
    """Sums of one layer: weighted cross entropy, its weights, L1 and 1 - GIoU of the pairs, and objects."""
    cross_entropy = weight_sum = l1 = giou = 0.0
    batch, queries, classes = logits.shape
    for i in range(batch):
        object_of = dict(pairs[i])
        for q in range(queries):
            label = int(targets.labels[i, object_of[q]]) if q in object_of else classes - 1
            weight = 1.0 if q in object_of else no_object
            log_sum = math.log(sum(math.exp(float(x)) for x in logits[i, q]))
            cross_entropy += weight * (log_sum - float(logits[i, q, label]))
            weight_sum += weight
            if q in object_of:
                target_box = targets.boxes[i, object_of[q]]
                l1 += sum(abs(float(a) - float(b)) for a, b in zip(boxes[i, q], target_box, strict=True))
                giou += 1 - pair_giou(boxes[i, q], target_box)
    return cross_entropy, weight_sum, l1, giou, sum(targets.counts)
