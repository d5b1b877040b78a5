"""The same weights and inputs give the published implementation's outputs, losses and assignments."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from torch import nn

from benchmarks.published_detr import (
    as_published_outputs,
    as_published_targets,
    build_published_criterion,
    import_published,
)
from detr_d2 import add_detr_config
from detr_d2.modeling import LossWeights, Prediction, SetCriterion

from ..modeling.oracles import random_predictions, random_targets
from ..modeling.recipe import ABSOLUTE, CROSS_ENTROPY, make_matcher
from ..modeling.steps import match, steps
from ..modeling.test_matcher import pairs_of
from .published import FOLDER, build_detector, our_name, requires_published_detr

pytestmark = requires_published_detr


def build_ours(published: nn.Module, dilation: bool) -> nn.Module:
    cfg = get_cfg()
    add_detr_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "Detr"
    cfg.MODEL.BACKBONE.NAME = "build_detr_resnet_backbone"
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    cfg.MODEL.RESNETS.RES5_DILATION = 2 if dilation else 1
    model = build_model(cfg)
    model.load_state_dict({our_name(k): v for k, v in published.state_dict().items()}, strict=True)
    return model.eval()


@pytest.mark.parametrize(
    "sizes", [[(480, 640)], [(353, 500), (412, 333), (224, 507)]], ids=["alone", "padded"]
)
@pytest.mark.parametrize("dilation", [False, True], ids=["R50", "R50-DC5"])
def test_logits_and_boxes(dilation: bool, sizes: list[tuple[int, int]]) -> None:
    published = build_detector(80, dilation)
    ours = build_ours(published, dilation)
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in sizes]
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = published([(image / 255 - mean) / std for image in images])
        logits, boxes = ours.predict(steps(ours, [{"image": image} for image in images]).decoded.hidden)
    layers = [*expected["aux_outputs"], expected]
    logit_error = max(float((a - b["pred_logits"]).abs().max()) for a, b in zip(logits, layers, strict=True))
    box_error = max(float((a - b["pred_boxes"]).abs().max()) for a, b in zip(boxes, layers, strict=True))
    print(f"largest difference: logits {logit_error:.1e}, boxes {box_error:.1e}")
    assert logit_error <= 1e-5
    assert box_error <= 1e-5


@pytest.mark.parametrize(
    "counts", [(7, 3, 0, 12), (0, 0), (120, 1)], ids=["usual", "no objects", "over-full"]
)
def test_losses(counts: tuple[int, ...]) -> None:
    logits, boxes = random_predictions(6, len(counts), 100, 80)
    targets = random_targets(counts, 80)
    weights = LossWeights(1.0, 1.0, 1.0)
    criterion = SetCriterion(80, 100, make_matcher(), weights, CROSS_ENTROPY, ABSOLUTE, False, True, 0)
    ours, _ = criterion([Prediction(logits, boxes)], targets)
    expected = build_published_criterion(FOLDER, 80)(
        as_published_outputs(logits, boxes), as_published_targets(targets)
    )
    expected.pop("class_error")
    assert set(ours) == set(expected)
    worst = max(abs(float(ours[k] - v)) / max(abs(float(v)), 1e-12) for k, v in expected.items() if float(v))
    print(f"largest relative difference of a loss: {worst:.1e}")
    for name, value in expected.items():
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_assignments_of_200_random_batches() -> None:
    published = import_published(FOLDER, "models.matcher").HungarianMatcher(
        cost_class=1, cost_bbox=5, cost_giou=2
    )
    matcher = make_matcher()
    generator = torch.Generator().manual_seed(0)
    identical = equal_cost = 0
    for _ in range(200):
        counts = tuple(int(n) for n in torch.randint(0, 30, (4,), generator=generator))
        counts = (0, *counts[1:3], 25 + counts[3])  # empty and over-full images in every batch
        logits, boxes = random_predictions(1, 4, 25, 20)
        targets = random_targets(counts, 20)
        ours = match(matcher, logits, boxes, targets)
        wanted = published({"pred_logits": logits[0], "pred_boxes": boxes[0]}, as_published_targets(targets))
        cost = matcher.cost(Prediction(logits, boxes), targets)[0]
        for image, (queries, objects) in enumerate(wanted):
            pairs = pairs_of(ours, 0, image)
            if pairs == list(zip(queries.tolist(), objects.tolist(), strict=True)):
                identical += 1
                continue
            total = sum(float(cost[image, q, t]) for q, t in pairs)
            assert total == pytest.approx(float(cost[image, queries, objects].sum()), abs=1e-6)
            equal_cost += 1
    print(f"{identical} assignments identical, {equal_cost} of equal cost")
