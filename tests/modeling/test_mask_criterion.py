from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from detr_d2.modeling import Targets
from detr_d2.modeling.mask_criterion import MaskCriterion
from detr_d2.modeling.matcher import Matches

from .mask_oracles import bilinear

QUERIES, PADDED = 4, (9, 12)
SIZES = [(9, 7), (6, 12), (9, 12)]


def make_targets(counts: Sequence[int]) -> Targets:
    masks = tuple(torch.rand(count, *size) > 0.5 for count, size in zip(counts, SIZES, strict=False))
    shape = len(counts), max(counts)
    return Targets(torch.zeros(shape).long(), torch.rand(*shape, 4), tuple(counts), masks)


def random_matches(counts: Sequence[int], layers: int = 2) -> Matches:
    """Several layers, so that taking another than the last shows."""
    pairs = [
        torch.stack([torch.randperm(size)[: min(count, QUERIES)] for size in (QUERIES, count)])
        for count in list(counts) * layers
    ]
    stacked = torch.cat(pairs, dim=1).unflatten(1, (layers, -1))
    image = [i for i, count in enumerate(counts) for _ in range(min(count, QUERIES))]
    return Matches(torch.tensor(image), stacked[0], stacked[1])


def chosen_from(logits: Tensor) -> object:
    """A mask head whose masks are there already."""
    return lambda queries, chunk: [x[q] for x, q in zip(logits, queries, strict=True)]


def plain_losses(logits: Tensor, matches: Matches, targets: Targets, on_padding: bool) -> tuple[float, float]:
    """Focal and dice loss, pair by pair, with sums of float64 over pixels."""
    assert targets.masks is not None
    focal = dice = 0.0
    for image, query, target in zip(matches.image, matches.query[-1], matches.target[-1], strict=True):
        height, width = PADDED if on_padding else SIZES[image]
        logit = bilinear(logits[image, query].double().numpy(), PADDED)[:height, :width]
        mask = np.zeros((height, width), dtype=bool)
        mask[: SIZES[image][0], : SIZES[image][1]] = targets.masks[image][target]
        p = 1 / (1 + np.exp(-logit))
        right, weight = np.where(mask, p, 1 - p), np.where(mask, 0.25, 0.75)
        focal += float((-weight * (1 - right) ** 2 * np.log(right)).mean())
        dice += float(1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1))
    return focal, dice


@pytest.mark.parametrize("on_padding", [False, True])
@pytest.mark.parametrize("counts", [(2, 0, 3), (9, 1, 4)], ids=["usual", "over-full"])
def test_losses_equal_the_plain_loop(counts: tuple[int, ...], on_padding: bool) -> None:
    logits = 2 * torch.randn(3, QUERIES, 3, 4)
    targets, matches, num_boxes = make_targets(counts), random_matches(counts), torch.tensor(5.0)
    criterion = MaskCriterion(QUERIES, mask_weight=1.5, dice_weight=0.5, on_padding=on_padding)
    losses = criterion(chosen_from(logits), matches, targets, PADDED, num_boxes)
    focal, dice = plain_losses(logits, matches, targets, on_padding)
    assert losses["loss_mask"].item() == pytest.approx(1.5 * focal / 5, rel=1e-5)
    assert losses["loss_dice"].item() == pytest.approx(0.5 * dice / 5, rel=1e-5)


@pytest.mark.parametrize("on_padding", [False, True])
def test_what_the_head_says_about_padding_counts_only_where_asked_for(on_padding: bool) -> None:
    counts = (2, 1)
    targets, matches = make_targets(counts), random_matches(counts)
    logits = torch.randn(2, QUERIES, *PADDED)
    disturbed = logits.clone()
    disturbed[0, :, :, 7:] = 30.0  # of an image that is 7 pixels wide
    criterion = MaskCriterion(QUERIES, 1.0, 1.0, on_padding=on_padding)
    first, second = (
        criterion(chosen_from(x), matches, targets, PADDED, torch.tensor(3.0)) for x in (logits, disturbed)
    )
    for name in ("loss_mask", "loss_dice"):
        assert torch.equal(first[name], second[name]) is not on_padding


def test_without_any_object_the_losses_are_zeros_that_depend_on_a_mask() -> None:
    logits = torch.randn(2, QUERIES, 3, 4, requires_grad=True)
    nothing = (torch.zeros(0, *PADDED, dtype=torch.bool),) * 2
    targets = Targets(torch.zeros(2, 0).long(), torch.zeros(2, 0, 4), (0, 0), nothing)
    matches = Matches(torch.zeros(0).long(), torch.zeros(1, 0).long(), torch.zeros(1, 0).long())
    losses = MaskCriterion(QUERIES, 1.0, 1.0, on_padding=False)(
        chosen_from(logits), matches, targets, PADDED, torch.tensor(1.0)
    )
    assert {name: value.item() for name, value in losses.items()} == {"loss_mask": 0, "loss_dice": 0}
    (gradient,) = torch.autograd.grad(sum(losses.values()), logits)
    assert not gradient.any()


def test_losses_of_bfloat16_masks_are_float32() -> None:
    counts = (2, 1)
    logits = torch.randn(2, QUERIES, 3, 4, dtype=torch.bfloat16)
    targets, matches = make_targets(counts), random_matches(counts)
    criterion = MaskCriterion(QUERIES, 1.0, 1.0, on_padding=False)
    expected = criterion(chosen_from(logits.float()), matches, targets, PADDED, torch.tensor(3.0))
    with torch.autocast("cpu", torch.bfloat16):
        losses = criterion(chosen_from(logits), matches, targets, PADDED, torch.tensor(3.0))
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32
        assert torch.equal(losses[name], value)


def test_full_size_masks_are_not_kept_for_the_backward_pass() -> None:
    """What is kept is of the head's resolution, or the targets themselves, not a copy of them."""
    counts = (3, 3)
    logits = torch.randn(2, QUERIES, 3, 4, requires_grad=True)
    targets, matches = make_targets(counts), random_matches(counts)
    assert targets.masks is not None
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        losses = MaskCriterion(QUERIES, 1.0, 1.0, on_padding=False)(
            chosen_from(logits), matches, targets, PADDED, torch.tensor(6.0)
        )
    assert not [x.shape for x in kept if x.is_floating_point() and x.shape[-2:] == PADDED]
    own = {masks.data_ptr() for masks in targets.masks}
    assert {x.data_ptr() for x in kept if x.dtype == torch.bool} <= own
    sum(losses.values()).backward()
    assert logits.grad is not None
    assert logits.grad.any()
