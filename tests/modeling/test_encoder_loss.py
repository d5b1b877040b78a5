"""The loss of the encoder's tokens."""

from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from ..conftest import make_input
from .steps import steps, targets_of


@pytest.fixture
def batch() -> list[dict[str, Any]]:
    return [make_input(64, 96, 3), make_input(80, 64, 0), make_input(48, 48, 12)]


def test_the_encoder_is_supervised_at_the_objects_centers(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.DETR.AUXILIARY, tiny_config.MODEL.DETR.GROUPS.NUM = ("groups",), 2
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    plain = build_model(tiny_config)
    tiny_config.MODEL.DETR.AUXILIARY = ("groups", "encoder")
    tiny_config.MODEL.DETR.ENCODER.LOSS_WEIGHT = 0.5
    model = build_model(tiny_config)
    model.load_state_dict(plain.state_dict())
    losses, expected = model(batch), plain(batch)
    for name, value in expected.items():
        assert torch.equal(losses[name], value), "the decoder's losses do not change"
    assert set(losses) - set(expected) == {"loss_ce_encoder", "loss_bbox_encoder", "loss_giou_encoder"}

    # The plain loop: 64 x 96, 80 x 64 and 48 x 48 pixels are 4 x 6, 5 x 4 and 3 x 3 of the 5 x 6 cells.
    logits, boxes = model.predict(steps(model, batch).memory.tokens)
    l1, ce, crowded = 0.0, 0.0, 0
    for i, (x, (rows, columns)) in enumerate(zip(batch, [(4, 6), (5, 4), (3, 3)], strict=True)):
        height, width = x["instances"].image_size
        owners: dict[int, tuple[float, int, list[float]]] = {}  # token: area, class, box of the smallest
        for box, label in zip(x["instances"].gt_boxes.tensor, x["instances"].gt_classes, strict=True):
            x0, y0, x1, y1 = box.tolist()
            cx, cy, w, h = (
                (x0 + x1) / 2 / width,
                (y0 + y1) / 2 / height,
                (x1 - x0) / width,
                (y1 - y0) / height,
            )
            token = int(cy * rows) * 6 + int(cx * columns)
            crowded += token in owners
            if token not in owners or w * h < owners[token][0]:
                owners[token] = (w * h, int(label), [cx, cy, w, h])
        for row in range(rows):
            for column in range(columns):
                token = row * 6 + column
                _, label, wanted = owners.get(token, (0.0, 3, []))
                ce -= (0.1 if label == 3 else 1.0) * logits[i, token].log_softmax(-1)[label].item()
                if wanted:
                    l1 += (boxes[i, token] - torch.tensor(wanted)).abs().sum().item()
    assert crowded, "two objects share a cell"
    assert losses["loss_bbox_encoder"].item() == pytest.approx(0.5 * 5 * l1 / 15, rel=1e-4)
    assert losses["loss_ce_encoder"].item() == pytest.approx(0.5 * ce / 15, rel=1e-4)


def test_the_encoders_loss_does_not_depend_on_who_shares_the_batch(tiny_config: CfgNode) -> None:
    """What convolutions see at the border does, so that this backbone only averages."""
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.DETR.AUXILIARY = ("encoder",)
    tiny_config.MODEL.DETR.ENCODER.LOSS_WEIGHT = 1.0
    model = build_model(tiny_config)
    model.backbone.forward = lambda pixels: {
        "res4": nn.functional.avg_pool2d(pixels, 16).repeat(1, 11, 1, 1)[:, :32]
    }
    small, other = make_input(48, 48, 5), make_input(80, 96, 0)
    normalizers = model.loss_normalizers([[small]])
    alone, shared = (model(batch, normalizers) for batch in ([small], [small, other]))
    of_other = model([other], normalizers)
    for name in ("loss_bbox_encoder", "loss_giou_encoder"):
        assert shared[name].item() == pytest.approx(alone[name].item(), rel=1e-5)
    total = alone["loss_ce_encoder"].item() + of_other["loss_ce_encoder"].item()
    assert shared["loss_ce_encoder"].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("decoder", "relative"), [("detr", False), ("conditional", True), ("dab", True), ("rpb", True)]
)
def test_decoders_of_relative_boxes_read_them_relative_to_the_cells(
    tiny_config: CfgNode, batch: list[dict[str, Any]], decoder: str, relative: bool
) -> None:
    """A head that starts with zeros then starts from boxes around the cells' centers."""
    tiny_config.MODEL.DETR.DECODER, tiny_config.MODEL.DETR.AUXILIARY = decoder, ("encoder",)
    model = build_model(tiny_config)
    with torch.no_grad():
        memory = steps(model, batch).memory
        (prediction,) = model.auxiliary["encoder"].predictions(
            model.predict, memory, targets_of(model, batch)
        )
    boxes = prediction.boxes[0]  # B x 30 x 4
    assert boxes.shape == (3, 30, 4)
    if not relative:
        assert torch.equal(boxes, model.predict(memory.tokens)[1])
        return
    for image, (rows, columns) in enumerate([(4, 6), (5, 4), (3, 3)]):
        for row in range(rows):
            for column in range(columns):
                center = [(column + 0.5) / columns, (row + 0.5) / rows]
                assert boxes[image, row * 6 + column].tolist() == pytest.approx([*center, 0.5, 0.5], abs=1e-5)
