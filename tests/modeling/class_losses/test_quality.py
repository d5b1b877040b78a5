"""Losses that learn how well a box fits, against loops over single answers, and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from detr_d2.errors import ConfigError
from detr_d2.modeling import (
    ClassLoss,
    HungarianMatcher,
    LossWeights,
    MatchabilityAware,
    PositionSupervised,
    Prediction,
    SetCriterion,
)

from ..oracles import pair_giou, random_predictions, random_targets
from ..recipe import ABSOLUTE, FOCAL, MATCHABILITY_AWARE, POSITION_SUPERVISED
from ..test_matcher import pairs_of

CLASSES, QUERIES = 4, 6
WEIGHTS = LossWeights(2.0, 5.0, 2.0)


def pair_iou(box: torch.Tensor, other: torch.Tensor) -> float:
    """Of (cx, cy, w, h), side by side."""
    sides = []
    for axis in (0, 1):
        low = max(float(x[axis] - x[axis + 2] / 2) for x in (box, other))
        high = min(float(x[axis] + x[axis + 2] / 2) for x in (box, other))
        sides.append(max(high - low, 0.0))
    shared = sides[0] * sides[1]
    return shared / (float(box[2] * box[3]) + float(other[2] * other[3]) - shared)


def cross_entropy(p: float, target: float) -> float:
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def position_supervised(p: float, iou: float | None, best: float) -> float:
    if iou is None:
        return p**2 * cross_entropy(p, 0)
    wanted = iou**2 / best**2 if best else 0.0
    return abs(wanted - p) ** 2 * cross_entropy(p, wanted)


def matchability_aware(p: float, iou: float | None, best: float) -> float:
    return p**1.5 * cross_entropy(p, 0) if iou is None else cross_entropy(p, iou**1.5)


KINDS = [(POSITION_SUPERVISED, position_supervised), (MATCHABILITY_AWARE, matchability_aware)]


@pytest.mark.parametrize(("kind", "plain"), KINDS)
@pytest.mark.parametrize("counts", [(2, 0, 3), (0, 0, 0), (9, 1, 0)], ids=str)
def test_the_criterion_tells_them_the_iou_of_every_match(
    kind: ClassLoss, plain: Callable[[float, float | None, float], float], counts: tuple[int, ...]
) -> None:
    logits, boxes = random_predictions(2, len(counts), QUERIES, CLASSES - 1)
    targets = random_targets(counts, CLASSES)
    matcher = HungarianMatcher(2, 5, 2, kind, ABSOLUTE)
    criterion = SetCriterion(CLASSES, QUERIES, matcher, WEIGHTS, kind, ABSOLUTE, False, True, 0)
    losses, matches = criterion([Prediction(logits, boxes)], targets)
    for layer, suffix in enumerate(("_0", "")):
        total = 0.0
        for image in range(len(counts)):
            iou = {
                (query, int(targets.labels[image, target])): pair_iou(
                    boxes[layer, image, query], targets.boxes[image, target]
                )
                for query, target in pairs_of(matches, layer, image)
            }
            for query in range(QUERIES):
                for class_ in range(CLASSES):
                    p = 1 / (1 + math.exp(-float(logits[layer, image, query, class_])))
                    total += plain(p, iou.get((query, class_)), max(iou.values(), default=1.0))
        assert losses[f"loss_ce{suffix}"].item() == pytest.approx(2 * total / max(sum(counts), 1), rel=1e-5)


def test_groups_of_queries_are_rescaled_by_themselves() -> None:
    """As if they were images."""
    logits, labels = torch.randn(1, 2, 3, CLASSES), torch.tensor([[[0, 1, CLASSES], [2, CLASSES, 0]]])
    iou = torch.tensor([[[0.4, 0.8, 0.0], [0.3, 0.0, 0.1]]])
    both = POSITION_SUPERVISED.loss(logits, labels, iou)
    alone = [POSITION_SUPERVISED.loss(logits[:, [i]], labels[:, [i]], iou[:, [i]]) for i in range(2)]
    torch.testing.assert_close(both, alone[0] + alone[1])


def test_by_hand() -> None:
    """One query of one class, p = 1/2, IoU 0.64: f(s) = 1 and t = 0.512."""
    logits, labels, iou = (
        torch.zeros(1, 1, 1, 1),
        torch.zeros(1, 1, 1, dtype=torch.int64),
        torch.full((1, 1, 1), 0.64),
    )
    assert POSITION_SUPERVISED.loss(logits, labels, iou).item() == pytest.approx(0.25 * math.log(2))
    assert MATCHABILITY_AWARE.loss(logits, labels, iou).item() == pytest.approx(math.log(2))
    logits += math.log(3)  # p = 3/4
    expected = -0.512 * math.log(0.75) - 0.488 * math.log(0.25)
    assert MATCHABILITY_AWARE.loss(logits, labels, iou).item() == pytest.approx(expected)
    assert MATCHABILITY_AWARE.loss(logits, labels + 1, iou).item() == pytest.approx(0.75**1.5 * math.log(4))


def test_a_match_without_overlap_is_to_say_no() -> None:
    logits = torch.zeros(1, 1, 2, 1, requires_grad=True)
    for kind in (POSITION_SUPERVISED, MATCHABILITY_AWARE):
        logits.grad = None
        kind.loss(logits, torch.zeros(1, 1, 2, dtype=torch.int64), torch.zeros(1, 1, 2)).sum().backward()
        assert logits.grad is not None
        assert (logits.grad > 0).all()


def test_the_weight_of_other_answers_has_no_gradient_where_matchability_counts() -> None:
    logits = torch.zeros(1, 1, 1, 1, requires_grad=True)
    MATCHABILITY_AWARE.loss(
        logits, torch.ones(1, 1, 1, dtype=torch.int64), torch.zeros(1, 1, 1)
    ).sum().backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(0.5**1.5 * 0.5)  # p^γ times the slope of -log(1 - p), p


def test_costs_by_loops() -> None:
    logits, boxes = random_predictions(2, 2, QUERIES, CLASSES - 1)
    targets = random_targets((3, 1), CLASSES)
    prediction = Prediction(logits, boxes)
    position, matchability, focal = (
        HungarianMatcher(1.5, 0, 0, kind, ABSOLUTE).cost(prediction, targets)
        for kind in (POSITION_SUPERVISED, MATCHABILITY_AWARE, FOCAL)
    )
    for layer in range(2):
        for image, count in enumerate(targets.counts):
            assert torch.equal(matchability[layer, image, :, :count], focal[layer, image, :, :count])
            for query in range(QUERIES):
                for target in range(count):
                    logit = float(logits[layer, image, query, targets.labels[image, target]])
                    giou = pair_giou(boxes[layer, image, query], targets.boxes[image, target])
                    p = ((giou + 1) / 2) ** 0.5 / (1 + math.exp(-logit))
                    expected = -0.25 * (1 - p) ** 2 * math.log(p) + 0.75 * p**2 * math.log(1 - p)
                    assert position[layer, image, query, target].item() == pytest.approx(
                        1.5 * expected, rel=1e-4
                    )


def test_their_keys_reach_the_model(tiny_config: CfgNode) -> None:
    detr = tiny_config.MODEL.DETR
    detr.FOCAL.ALPHA, detr.FOCAL.GAMMA, detr.MATCHABILITY_GAMMA = 0.4, 1.0, 1.2
    for name, expected in (
        ("position_supervised", PositionSupervised(0.4, 1.0)),
        ("matchability_aware", MatchabilityAware(0.4, 1.0, 1.2)),
    ):
        detr.CLASS_LOSS = name
        model = build_model(tiny_config)
        assert model.criterion.class_loss == model.criterion.matcher.class_loss == expected
        assert model.inference.class_loss == expected
    detr.MATCHABILITY_GAMMA = -1.0
    with pytest.raises(ConfigError, match=r"MODEL\.DETR\.MATCHABILITY_GAMMA is -1\.0"):
        build_model(tiny_config)
