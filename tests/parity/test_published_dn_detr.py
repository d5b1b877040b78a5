"""DN-DETR's own code gives the predictions and losses of ours, with the same random weights and noise."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.modeling import Detr

from .published_dn_detr import Published, our_weights, requires_dn_detr
from .variants import CLASSES, GROUPS, close, injected_noise, inputs, ours, stacked, variant

pytestmark = requires_dn_detr

Both = list[tuple[Tensor, Tensor]]


def pair() -> tuple[Detr, Published]:
    cfg = variant("dn")
    cfg.MODEL.DETR.L1_WEIGHT = cfg.MODEL.DETR.GIOU_WEIGHT = 1.0  # theirs are weighted later
    model = build_model(cfg).train()
    published = Published(CLASSES, model.input_proj.in_channels)
    missing, unexpected = model.load_state_dict(our_weights(published.model), strict=False)
    assert not unexpected
    assert all(name.startswith("backbone.") for name in missing)
    return model, published


def predict(model: Detr, published: Published, batch: list[dict[str, Any]]) -> tuple[Both, dict[str, Tensor]]:
    """As :func:`.variants.ours`, with our backbone's features; and the losses of denoising."""
    images = model.preprocess(batch)
    padding = torch.ones(images.tensor.shape[0], *images.tensor.shape[-2:], dtype=torch.bool)
    for mask, (height, width) in zip(padding, images.image_sizes, strict=True):
        mask[:height, :width] = False
    with torch.no_grad():
        features = model.backbone(images.tensor)["res4"]
    padded = model.targets(batch, images)
    targets = [
        {"labels": padded.labels[i, :count], "boxes": padded.boxes[i, :count]}
        for i, count in enumerate(padded.counts)
    ]
    outputs, denoising, losses = published.predict(features, padding, targets, GROUPS)
    return [stacked(outputs), denoising], losses


def test_predictions_and_losses_for_a_padded_batch_with_equal_counts() -> None:
    model, published = pair()
    batch = inputs((3, 3), ((96, 128), (120, 80)))
    expected, losses = predict(model, published, batch)
    for result, other, what in zip(ours(model, batch), expected, ("matched", "denoised"), strict=True):
        close(result, other, what)
    with torch.no_grad(), injected_noise():
        own = model(batch)
    compared = [name for name in losses if name.startswith("tgt_loss")]
    assert len(compared) == 9
    for name in compared:
        ours_name = f"{name.removeprefix('tgt_')}_dn"
        print(f"{ours_name}: {float(own[ours_name] - losses[name]):.1e} of {float(losses[name]):.3f}")
        torch.testing.assert_close(own[ours_name], losses[name], rtol=1e-5, atol=1e-5)


def test_its_rows_of_denoising_read_the_padding_of_unequal_counts() -> None:
    """The published mask hides groups from each other, not the rows of a group that are no object's."""
    model, published = pair()
    batch = inputs((3, 1), ((96, 96), (96, 96)))
    rows = [3 * group for group in range(GROUPS)]  # of the one object of the second image
    alone = predict(model, published, batch[1:])[0][1]
    together = predict(model, published, batch)[0]
    own = ours(model, batch)
    close((own[1][0][:, 1:, rows], own[1][1][:, 1:, rows]), alone, "beside another image", differ=False)
    assert float((together[1][0][:, 1:, rows] - alone[0]).abs().max()) > 1e-2
    close(own[0], together[0], "matched")  # which see none of it
