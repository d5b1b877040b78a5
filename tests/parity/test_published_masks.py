"""The same weights and inputs give the published implementation's masks and mask losses."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from torch import nn

from benchmarks.published_detr import build_published_criterion, import_published
from detr_d2 import add_detr_config
from detr_d2.modeling.losses import dice_loss, focal_loss
from detr_d2.modeling.mask_criterion import MaskCriterion
from detr_d2.modeling.matcher import Matches
from detr_d2.modeling.targets import Targets

from ..modeling.steps import masks_of, steps
from .published import FOLDER, build_panoptic, our_name, requires_published_detr

pytestmark = requires_published_detr

SIZES = [(131, 200), (203, 140)]


def build_ours(published: nn.Module, dilation: bool) -> nn.Module:
    cfg = get_cfg()
    add_detr_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "Detr"
    cfg.MODEL.BACKBONE.NAME = "build_detr_resnet_backbone"
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.RESNETS.RES5_DILATION = 2 if dilation else 1
    cfg.MODEL.MASK_ON = True
    model = build_model(cfg)
    model.load_state_dict({our_name(k): v for k, v in published.state_dict().items()}, strict=True)
    return model.eval()


@pytest.mark.parametrize("dilation", [False, True], ids=["R50", "R50-DC5"])
def test_masks_of_a_padded_batch(dilation: bool) -> None:
    published = build_panoptic(80, dilation)
    ours = build_ours(published, dilation)
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in SIZES]
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for precision, bound in ((torch.float32, 1e-4), (torch.float64, 1e-5)):
        published, ours = published.to(precision), ours.to(precision)
        with torch.no_grad():
            expected = published([(x.to(precision) / 255 - mean) / std for x in images])["pred_masks"]
            between = steps(ours, [{"image": x.to(precision)} for x in images])
            masks = torch.stack(masks_of(ours, between, [torch.arange(100)] * 2))
        error = float((masks - expected).abs().max())
        print(f"{precision}: largest difference of a mask's logit {error:.1e} of {float(expected.std()):.1f}")
        assert masks.shape == expected.shape
        assert error <= bound


@pytest.mark.parametrize("counts", [(7, 3, 0, 5), (9, 1)], ids=["usual", "over-full"])
def test_focal_and_dice_losses(counts: tuple[int, ...]) -> None:
    """From mask logits to losses: upsampling, choice of pairs, sums and divisors."""
    queries, (height, width) = 8, (96, 120)
    logits = 3 * torch.randn(len(counts), queries, 24, 30)
    masks = torch.rand(len(counts), max(counts), height, width) > 0.6
    for image, count in enumerate(counts):
        masks[image, count:] = False
        masks[image, :, 90 - 9 * image :] = False  # padding
    labels, boxes = torch.zeros(masks.shape[:2], dtype=torch.int64), torch.rand(*masks.shape[:2], 4)
    own = tuple(masks[i, :count, : 90 - 9 * i] for i, count in enumerate(counts))
    targets = Targets(labels, boxes, counts, own)
    pairs = [
        (torch.randperm(queries)[:n], torch.randperm(count)[:n])
        for count in counts
        for n in [min(count, queries)]
    ]
    matches = Matches(
        torch.cat([torch.full_like(q, i) for i, (q, _) in enumerate(pairs)]),
        torch.cat([q for q, _ in pairs])[None],
        torch.cat([t for _, t in pairs])[None],
    )
    num_boxes = torch.tensor(float(sum(counts)))
    losses = MaskCriterion(queries, 1.0, 1.0, on_padding=True)(
        lambda chosen, _: [x[q] for x, q in zip(logits, chosen, strict=True)],
        matches,
        targets,
        (height, width),
        num_boxes,
    )
    expected = build_published_criterion(FOLDER, 80).loss_masks(
        {"pred_masks": logits},
        [{"masks": masks[i, :count]} for i, count in enumerate(counts)],
        pairs,
        num_boxes,
    )
    assert set(losses) == set(expected) == {"loss_mask", "loss_dice"}
    for name, value in expected.items():
        error = abs(float(losses[name] - value) / float(value))
        print(f"{name}: {float(value):.4f}, relative difference {error:.1e}")
        assert error < 1e-5


def test_loss_functions_in_double_precision() -> None:
    segmentation = import_published(FOLDER, "models.segmentation")
    logits = 5 * torch.randn(6, 20, 30, dtype=torch.float64)
    masks = torch.rand(6, 20, 30) > 0.7
    wanted = masks.flatten(1).double()
    focal = segmentation.sigmoid_focal_loss(logits.flatten(1), wanted, 1)
    dice = segmentation.dice_loss(logits.flatten(1), wanted, 1)
    torch.testing.assert_close(focal_loss(logits, masks), focal, rtol=1e-12, atol=0)
    torch.testing.assert_close(dice_loss(logits, masks), dice, rtol=1e-12, atol=0)
