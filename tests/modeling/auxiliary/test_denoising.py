"""Denoising: its noise, who sees whom, and what is learned from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.errors import ConfigError
from detr_d2.modeling import DECODERS, Detr, Memory, Part, Prediction, Queries, Targets
from detr_d2.modeling.auxiliary import Denoising

from ...conftest import make_input
from ..decoders.test_decoders import make_model
from ..oracles import random_targets

QUERIES, GROUPS = 10, 5  # of the tiny config


def denoising(cfg: CfgNode, decoder: str = "dab", *more: str) -> Detr:
    model = make_model(cfg, decoder, ("denoising", *more))
    torch.nn.init.normal_(model.bbox_embed.layers[-1].weight, std=0.3)  # type: ignore[arg-type]
    return model


def test_boxes_move_by_half_of_their_size_and_labels_flip_at_the_rate() -> None:
    noise = Denoising(4, 8, 1, 0.3, 0.4, False, 20.0)
    labels, box = torch.zeros(1, 20000, dtype=torch.int64), torch.tensor([0.5, 0.4, 0.2, 0.1])
    flipped, boxes = noise.with_noise(labels, box.expand(1, 20000, 4))
    share = [float((flipped == i).float().mean()) for i in range(4)]
    assert share == pytest.approx([0.775, 0.075, 0.075, 0.075], abs=0.015)  # may draw the same again
    change = (boxes[0] - box) / torch.tensor([0.2, 0.1, 0.2, 0.1])
    for i, most in enumerate((0.2, 0.2, 0.4, 0.4)):
        assert float(change[:, i].abs().max()) == pytest.approx(most, rel=0.01)
        assert float(change[:, i].std()) == pytest.approx(most / 3**0.5, rel=0.03), "uniform"
        assert abs(float(change[:, i].mean())) < 0.01


def test_boxes_stay_in_the_image_and_without_noise_as_they_are() -> None:
    boxes = torch.tensor([[[0.02, 0.98, 0.9, 0.9]]]).repeat(1, 500, 1)
    _, moved = Denoising(4, 8, 1, 0.0, 1.0, False, 20.0).with_noise(boxes[..., 0].long(), boxes)
    assert (moved.amin(), moved.amax()) == (0, 1)
    labels, same = Denoising(4, 8, 1, 0.0, 0.0, False, 20.0).with_noise(torch.ones(1, 500).long(), boxes)
    assert torch.equal(same, boxes)
    assert (labels == 1).all()


def test_rows_without_an_object_have_a_box_of_some_size(tiny_config: CfgNode) -> None:
    """Half precision overflows where it is divided by the size of a box that has none."""
    model = denoising(tiny_config)
    queries = extended(model, random_targets((1, 6, 0), 3))
    assert queries.reference is not None
    rows = queries.reference[:, QUERIES:].unflatten(1, (GROUPS, 6))  # B x K x n x 4
    for image, count in enumerate((1, 6, 0)):
        assert not rows[image, :, count:].any(), "half of the image, before the sigmoid"


def extended(model: Detr, targets: Targets) -> Queries:
    auxiliary = model.auxiliary["denoising"]
    memory: Any = None
    return auxiliary.extend(model.query_embed(memory), model.query_embed, memory, targets)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_queries_are_the_noisy_objects_group_after_group(tiny_config: CfgNode, decoder: str) -> None:
    cfg = tiny_config
    cfg.MODEL.DETR.DENOISING.LABEL_NOISE = cfg.MODEL.DETR.DENOISING.BOX_NOISE = 0.0
    model = denoising(cfg, decoder)
    targets = random_targets((3, 1), 3)
    queries = extended(model, targets)
    plain = model.query_embed(None)
    assert len(queries) == QUERIES + GROUPS * 3
    assert torch.equal(queries.content[1, :QUERIES], plain.content[0])
    label: Any = model.auxiliary["denoising"]
    for image, count in enumerate(targets.counts):
        for group in range(GROUPS):
            for i in range(count):
                row = QUERIES + 3 * group + i
                content = label.label.weight[targets.labels[image, i]]
                assert torch.equal(queries.content[image, row, :-1], content)
                assert queries.content[image, row, -1] == 1
                if queries.reference is not None:
                    box = queries.reference[image, row].sigmoid()
                    torch.testing.assert_close(box, targets.boxes[image, i, : len(box)].clamp(1e-5, 1 - 1e-5))
                if queries.position is not None:
                    assert torch.equal(queries.position[image, row], queries.position[image, QUERIES + i])


def predict(model: Detr, queries: Queries) -> tuple[Tensor, Tensor]:
    """Logits and boxes of queries on two random images, one of them padded; the same at each call."""
    torch.manual_seed(3)
    batch = [make_input(64, 96, 0), make_input(80, 48, 0)]
    images = model.preprocess(batch)
    memory: Memory = model.encode(model.backbone(images.tensor), images)
    decoded = model.transformer.decoder(queries, memory, model.bbox_embed)
    return model.predict(decoded.hidden, decoded.reference)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_group_is_seen_by_nobody_else(tiny_config: CfgNode, decoder: str) -> None:
    model = denoising(tiny_config, decoder)
    queries = extended(model, random_targets((3, 1), 3))
    content = queries.content.clone()
    content[:, QUERIES + 3 : QUERIES + 6] += 1  # the second group
    with torch.no_grad():
        logits, boxes = predict(model, queries)
        others, other_boxes = predict(model, replace(queries, content=content))
    same = (logits == others).all(-1) & (boxes == other_boxes).all(-1)  # L x B x Q
    second = torch.zeros(len(queries), dtype=torch.bool)
    second[QUERIES + 3 : QUERIES + 6] = True
    assert same[:, :, ~second].all()
    assert not same[:, :, second].any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_rows_without_object_are_seen_by_nobody(tiny_config: CfgNode, decoder: str) -> None:
    model = denoising(tiny_config, decoder)
    queries = extended(model, random_targets((3, 1), 3))
    content = queries.content.clone()
    empty = [QUERIES + 3 * group + i for group in range(GROUPS) for i in (1, 2)]
    content[1, empty] += 1
    with torch.no_grad():
        logits, _ = predict(model, queries)
        others, _ = predict(model, replace(queries, content=content))
    same = (logits == others).all(-1)
    assert same[:, 0].all()
    full = [row for row in range(len(queries)) if row not in empty]
    assert same[:, 1, full].all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_with_equal_counts_it_is_attention_under_the_published_mask(
    tiny_config: CfgNode, decoder: str
) -> None:
    """One mask over all rows: none sees a group of others, and the queries of inference see none."""
    model = denoising(tiny_config, decoder)
    queries = extended(model, random_targets((2, 2), 3))
    total = QUERIES + 2 * GROUPS
    mask = torch.zeros(total, total, dtype=torch.bool)
    mask[:QUERIES, QUERIES:] = True
    for group in range(GROUPS):
        own = slice(QUERIES + 2 * group, QUERIES + 2 * group + 2)
        mask[own, QUERIES : own.start] = True
        mask[own, own.stop :] = True
    masked = replace(queries, parts=(Part(slice(0, total), hidden=mask),))
    with torch.no_grad():
        for result, expected in zip(predict(model, queries), predict(model, masked), strict=True):
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("class_loss", ["cross_entropy", "focal"])
def test_losses_are_those_of_each_row_and_its_own_object(tiny_config: CfgNode, class_loss: str) -> None:
    tiny_config.MODEL.DETR.CLASS_LOSS = class_loss
    model = denoising(tiny_config)
    targets = random_targets((3, 0, 1), 3)
    (_, part) = extended(model, targets).parts
    width = model.class_embed.out_features
    logits, boxes = torch.randn(2, 3, QUERIES + 3 * GROUPS, width), torch.rand(2, 3, QUERIES + 3 * GROUPS, 4)
    prediction = Prediction.of(part, logits, boxes)
    normalizers = model.criterion.normalizers(targets.counts)
    losses = model.criterion.losses(prediction, part.supervision.matches, targets, normalizers)
    weights = model.criterion.weights
    for layer, suffix in enumerate(("_0_dn", "_dn")):
        class_sum = l1 = 0.0
        for image, count in enumerate(targets.counts):
            for group in range(GROUPS):
                for i in range(count):
                    row = QUERIES + 3 * group + i
                    label = targets.labels[image, i].view(1, 1, 1)
                    own = logits[layer, image, row].view(1, 1, 1, -1)
                    class_sum += float(model.criterion.class_loss.loss(own, label, torch.zeros(1, 1, 1)))
                    l1 += float((boxes[layer, image, row] - targets.boxes[image, i]).abs().sum())
        objects = sum(targets.counts) * GROUPS
        assert losses[f"loss_ce{suffix}"].item() == pytest.approx(
            weights.class_ * class_sum / objects, rel=1e-4
        )
        assert losses[f"loss_bbox{suffix}"].item() == pytest.approx(weights.l1 * l1 / objects, rel=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_no_loss_depends_on_who_shares_the_batch(
    tiny_config: CfgNode, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = denoising(tiny_config, decoder, "groups", "encoder")
    monkeypatch.setattr(
        Denoising, "with_noise", lambda self, labels, boxes: ((labels + 1) % 3, (1.1 * boxes).clamp(0, 1))
    )
    few, many, none = make_input(64, 64, 2), make_input(64, 64, 9), make_input(64, 64, 0)
    normalizers = model.loss_normalizers([[few, many, none]])
    together = model([few, many, none], normalizers=normalizers)
    alone = [model([x], normalizers=normalizers) for x in (few, many, none)]
    assert {"loss_ce_dn", "loss_bbox_0_dn", "loss_giou_dn"} <= set(together)
    for name, value in together.items():
        torch.testing.assert_close(value, sum(x[name] for x in alone), rtol=1e-4, atol=1e-5)


def test_the_losses_of_the_others_and_inference_are_as_without(tiny_config: CfgNode) -> None:
    model = denoising(tiny_config)
    plain = make_model(tiny_config, "dab")
    plain.load_state_dict(model.state_dict(), strict=False)
    batch = [make_input(64, 64, 3), make_input(48, 64, 1)]
    expected, losses = plain(batch), model(batch)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    assert {name for name in losses if name not in expected} == {f"{name}_dn" for name in expected}
    with torch.no_grad():
        results = [x.eval()(batch) for x in (model, plain)]
    for one, other in zip(*results, strict=True):
        assert torch.equal(one["instances"].scores, other["instances"].scores)


@pytest.mark.parametrize(("key", "value"), [("GROUPS", 0), ("LABEL_NOISE", 1.5), ("BOX_NOISE", -0.1)])
def test_impossible_values_are_refused_by_their_key(tiny_config: CfgNode, key: str, value: float) -> None:
    tiny_config.MODEL.DETR.AUXILIARY = ("denoising",)
    tiny_config.MODEL.DETR.DENOISING[key] = value
    with pytest.raises(ConfigError, match=f"MODEL.DETR.DENOISING.{key} is {value}"):
        build_model(tiny_config)
