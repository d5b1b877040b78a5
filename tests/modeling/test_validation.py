from __future__ import annotations

from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from detr_d2.modeling import Detr
from detr_d2.modeling.validation import ValidationLoss

from ..conftest import make_input, make_mask_config, make_mask_input, make_tiny_config

VARIANTS = ["detr", "focal", "masks", "groups"]


def variant(name: str) -> CfgNode:
    cfg = make_mask_config() if name == "masks" else make_tiny_config()
    detr = cfg.MODEL.DETR
    detr.DROPOUT = 0.0
    if name != "detr":
        detr.CLASS_LOSS = "focal"
    if name == "groups":
        detr.AUXILIARY, detr.GROUPS.NUM = ("groups", "denoising", "encoder"), 3
    return cfg


def batch(name: str, counts: tuple[int, ...] = (3, 0, 1, 12)) -> list[dict[str, Any]]:
    """Images of one size, so that none is padded; one has more objects than there are queries."""
    make = make_mask_input if name == "masks" else make_input
    return [make(64, 96, count) for count in counts]


def losses(model: Detr, *batches: list[dict[str, Any]]) -> dict[str, float]:
    loss = ValidationLoss(model)
    for one in batches:
        loss.add(one)
    return loss.result()


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_the_loss_of_training_on_all_images_as_one_batch(name: str) -> None:
    """With weights that are the same in both modes: no dropout, and batch norm's statistics as they are."""
    model = build_model(variant(name)).eval()
    images = batch(name)
    found = losses(model, images[:1], images[1:3], images[3:])
    model.auxiliary = nn.ModuleDict()
    model.training = True  # its parts are in evaluation mode
    expected = model(images)
    if name == "groups":  # those of training have three groups: look at the first alone
        model.query_embed.weight.data = model.query_embed.weight.data[: model.query_embed.num_queries]
        expected = model(images)
    for term in ("loss_ce", "loss_bbox", "loss_giou"):
        assert found[term] == pytest.approx(float(expected[term]), rel=1e-5)
    assert found["total_loss"] == pytest.approx(float(sum(expected.values())), rel=1e-5)
    assert set(found) == {key for key in expected if not key[-1].isdigit()} | {"total_loss"}


@pytest.mark.parametrize("name", VARIANTS)
def test_batches_do_not_matter(name: str) -> None:
    model, images = build_model(variant(name)).eval(), batch(name)
    one = losses(model, images)
    assert losses(model, *([image] for image in images)) == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_it_changes_and_draws_nothing(name: str) -> None:
    model = build_model(variant(name)).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    with EventStorage(19) as storage:  # where METRICS_PERIOD would write
        losses(model, batch(name))
    assert not storage.latest()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not torch.equal(torch.get_rng_state(), random), "the images are random"
    images, random = batch(name), torch.get_rng_state()
    losses(model, images)
    assert torch.equal(torch.get_rng_state(), random)


def test_without_objects_or_images_it_is_finite_or_nothing() -> None:
    model = build_model(variant("detr")).eval()
    found = losses(model, batch("detr", (0, 0)))
    assert found["loss_bbox"] == found["loss_giou"] == 0
    assert 0 < found["total_loss"] < 100
    assert losses(model) == {}


def test_a_frozen_detector_has_the_loss_of_its_masks_alone(tmp_path: Any) -> None:
    cfg = variant("masks")
    cfg.MODEL.DETR.FROZEN_WEIGHTS = "some.pth"
    found = losses(build_model(cfg).eval(), batch("masks"))
    assert set(found) == {"loss_mask", "loss_dice", "total_loss"}
