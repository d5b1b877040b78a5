"""Boxes as changes of other boxes: by hand, and in loss and matching cost by loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.errors import ConfigError
from detr_d2.modeling import (
    HungarianMatcher,
    LossWeights,
    Part,
    Prediction,
    RelativeBoxRegression,
    SetCriterion,
    Supervision,
)
from detr_d2.modeling.heads import DeltaBoxHead

from ..conftest import make_input
from .oracles import random_predictions, random_targets
from .recipe import ABSOLUTE, CROSS_ENTROPY
from .test_matcher import pairs_of

RELATIVE = RelativeBoxRegression()
CLASSES, QUERIES = 3, 6


def change(box: Tensor, old: Tensor) -> list[float]:
    """t of Plain DETR's paper, from one box to another."""
    gx, gy, gw, gh = box.tolist()
    px, py, pw, ph = old.tolist()
    return [(gx - px) / pw, (gy - py) / ph, math.log(gw / pw), math.log(gh / ph)]


def plain_distance(box: Tensor, wanted: Tensor, old: Tensor) -> float:
    return sum(abs(a - b) for a, b in zip(change(box, old), change(wanted, old), strict=True))


def make_head(changes: list[float]) -> DeltaBoxHead:
    """One that says these changes."""
    head = DeltaBoxHead(8)
    with torch.no_grad():
        head.layers[-1].bias.copy_(torch.tensor(changes))
    return head


def test_a_new_head_keeps_its_boxes_and_a_point_becomes_a_box_of_half_the_image() -> None:
    head, box = DeltaBoxHead(8), torch.tensor([0.3, 0.6, 0.2, 0.1])
    torch.testing.assert_close(head(torch.randn(8), box.logit()).sigmoid(), box)
    point = head(torch.randn(8), box[:2].logit()).sigmoid()
    torch.testing.assert_close(point, torch.tensor([0.3, 0.6, 0.5, 0.5]))


def test_changes_are_in_units_of_the_box() -> None:
    head = make_head([0.5, -1.0, math.log(2), -math.log(4)])
    box = head(torch.randn(8), torch.tensor([0.3, 0.6, 0.2, 0.1]).logit()).sigmoid()
    torch.testing.assert_close(box, torch.tensor([0.4, 0.5, 0.4, 0.025]), rtol=0, atol=1e-6)


def test_a_box_that_leaves_the_image_stays_finite_and_can_come_back() -> None:
    head = make_head([9.0, -9.0, 50.0, -50.0])
    box = head(torch.randn(8), torch.tensor([0.5, 0.5, 0.9, 0.9]).logit()).sigmoid()
    assert box.isfinite().all()
    torch.testing.assert_close(box, torch.tensor([1.0, 0.0, 1.0, 0.0]), rtol=0, atol=2e-5)
    gradients = [torch.autograd.grad(box[i], head.layers[-1].bias, retain_graph=True)[0] for i in (0, 1)]
    assert gradients[0][0].item() == pytest.approx(0.9, rel=0.01)
    assert gradients[1][1].item() == pytest.approx(0.9, rel=0.01)


def test_the_distance_by_hand_and_by_the_papers_changes() -> None:
    boxes, wanted = torch.tensor([0.5, 0.5, 0.2, 0.4]), torch.tensor([0.4, 0.7, 0.1, 0.8])
    sizes = torch.tensor([0.5, 0.2])
    expected = 0.1 / 0.5 + 0.2 / 0.2 + 2 * math.log(2)
    assert RELATIVE.distance(boxes, wanted, sizes).item() == pytest.approx(expected)
    old = torch.tensor([0.1, 0.9, 0.5, 0.2])
    assert plain_distance(boxes, wanted, old) == pytest.approx(expected)


def test_what_has_no_size_costs_much_and_not_infinitely_much() -> None:
    nothing = torch.zeros(4, requires_grad=True)
    distance = RELATIVE.distance(nothing, torch.tensor([0.5, 0.5, 0.1, 0.1]), torch.zeros(2))
    distance.backward()
    assert distance.item() == pytest.approx(1000 + 2 * math.log(100))
    assert nothing.grad is not None
    assert nothing.grad.isfinite().all()


@pytest.mark.parametrize("deep", [True, False])
def test_loss_and_cost_are_relative_to_the_reference_of_every_query(deep: bool) -> None:
    logits, boxes = random_predictions(2, 3, QUERIES, CLASSES)
    reference = torch.cat([torch.randn(2, 3, QUERIES, 2), torch.randn(2, 3, QUERIES, 2) - 1], -1)
    targets = random_targets((2, 0, 3), CLASSES)
    matcher = HungarianMatcher(0.0, 1.0, 0.0, CROSS_ENTROPY, RELATIVE)
    weights = LossWeights(1.0, 3.0, 2.0)
    criterion = SetCriterion(CLASSES, QUERIES, matcher, weights, CROSS_ENTROPY, RELATIVE, False, deep, 0)
    prediction = Prediction(logits, boxes, Supervision(), reference)
    losses, matches = criterion([prediction], targets)
    cost = matcher.cost(prediction, targets)
    old = reference.sigmoid()
    for layer, suffix in ((0, "_0"), (1, "")) if deep else ((1, ""),):
        total = 0.0
        for image in range(3):
            for query, target in pairs_of(matches, layer if deep else 0, image):
                pair = (boxes[layer, image, query], targets.boxes[image, target], old[layer, image, query])
                total += plain_distance(*pair)
                assert cost[layer, image, query, target].item() == pytest.approx(
                    plain_distance(*pair), rel=1e-4
                )
        assert losses[f"loss_bbox{suffix}"].item() == pytest.approx(3 * total / 5, rel=1e-4)


def test_a_parts_references_are_those_of_its_rows_with_groups_as_images() -> None:
    logits, boxes = torch.randn(2, 3, 10, 5), torch.rand(2, 3, 10, 4)
    for reference in (torch.randn(2, 3, 10, 4), torch.randn(1, 1, 10, 2)):
        prediction = Prediction.of(Part(slice(4, 10), groups=2), logits, boxes, reference)
        assert prediction.reference is not None
        for layer in range(2):
            for image in range(3):
                own = reference[layer % len(reference), image % reference.shape[1]]
                for group in range(2):
                    rows = slice(4 + 3 * group, 7 + 3 * group)
                    assert torch.equal(prediction.reference[layer, 2 * image + group], own[rows])
        sizes = prediction.reference_sizes()
        assert sizes.shape == (2, 6, 3, 2)
        last = prediction.last_layer()
        assert torch.equal(last.reference_sizes(), sizes[1:])
    point = replace(prediction, reference=None).reference_sizes()
    assert torch.equal(point, torch.ones_like(point))
    assert torch.equal(sizes, torch.full_like(sizes, 0.5)), "of a point"


@pytest.mark.parametrize("decoder", ["dab", "rpb"])
def test_the_key_chooses_head_loss_and_cost_and_a_model_learns(tiny_config: CfgNode, decoder: str) -> None:
    detr = tiny_config.MODEL.DETR
    detr.DECODER, detr.BOX_REGRESSION, detr.DROPOUT = decoder, "relative", 0.0
    detr.AUXILIARY, detr.GROUPS.NUM = ("groups", "denoising", "encoder"), 2
    model = build_model(tiny_config)
    assert isinstance(model.bbox_embed, DeltaBoxHead)
    assert isinstance(model.criterion.box_regression, RelativeBoxRegression)
    assert isinstance(model.criterion.matcher.box_regression, RelativeBoxRegression)
    batch = [make_input(64, 96, 3), make_input(64, 64, 1)]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    values = []
    for _ in range(30):
        losses = model(batch)
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(losses["loss_bbox"].item())
    assert sum(values[-3:]) < 0.8 * sum(values[:3])


@pytest.mark.parametrize("decoder", ["detr", "conditional"])
def test_boxes_cannot_be_changes_where_there_is_none_to_change(tiny_config: CfgNode, decoder: str) -> None:
    tiny_config.MODEL.DETR.DECODER, tiny_config.MODEL.DETR.BOX_REGRESSION = decoder, "relative"
    with pytest.raises(ConfigError, match=r"MODEL\.DETR\.BOX_REGRESSION is 'relative'"):
        build_model(tiny_config)


def test_absolute_distance_is_l1() -> None:
    boxes, wanted = torch.tensor([0.5, 0.5, 0.2, 0.4]), torch.tensor([0.4, 0.7, 0.1, 0.8])
    assert ABSOLUTE.distance(boxes, wanted, torch.rand(2)).item() == pytest.approx(0.8)
