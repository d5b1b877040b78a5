"""Class losses against loops over single queries, and the focal loss against torchvision's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.ops
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from detr_d2.modeling import (
    CLASS_LOSSES,
    ClassLoss,
    HungarianMatcher,
    LossWeights,
    Prediction,
    SetCriterion,
    Supervision,
)
from detr_d2.modeling.class_losses import NO_LABEL
from detr_d2.modeling.inference import Sizes
from detr_d2.modeling.metrics import detection_metrics
from detr_d2.modeling.panoptic import panoptic_queries

from ...conftest import make_input, make_mask_config, make_mask_input
from ..oracles import random_predictions, random_targets
from ..recipe import ABSOLUTE, EVERY_CLASS_LOSS, FOCAL, SIGMOID_LOSSES, found, make_inference
from ..test_matcher import pairs_of

CLASSES, QUERIES = 4, 6


def focal_of(probability: float, wanted: bool) -> float:
    """Equation 5 of the focal loss's paper."""
    p = probability if wanted else 1 - probability
    return -(0.25 if wanted else 0.75) * (1 - p) ** 2 * math.log(p)


def test_focal_loss_is_torchvisions() -> None:
    logits = 3 * torch.randn(3, QUERIES, CLASSES)
    labels = torch.randint(CLASSES + 1, (3, QUERIES))
    wanted = F.one_hot(labels, CLASSES + 1)[..., :CLASSES].float()
    expected = torchvision.ops.sigmoid_focal_loss(logits, wanted, 0.25, 2.0).sum((1, 2))
    loss = FOCAL.loss(logits[:, None], labels[:, None], torch.zeros(3, 1, QUERIES))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", EVERY_CLASS_LOSS, ids=lambda kind: type(kind).__name__)
def test_what_has_no_label_takes_no_part(kind: ClassLoss) -> None:
    width = kind.head(8, CLASSES).out_features
    logits = torch.randn(1, 1, QUERIES, width, requires_grad=True)
    labels = torch.tensor([[[0, NO_LABEL, CLASSES, 2, NO_LABEL, 1]]])
    iou = torch.tensor([[[0.5, 0.0, 0.0, 0.7, 0.0, 0.2]]])
    kept = labels[0, 0] != NO_LABEL
    loss = kind.loss(logits, labels, iou)
    torch.testing.assert_close(loss, kind.loss(logits[:, :, kept], labels[..., kept], iou[..., kept]))
    loss.sum().backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[0, 0].abs().sum(1) > 0, kept)


def test_focal_cost_is_what_the_loss_would_rise_by() -> None:
    logits, boxes = random_predictions(2, 2, QUERIES, CLASSES - 1)
    targets = random_targets((3, 1), CLASSES)
    cost = HungarianMatcher(1.5, 0, 0, FOCAL, ABSOLUTE).cost(Prediction(logits, boxes), targets)
    for layer in range(2):
        for image, count in enumerate(targets.counts):
            for query in range(QUERIES):
                for target in range(count):
                    logit = float(logits[layer, image, query, targets.labels[image, target]])
                    p = 1 / (1 + math.exp(-logit))
                    expected = 1.5 * (focal_of(p, True) - focal_of(p, False))
                    assert cost[layer, image, query, target].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("extreme", [-200.0, 200.0])
@pytest.mark.parametrize("kind", SIGMOID_LOSSES, ids=lambda kind: type(kind).__name__)
def test_losses_are_finite_where_the_sigmoid_is_flat(kind: ClassLoss, extreme: float) -> None:
    logits = torch.full((1, 1, 2, CLASSES), extreme, requires_grad=True)
    labels = torch.tensor([[[1, CLASSES]]])
    kind.loss(logits, labels, torch.zeros(1, 1, 2)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    for giou in (-1.0, 1.0):
        nothing = torch.zeros(1, 1, 2, 3, dtype=torch.int64)
        assert kind.cost(logits, nothing, torch.full((1, 1, 2, 3), giou)).isfinite().all()


@pytest.mark.parametrize("counts", [(2, 0, 3), (0, 0, 0), (9, 1, 0)], ids=str)
@pytest.mark.parametrize("per_object", [False, True])
def test_focal_losses_are_divided_by_the_number_of_objects(counts: tuple[int, ...], per_object: bool) -> None:
    logits, boxes = random_predictions(2, len(counts), QUERIES, CLASSES - 1)
    targets = random_targets(counts, CLASSES)
    matcher = HungarianMatcher(2, 5, 2, FOCAL, ABSOLUTE)
    weights = LossWeights(2.0, 5.0, 2.0)
    criterion = SetCriterion(CLASSES, QUERIES, matcher, weights, FOCAL, ABSOLUTE, False, True, 0)
    prediction = Prediction(logits, boxes, Supervision(per_object=per_object))
    losses, matches = criterion([prediction], targets)
    for layer, suffix in enumerate(("_0", "")):
        total = 0.0
        for image in range(len(counts)):
            object_of = dict(pairs_of(matches, layer, image))
            for query in range(QUERIES):
                label = int(targets.labels[image, object_of[query]]) if query in object_of else None
                for class_ in range(CLASSES):
                    p = 1 / (1 + math.exp(-float(logits[layer, image, query, class_])))
                    total += focal_of(p, class_ == label)
        expected = 2 * total / max(sum(counts), 1)
        assert losses[f"loss_ce{suffix}"].item() == pytest.approx(expected, rel=1e-5)


def test_inference_gives_the_best_of_all_classes_of_all_queries() -> None:
    logits, boxes = torch.randn(2, QUERIES, CLASSES), torch.rand(2, QUERIES, 4)
    sizes = [(10, 10), (20, 30)]
    for limit in (5, 1000):
        results = found(logits, boxes, sizes, None, 0.0, FOCAL, limit)
        for image, (result, queries) in enumerate(results):
            ranked = sorted(
                ((float(logits[image, q, c]), q, c) for q in range(QUERIES) for c in range(CLASSES)),
                reverse=True,
            )[:limit]
            assert queries.tolist() == [q for _, q, _ in ranked]
            assert result.pred_classes.tolist() == [c for _, _, c in ranked]
            wanted = [1 / (1 + math.exp(-logit)) for logit, _, _ in ranked]
            assert result.scores.tolist() == pytest.approx(wanted, rel=1e-5)
            centers = result.pred_boxes.get_centers() / torch.tensor(sizes[image][::-1])
            torch.testing.assert_close(centers, boxes[image, queries, :2])


def test_of_things_there_are_as_many_as_asked_for() -> None:
    logits = torch.randn(1, QUERIES, CLASSES)
    logits[..., 2] += 20  # stuff
    ((result, queries),) = found(logits, torch.rand(1, QUERIES, 4), [(8, 8)], [0, 3], 0.0, FOCAL, 9)
    flat = logits[0][:, [0, 3]].flatten().sort(descending=True)
    assert result.pred_classes.tolist() == [(0, 3)[i % 2] for i in flat.indices[:9].tolist()]
    assert queries.tolist() == [i // 2 for i in flat.indices[:9].tolist()]
    ((result, _),) = found(logits, torch.rand(1, QUERIES, 4), [(8, 8)], [0, 3], 0.0, FOCAL, 99)
    assert len(result) == 2 * QUERIES
    ((result, _),) = found(logits, torch.rand(1, QUERIES, 4), [(8, 8)], [], 0.0, FOCAL, 99)
    assert len(result) == 0


def test_sigmoid_scores_decide_who_takes_part_in_panoptic_segmentation() -> None:
    """The last class is a class like the others."""
    probabilities = torch.tensor([[0.1, 0.2], [0.1, 0.35], [0.31, 0.2], [0.3, 0.1]])
    assert panoptic_queries(probabilities.logit(), 0.3001, FOCAL).tolist() == [1, 2]


def test_metrics_count_the_queries_that_are_more_likely_right_than_wrong() -> None:
    logits = torch.tensor([[[-1.0, -2.0], [3.0, -1.0], [-1.0, 0.5]]])
    targets = random_targets((1,), 1)  # class 0
    matcher = HungarianMatcher(1, 0, 0, FOCAL, ABSOLUTE)
    (matches,) = matcher([Prediction(logits[None], torch.rand(1, 1, 3, 4))], targets)
    metrics = detection_metrics(logits, targets, matches, FOCAL)
    assert metrics["class_error"].item() == 0
    assert metrics["cardinality_error"].item() == 1


@pytest.mark.parametrize("name", [name for name in CLASS_LOSSES if name != "cross_entropy"])
def test_a_model_with_it_starts_at_one_percent_and_trains(tiny_config: CfgNode, name: str) -> None:
    tiny_config.MODEL.DETR.CLASS_LOSS = name
    model = build_model(tiny_config)
    torch.testing.assert_close(model.class_embed.bias.sigmoid(), torch.full((3,), 0.01))
    for counts in ((2, 0), (0, 0)):
        losses = model([make_input(64, 64, n) for n in counts])
        model.zero_grad()
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    tiny_config.TEST.DETECTIONS_PER_IMAGE = 12
    (result,) = build_model(tiny_config).eval()([make_input(64, 64, 0)])
    assert len(result["instances"]) == 12


def test_masks_go_with_their_detections_where_a_query_gives_several() -> None:
    cfg = make_mask_config()
    cfg.MODEL.DETR.CLASS_LOSS = "focal"
    model = build_model(cfg).eval()
    with torch.no_grad():
        (result,) = model([make_mask_input(64, 64, 0)])
    instances = result["instances"]
    assert len(instances) == 30
    assert len(instances.pred_masks) == 30
    centers = instances.pred_boxes.tensor  # equal boxes are those of one query
    for i in range(30):
        for j in range(30):
            if torch.equal(centers[i], centers[j]):
                assert torch.equal(instances.pred_masks[i], instances.pred_masks[j])


def test_masks_are_those_of_the_queries_in_the_order_of_the_scores() -> None:
    logits = torch.tensor([[[-2.0, -3.0], [2.0, 1.0], [0.0, 3.0]]])
    inference = make_inference(class_loss=FOCAL, limit=4)
    asked: list[list[int]] = []

    def predict_masks(queries: Any, chunk: int | None) -> list[torch.Tensor]:
        asked.append(queries[0].tolist())
        return [torch.stack([torch.full((4, 4), -5.0 if q == 2 else 5.0) for q in asked[-1]])]

    (result,) = inference(logits, torch.rand(1, 3, 4), Sizes((4, 4), [(4, 4)], [(4, 4)]), predict_masks)
    assert asked == [[1, 2]]
    assert result["instances"].pred_classes.tolist() == [1, 0, 1, 0]
    assert result["instances"].pred_masks[:, 0, 0].tolist() == [False, True, True, False]
