"""The whole model with a mask head; see test_detr.py for the detector."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from detr_d2.modeling.segmentation import MaskHead

from ..conftest import make_mask_input

TERMS = {f"loss_{term}{layer}" for term in ("ce", "bbox", "giou") for layer in ("", "_0")}


@pytest.fixture
def batch() -> list[dict[str, Any]]:
    return [make_mask_input(64, 96, 3), make_mask_input(80, 64, 0), make_mask_input(48, 48, 12)]


def test_masks_of_the_last_layer_are_trained_and_every_parameter_gets_a_gradient(
    mask_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    model = build_model(mask_config)
    losses = model(batch)
    assert set(losses) == TERMS | {"loss_mask", "loss_dice"}
    sum(losses.values()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing, "DistributedDataParallel would wait for these"
    assert model.mask_head.lay1.weight.grad.any()
    assert model.bbox_attention.q_linear.weight.grad.any()


def test_detector_losses_are_those_without_a_mask_head(
    mask_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    mask_config.MODEL.DETR.DROPOUT = 0.0
    model = build_model(mask_config)
    mask_config.MODEL.MASK_ON = False
    plain = build_model(mask_config)
    plain.load_state_dict(model.state_dict(), strict=False)
    losses = model(batch)
    for name, value in plain(batch).items():
        torch.testing.assert_close(losses[name], value)


def test_only_matched_queries_go_through_the_mask_head(
    mask_config: CfgNode, batch: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mask_config.MODEL.DETR.AUXILIARY, mask_config.MODEL.DETR.GROUPS.NUM = ("groups",), 2
    seen: list[tuple[int, ...]] = []
    forward = MaskHead.forward

    def counted(self: MaskHead, projected: Any, finer: Any, attention: Any, counts: Any, *rest: Any) -> Any:
        seen.append(tuple(counts))
        return forward(self, projected, finer, attention, counts, *rest)

    monkeypatch.setattr(MaskHead, "forward", counted)
    build_model(mask_config)(batch)
    assert seen == [(3, 0, 10)], "10 queries for 12 objects; of two groups one"


def test_a_batch_without_objects_trains_and_masks_are_not_needed_there(mask_config: CfgNode) -> None:
    batch = [make_mask_input(64, 64, 0), make_mask_input(48, 64, 0)]
    batch[1]["instances"].remove("gt_masks")
    model = build_model(mask_config)
    losses = model(batch)
    assert losses["loss_mask"].item() == losses["loss_dice"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_mask_losses_of_micro_batches_sum_to_those_of_the_joint_batch(mask_config: CfgNode) -> None:
    mask_config.MODEL.DETR.DROPOUT = 0.0
    mask_config.MODEL.RESNETS.NORM = "FrozenBN"
    mask_config.MODEL.DETR.AUXILIARY, mask_config.MODEL.DETR.GROUPS.NUM = ("groups",), 2
    model = build_model(mask_config)
    batch = [make_mask_input(64, 64, n) for n in (3, 0, 1, 11)]
    whole = model(batch)
    normalizers = model.loss_normalizers([batch[:2], batch[2:]])
    parts = [model(half, normalizers=normalizers) for half in (batch[:2], batch[2:])]
    for name in ("loss_mask", "loss_dice"):
        torch.testing.assert_close(parts[0][name] + parts[1][name], whole[name])
    alone = model(batch[:2])
    torch.testing.assert_close(alone["loss_mask"] * 3 / 15, parts[0]["loss_mask"])


def test_mixed_precision_gives_float32_mask_losses_near_those_of_full_precision(
    mask_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    mask_config.MODEL.DETR.DROPOUT = 0.0
    model = build_model(mask_config)
    expected = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch)
    sum(losses.values()).backward()
    for name in ("loss_mask", "loss_dice"):
        assert losses[name].dtype == torch.float32
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=0.05), name
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_few_steps_learn_the_mask_of_an_object(mask_config: CfgNode) -> None:
    mask_config.MODEL.DETR.DROPOUT = 0.0
    mask_config.MODEL.DETR.FROZEN_WEIGHTS = "any.pth"
    model = build_model(mask_config)
    batch = [make_mask_input(64, 64, 1)]
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(40):
        losses = model(batch)
        history.append(losses["loss_dice"].item())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert history[-1] < 0.5 * history[0]


def modules_that_train(model: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, module in model.named_modules() if name and module.training}


def test_a_frozen_detector_has_no_gradients_no_dropout_and_no_losses(
    mask_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    mask_config.MODEL.DETR.FROZEN_WEIGHTS = "any.pth"
    mask_config.MODEL.DETR.DROPOUT = 0.5
    mask_config.MODEL.DETR.AUXILIARY = ("groups", "encoder")
    model = build_model(mask_config)
    assert model.query_embed.weight.shape[0] == 11 * 10, "as in the file that it is loaded from"
    assert modules_that_train(model) == {"bbox_attention", "mask_head"}
    assert modules_that_train(model.eval()) == set()
    assert modules_that_train(model.train()) == {"bbox_attention", "mask_head"}
    assert model.training
    losses = model(batch)
    assert set(losses) == {"loss_mask", "loss_dice"}
    assert torch.equal(losses["loss_dice"], model(batch)["loss_dice"]), "no dropout"
    sum(losses.values()).backward()
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"bbox_attention", "mask_head"}
    assert all((p.grad is not None) is p.requires_grad for p in model.parameters())


def test_a_frozen_detector_is_the_same_after_training_bit_for_bit_in_weights_and_outputs(
    mask_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    """Its batch norms have statistics, which training would change."""
    mask_config.MODEL.DETR.FROZEN_WEIGHTS = "any.pth"
    model = build_model(mask_config)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    image = [make_mask_input(64, 64, 0)]
    with torch.no_grad():
        (before,) = model.eval()(image)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    for _ in range(3):
        sum(model(batch).values()).backward()
        optimizer.step()
    with torch.no_grad():
        (after,) = model.eval()(image)
    changed = {
        name.split(".")[0] for name, x in model.state_dict().items() if not torch.equal(x, state[name])
    }
    assert changed == {"bbox_attention", "mask_head"}
    assert torch.equal(before["instances"].pred_boxes.tensor, after["instances"].pred_boxes.tensor)
    assert torch.equal(before["instances"].scores, after["instances"].scores)
    assert not torch.equal(before["instances"].pred_masks, after["instances"].pred_masks)


def test_masks_have_the_asked_for_size_and_the_padding_does_not_show(mask_config: CfgNode) -> None:
    model = build_model(mask_config).eval()
    batch = [make_mask_input(64, 96, 0), make_mask_input(48, 40, 0)]
    batch[0]["height"], batch[0]["width"] = 128, 150
    with torch.no_grad():
        results = model(batch)
    for result, size in zip(results, [(128, 150), (48, 40)], strict=True):
        instances = result["instances"]
        assert instances.image_size == size
        assert instances.pred_masks.shape == (10, *size)
        assert instances.pred_masks.dtype == torch.bool


def test_state_dict_has_the_published_names_of_masks(mask_config: CfgNode) -> None:
    names = {name for name in build_model(mask_config).state_dict() if "mask" in name or "attention" in name}
    layers = [f"{kind}{i}" for kind in ("lay", "gn") for i in range(1, 5)]
    parts = ["bbox_attention.q_linear", "bbox_attention.k_linear"]
    parts += [f"mask_head.{name}" for name in (*layers, "out_lay", "adapter1", "adapter2")]
    assert names == {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
