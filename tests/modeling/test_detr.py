from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from ..conftest import make_input
from .steps import steps


@pytest.fixture
def batch() -> list[dict[str, Any]]:
    return [make_input(64, 96, 3), make_input(80, 64, 0), make_input(48, 48, 12)]


def test_training_gives_a_weighted_loss_for_each_term_and_layer(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    model = build_model(tiny_config)
    losses = model(batch)
    assert set(losses) == {f"loss_{term}{layer}" for term in ("ce", "bbox", "giou") for layer in ("", "_0")}
    sum(losses.values()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing, "DistributedDataParallel would wait for these"


def test_without_deep_supervision_only_the_last_layer_is_supervised(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    deep = build_model(tiny_config)
    tiny_config.MODEL.DETR.DEEP_SUPERVISION = False
    shallow = build_model(tiny_config)
    shallow.load_state_dict(deep.state_dict())
    losses = shallow(batch)
    assert set(losses) == {"loss_ce", "loss_bbox", "loss_giou"}
    expected = deep(batch)
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_a_batch_of_images_without_objects_trains(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config)
    losses = model([make_input(64, 64, 0), make_input(64, 64, 0)])
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_inference_gives_one_instance_for_each_query_in_the_asked_for_size(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    model = build_model(tiny_config).eval()
    batch[0]["height"], batch[0]["width"] = 640, 480
    del batch[1]["height"], batch[1]["width"]
    with torch.no_grad():
        results = model(batch)
        logits, boxes = model.predict(steps(model, batch).decoded.hidden)
    sizes = [(640, 480), (80, 64), (48, 48)]
    for i, (result, (height, width)) in enumerate(zip(results, sizes, strict=True)):
        instances = result["instances"]
        assert instances.image_size == (height, width)
        assert len(instances) == 10
        cx, cy, w, h = boxes[-1, i, 4].tolist()
        corners = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
        torch.testing.assert_close(instances.pred_boxes.tensor[4], torch.tensor(corners))
        torch.testing.assert_close(instances.scores, logits[-1, i].softmax(-1)[:, :3].amax(-1))


def test_padding_is_zero_after_normalization_and_hidden_from_attention(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config).eval()
    small, large = make_input(48, 48, 0), make_input(64, 96, 0)
    batch = [small, large]
    images = model.preprocess(batch)
    assert images.tensor.shape == (2, 3, 64, 96)
    mean, std = torch.tensor(tiny_config.MODEL.PIXEL_MEAN), torch.tensor(tiny_config.MODEL.PIXEL_STD)
    expected = (small["image"].float() - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(images.tensor[0, :, :48, :48], expected)
    assert not images.tensor[0, :, 48:].any()
    assert not images.tensor[0, :, :, 48:].any()

    # Features of the padding may be anything: attention does not see them.
    with torch.no_grad():
        expected_logits, expected_boxes = model.predict(steps(model, batch).decoded.hidden)
        backbone = model.backbone.forward

        def disturbed(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            features = backbone(pixels)
            features["res4"][0, :, 3:] += 100.0
            features["res4"][0, :, :, 3:] += 100.0
            return features

        model.backbone.forward = disturbed
        logits, boxes = model.predict(steps(model, batch).decoded.hidden)
    torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(boxes, expected_boxes)


def test_metrics_go_to_the_event_storage_and_never_into_the_loss(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    tiny_config.MODEL.DETR.METRICS_PERIOD = 5
    model = build_model(tiny_config)
    for iteration, written in ((4, True), (5, False)):
        with EventStorage(iteration) as storage:
            losses = model(batch)
            assert ("class_error" in storage.latest()) is written
            assert ("cardinality_error" in storage.latest()) is written
        assert not {"class_error", "cardinality_error"} & set(losses)


def test_images_whose_predictions_are_not_finite_are_told(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    model = build_model(tiny_config)
    batch[0]["image"] = batch[0]["image"].float()
    batch[0]["image"][0, 3, 3] = float("nan")
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"  # batch norm would spread it over the batch
    tiny_config.MODEL.DETR.AUXILIARY, tiny_config.MODEL.DETR.GROUPS.NUM = ("groups",), 2
    model = build_model(tiny_config)
    assert not all(loss.isfinite() for loss in model(batch).values())
    assert model.broken == (0,)
    batch[0]["image"] = torch.zeros(3, 64, 96)
    assert all(loss.isfinite() for loss in model(batch).values())
    assert model.broken == ()


def test_a_class_that_the_model_lacks_is_reported_with_the_file(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    batch[2]["instances"].gt_classes[5] = 3
    with pytest.raises(
        ValueError, match=r"random-48x48.png .* class 3, .*0 to 2: set MODEL.DETR.NUM_CLASSES"
    ):
        build_model(tiny_config)(batch)


def test_state_dict_has_the_published_names(tiny_config: CfgNode) -> None:
    names = set(build_model(tiny_config).state_dict())
    assert {
        "input_proj.weight",
        "query_embed.weight",
        "transformer.encoder.layers.1.self_attn.in_proj_weight",
        "transformer.decoder.layers.0.multihead_attn.out_proj.bias",
        "transformer.decoder.norm.weight",
        "class_embed.weight",
        "bbox_embed.layers.2.bias",
        "backbone.stem.conv1.weight",
    } <= names
    roots = {name.split(".")[0] for name in names}
    assert roots == {"input_proj", "query_embed", "transformer", "class_embed", "bbox_embed", "backbone"}


def test_heads_and_queries_keep_pytorchs_default_initialization(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.DETR.HIDDEN_DIM = 256
    tiny_config.MODEL.DETR.NUM_OBJECT_QUERIES = 100
    model = build_model(tiny_config)
    assert model.query_embed.weight.std().item() == pytest.approx(1.0, abs=0.03)
    for linear in (model.class_embed, *model.bbox_embed.layers):
        bound = linear.in_features**-0.5  # uniform in ±1/√fan_in
        assert linear.weight.abs().max().item() <= bound
        assert linear.weight.abs().max().item() > 0.95 * bound


def test_mixed_precision_gives_float32_losses_near_those_of_full_precision(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    model = build_model(tiny_config)
    expected = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch)
    for name, value in losses.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[name].item(), rel=0.05), name


def test_loss_normalizers_make_micro_batches_equal_the_joint_batch(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    model = build_model(tiny_config)
    batch = [make_input(64, 64, n) for n in (3, 0, 1, 11)]
    expected = sum(model(batch).values())
    normalizers = model.loss_normalizers([batch[:2], batch[2:]])
    total = sum(sum(model(half, normalizers=normalizers).values()) for half in (batch[:2], batch[2:]))
    torch.testing.assert_close(total, expected)


def test_per_process_normalization_is_each_batchs_own(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.DETR.LOSS_NORMALIZATION = "per_process"
    assert build_model(tiny_config).loss_normalizers([[make_input(64, 64, 1)]]) is None


def test_a_backbone_that_needs_divisible_sizes_gets_them(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config)
    model.backbone.__class__ = type(
        "Divisible", (type(model.backbone),), {"size_divisibility": property(lambda self: 32)}
    )
    images = model.preprocess([make_input(50, 70, 0)])
    assert images.tensor.shape[-2:] == (64, 96)
    assert images.image_sizes == [(50, 70)]


def test_inputs_are_left_as_they_were(tiny_config: CfgNode) -> None:
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    instances = Instances((64, 64), gt_boxes=Boxes(boxes.clone()), gt_classes=torch.tensor([1]))
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    build_model(tiny_config)([{"image": image.clone(), "instances": instances}])
    assert torch.equal(instances.gt_boxes.tensor, boxes)


def test_groups_of_queries_do_not_see_each_other(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.DETR.AUXILIARY, tiny_config.MODEL.DETR.GROUPS.NUM = ("groups",), 3
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    model = build_model(tiny_config)
    batch = [make_input(64, 64, 0), make_input(64, 64, 0)]
    with torch.no_grad():
        logits, _ = model.predict(steps(model, batch).decoded.hidden)
        model.query_embed.weight[10:20] += 1.0
        disturbed, _ = model.predict(steps(model, batch).decoded.hidden)
    assert logits.shape[2] == 30
    assert torch.equal(logits[:, :, :10], disturbed[:, :, :10])
    assert torch.equal(logits[:, :, 20:], disturbed[:, :, 20:])
    assert not torch.allclose(logits[:, :, 10:20], disturbed[:, :, 10:20])


def test_inference_keeps_the_first_group(tiny_config: CfgNode) -> None:
    single = build_model(tiny_config).eval()
    tiny_config.MODEL.DETR.AUXILIARY, tiny_config.MODEL.DETR.GROUPS.NUM = ("groups",), 3
    grouped = build_model(tiny_config).eval()
    state = single.state_dict()
    state["query_embed.weight"] = torch.cat([state["query_embed.weight"], torch.randn(20, 32)])
    grouped.load_state_dict(state)
    image = [make_input(64, 64, 0)]
    with torch.no_grad():
        expected, result = single(image)[0]["instances"], grouped(image)[0]["instances"]
    assert len(result) == 10
    assert torch.equal(result.pred_boxes.tensor, expected.pred_boxes.tensor)


def test_the_loss_of_groups_is_the_mean_of_their_losses(
    tiny_config: CfgNode, batch: list[dict[str, Any]]
) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    tiny_config.MODEL.DETR.AUXILIARY, tiny_config.MODEL.DETR.GROUPS.NUM = ("groups",), 2
    grouped = build_model(tiny_config)
    tiny_config.MODEL.DETR.AUXILIARY = ()
    single = build_model(tiny_config)
    losses = []
    for group in (slice(0, 10), slice(10, 20)):
        state = dict(grouped.state_dict())
        state["query_embed.weight"] = state["query_embed.weight"][group]
        single.load_state_dict(state)
        losses.append(single(batch))
    normalizers = grouped.loss_normalizers([batch])
    for result in (grouped(batch), grouped(batch, normalizers=normalizers)):
        for name, value in result.items():
            torch.testing.assert_close(value, (losses[0][name] + losses[1][name]) / 2)


def test_mixed_precision_ends_before_the_heads(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config)
    tokens = torch.randn(2, 7, 32)
    expected = model.predict(tokens.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.input_proj(torch.zeros(1, 32, 1, 1)).dtype == torch.bfloat16
        for found, wanted in zip(model.predict(tokens.bfloat16()), expected, strict=True):
            assert found.dtype == torch.float32
            assert torch.equal(found, wanted)
    model.to(torch.bfloat16)  # a model whose weights are of another type works as before
    assert model.predict(tokens.bfloat16())[1].dtype == torch.float32


def test_position_in_content_adds_the_encoding_to_the_features(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config).eval()
    tiny_config.MODEL.DETR.POSITION_IN_CONTENT = True
    with_position = build_model(tiny_config).eval()
    with_position.load_state_dict(model.state_dict())
    batch = [make_input(64, 64, 0)]
    images = model.preprocess(batch)
    position = model.position_encoding(torch.zeros(1, 4, 4, dtype=torch.bool))
    with torch.no_grad():
        projected = model.input_proj(model.backbone(images.tensor)["res4"])
        tokens, at = (x.flatten(2).mT for x in (projected + position, position))
        expected = model.transformer.encoder(tokens, at, None)
        memory = with_position.encode({"res4": model.backbone(images.tensor)["res4"]}, images)
    torch.testing.assert_close(memory.tokens, expected)
    torch.testing.assert_close(memory.projected, projected.flatten(2).mT)
