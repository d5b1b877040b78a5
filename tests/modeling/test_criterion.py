import pytest
import torch

from detr_d2.modeling import (
    CrossEntropy,
    LossNormalizers,
    LossWeights,
    Prediction,
    SetCriterion,
    Targets,
)

from .oracles import random_predictions, random_targets, set_loss
from .recipe import ABSOLUTE, make_matcher
from .test_matcher import pairs_of

CLASSES, QUERIES = 5, 6


def make_criterion(per_process: bool = False, no_object: float = 0.1) -> SetCriterion:
    return SetCriterion(
        CLASSES,
        QUERIES,
        make_matcher(),
        LossWeights(class_=1.5, l1=5.0, giou=2.0),
        CrossEntropy(no_object),
        ABSOLUTE,
        per_process,
        deep_supervision=True,
        metrics_period=0,
    )


@pytest.mark.parametrize(
    "counts", [(2, 0, 3), (0, 0, 0), (9, 1, 0)], ids=["usual", "no objects", "over-full"]
)
def test_losses_of_every_layer_equal_the_plain_loops(counts: tuple[int, ...]) -> None:
    logits, boxes = random_predictions(3, len(counts), QUERIES, CLASSES)
    targets = random_targets(counts, CLASSES)
    losses, matches = make_criterion()([Prediction(logits, boxes)], targets)
    for layer, suffix in enumerate(("_0", "_1", "")):
        pairs = [pairs_of(matches, layer, image) for image in range(len(counts))]
        ce, weights, l1, giou, objects = set_loss(logits[layer], boxes[layer], targets, pairs, 0.1)
        assert losses[f"loss_ce{suffix}"].item() == pytest.approx(1.5 * ce / weights, rel=1e-5)
        assert losses[f"loss_bbox{suffix}"].item() == pytest.approx(5 * l1 / max(objects, 1), rel=1e-5)
        assert losses[f"loss_giou{suffix}"].item() == pytest.approx(2 * giou / max(objects, 1), rel=1e-5)
    assert len(losses) == 9


def test_class_loss_is_pytorchs_weighted_mean() -> None:
    logits, boxes = random_predictions(1, 2, QUERIES, CLASSES)
    targets = random_targets((3, 1), CLASSES)
    losses, matches = make_criterion()([Prediction(logits, boxes)], targets)
    labels = torch.full((2, QUERIES), CLASSES)
    for image in range(2):
        for query, target in pairs_of(matches, 0, image):
            labels[image, query] = targets.labels[image, target]
    weight = torch.tensor([1.0] * CLASSES + [0.1])
    expected = torch.nn.functional.cross_entropy(logits[0].flatten(0, 1), labels.flatten(), weight)
    torch.testing.assert_close(losses["loss_ce"], 1.5 * expected)


def test_micro_batches_with_joint_normalizers_sum_to_the_whole_batch() -> None:
    criterion = make_criterion()
    logits, boxes = random_predictions(2, 4, QUERIES, CLASSES)
    counts = (4, 0, 1, 8)
    targets = random_targets(counts, CLASSES)
    whole, _ = criterion([Prediction(logits, boxes)], targets)
    normalizers = criterion.normalizers(counts)
    parts = [
        criterion(
            [Prediction(logits[:, half], boxes[:, half])],
            Targets(targets.labels[half], targets.boxes[half], counts[half]),
            normalizers,
        )[0]
        for half in (slice(0, 2), slice(2, 4))
    ]
    for name, value in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], value)


def test_normalizers_follow_from_the_object_counts() -> None:
    normalizers = LossNormalizers.from_counts((2, 0, 9), QUERIES, 0.1, torch.device("cpu"))
    assert normalizers.num_boxes.item() == 11
    assert normalizers.label_weight.item() == pytest.approx(2 + 6 + 0.1 * (4 + 6 + 0))


def test_without_objects_and_without_no_object_weight_the_loss_is_zero_not_nan() -> None:
    logits, boxes = random_predictions(1, 1, QUERIES, CLASSES)
    targets = Targets(torch.zeros(1, 0).long(), torch.zeros(1, 0, 4), (0,))
    losses, _ = make_criterion(no_object=0.0)([Prediction(logits, boxes)], targets)
    assert all(loss.item() == 0 for loss in losses.values())


def test_images_without_objects_give_gradients_to_logits_and_boxes() -> None:
    logits, boxes = (x.requires_grad_() for x in random_predictions(1, 2, QUERIES, CLASSES))
    targets = Targets(torch.zeros(2, 0).long(), torch.zeros(2, 0, 4), (0, 0))
    losses, _ = make_criterion()([Prediction(logits, boxes)], targets)
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
    assert boxes.grad is not None, "DDP would wait for it"
    assert not boxes.grad.any()


def test_losses_are_float32_under_autocast() -> None:
    logits, boxes = random_predictions(2, 2, QUERIES, CLASSES)
    targets = random_targets((3, 2), CLASSES)
    expected, _ = make_criterion()([Prediction(logits, boxes)], targets)
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = make_criterion()([Prediction(logits, boxes)], targets)
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32
        assert torch.equal(losses[name], value)


def test_buffers_of_the_criterion_stay_out_of_the_state_dict() -> None:
    assert not make_criterion().state_dict()
