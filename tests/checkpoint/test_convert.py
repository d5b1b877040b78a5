"""Published checkpoints come to our layout and back: every name, every row."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.class_rows import ModelClasses
from detr_d2.checkpoint.convert import convert, from_detr_d2
from detr_d2.checkpoint.layouts import LAYOUTS
from detr_d2.errors import CheckpointError

from ..conftest import make_tiny_config
from .key_sets import published_checkpoint, published_shapes
from .models import build_zoo_model

# Category ids that COCO's detection annotations do not use.
UNUSED_THINGS = [0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
MODELS = [(50, False, 458), (101, False, 713), (50, True, 490), (101, True, 745)]


@pytest.mark.parametrize(("depth", "panoptic", "count"), MODELS)
def test_published_key_sets_fill_our_models(
    tmp_path: Path, depth: int, panoptic: bool, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    published = published_checkpoint(depth, panoptic)
    assert len(published["model"]) == count
    torch.save(published, tmp_path / "published.pth")
    model = build_zoo_model(depth, panoptic)
    checkpointer = DetrCheckpointer(model, class_rows="coco")
    with caplog.at_level(logging.INFO):
        extra = checkpointer.load(str(tmp_path / "published.pth"))

    assert checkpointer.loaded == model.state_dict().keys()
    (summary,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Loaded ")]
    assert summary.endswith("published.pth."), "nothing missing, unexpected or changed"
    used = [i for i in range(91) if i not in UNUSED_THINGS]
    if panoptic:
        used = [category["id"] for category in COCO_CATEGORIES]
    rows = [*used, 250 if panoptic else 91]
    assert model.class_embed.bias.tolist() == rows
    assert model.class_embed.weight[:, 3].tolist() == rows
    names = extra["metadata"]["thing_classes"]
    assert len(names) == len(rows) - 1
    assert names[0], names[79] == ("person", "toothbrush")


@pytest.mark.parametrize(("depth", "panoptic", "count"), MODELS)
def test_the_way_back_to_the_published_layout_changes_no_row_in_use(
    depth: int, panoptic: bool, count: int
) -> None:
    published = published_checkpoint(depth, panoptic)["model"]
    ours = convert({"model": published}, "file", ModelClasses(is_coco=lambda: True))
    back = from_detr_d2(ours.weights, "published", ours.metadata)
    assert {name: tuple(value.shape) for name, value in back.weights.items()} == published_shapes(
        depth, panoptic
    )
    rows = ours.weights["class_embed.bias"].long()
    for name, value in published.items():
        if "class_embed" in name:
            assert torch.equal(back.weights[name][rows], value[rows])
        else:
            assert torch.equal(back.weights[name], value), name
    unused = 117 if panoptic else 11
    assert back.added == [f"{unused} rows of unused category ids in the class head"]


def test_rows_of_unused_categories_take_no_probability() -> None:
    torch.manual_seed(0)
    ours = {
        name: torch.randn(81, *shape)
        for name, shape in (("class_embed.weight", (16,)), ("class_embed.bias", ()))
    }
    assert len(from_detr_d2(ours, "published").weights["class_embed.bias"]) == 81, "nobody says it is COCO's"
    back = from_detr_d2(ours, "published", rule="coco").weights
    tokens = torch.randn(5, 16)

    def scores(weights: dict[str, Tensor]) -> Tensor:
        return (tokens @ weights["class_embed.weight"].T + weights["class_embed.bias"]).softmax(-1)

    used = [i for i in range(91) if i not in UNUSED_THINGS]
    assert scores(back).shape == (5, 92)
    assert float(scores(back)[:, UNUSED_THINGS].max()) == 0
    torch.testing.assert_close(scores(back)[:, [*used, 91]], scores(ours))


def test_heads_of_other_data_sets_keep_their_rows() -> None:
    for classes in (3, 80):
        head = {
            "class_embed.weight": torch.randn(classes + 1, 4),
            "class_embed.bias": torch.randn(classes + 1),
        }
        names = {"thing_classes": [f"class {i}" for i in range(classes)]}
        back = from_detr_d2(head, "huggingface", names)
        assert torch.equal(back.weights["class_labels_classifier.bias"], head["class_embed.bias"])
        assert back.added == []


def tiny_weights(masks: bool) -> dict[str, Tensor]:
    """A small DETR's by our names, with ResNet-18 blocks and learned positions."""
    cfg = make_tiny_config()
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.DETR.POSITION_EMBEDDING = "learned"
    weights = {name: torch.randn(value.shape) for name, value in build_model(cfg).state_dict().items()}
    if masks:
        shapes = {name: shape for name, shape in published_shapes(50, True).items() if "detr." not in name}
        weights |= {name: torch.randn(shape) for name, shape in shapes.items()}
    return weights


@pytest.mark.parametrize(
    ("layout", "masks"),
    [
        (layout.name, masks)
        for layout in LAYOUTS.values()
        for masks in (False, True)
        # The others are of variants.
        if layout.is_detector and layout.no_object and not (layout.name == "detrex" and masks)  # it has none
    ],
)
def test_every_layout_is_recognized_and_comes_back_the_same(layout: str, masks: bool) -> None:
    ours = tiny_weights(masks)
    there = from_detr_d2(ours, layout)
    assert len(there.weights) == len(ours) + 2 * len([n for n in ours if "in_proj" in n]) * (
        "hugging" in layout
    )
    back = convert({f"module.{name}": value for name, value in there.weights.items()}, "file")
    assert (back.source, back.left) == (layout, [])
    assert back.weights.keys() == ours.keys()
    assert all(torch.equal(back.weights[name], value) for name, value in ours.items())


@pytest.mark.parametrize(
    ("layout", "ours", "theirs"),
    [
        ("wrapper", "backbone.res2.0.conv1.norm.bias", "detr.backbone.0.backbone.res2.0.conv1.norm.bias"),
        ("wrapper", "query_embed.weight", "detr.query_embed.weight"),
        ("published", "position_encoding.col_embed.weight", "backbone.1.col_embed.weight"),
        ("detrex", "position_encoding.col_embed.weight", "position_embedding.col_embed.weight"),
        ("detrex", "transformer.decoder.norm.bias", "transformer.decoder.post_norm_layer.bias"),
        ("detrex", "transformer.decoder.layers.1.norm3.bias", "transformer.decoder.layers.1.norms.2.bias"),
        (
            "detrex",
            "transformer.decoder.layers.1.multihead_attn.in_proj_bias",
            "transformer.decoder.layers.1.attentions.1.attn.in_proj_bias",
        ),
        (
            "detrex",
            "transformer.encoder.layers.0.linear2.weight",
            "transformer.encoder.layers.0.ffns.0.layers.1.weight",
        ),
    ],
)
def test_names_that_only_some_models_have_or_whose_program_is_not_at_hand(
    layout: str, ours: str, theirs: str
) -> None:
    assert from_detr_d2(tiny_weights(False), layout).mapped[ours] == theirs


def test_names_of_the_wrapper_with_masks() -> None:
    mapped = from_detr_d2(tiny_weights(True), "wrapper").mapped
    assert mapped["class_embed.bias"] == "detr.detr.class_embed.bias"
    assert mapped["mask_head.gn5.bias"] == "detr.mask_head.gn5.bias"


def test_what_other_programs_add_is_left_and_reported() -> None:
    weights = from_detr_d2(tiny_weights(False), "wrapper").weights
    weights["criterion.empty_weight"] = torch.ones(4)
    result = convert({"model": weights, "optimizer": {}, "iteration": 7}, "file")
    assert result.left == ["criterion.empty_weight", "optimizer", "iteration"]


def test_our_own_files_stay_as_they_are() -> None:
    checkpoint = {"model": tiny_weights(False), "iteration": 7, "metadata": {"thing_classes": ["a"]}}
    same = convert(checkpoint, "file")
    assert same.weights.keys() == checkpoint["model"].keys()
    assert same.metadata == {"thing_classes": ["a"]}


def test_an_unknown_layout_says_what_was_looked_for_and_what_was_found() -> None:
    deformable = {"transformer.level_embed": torch.zeros(4, 8), "class_embed.0.weight": torch.zeros(91, 8)}
    with pytest.raises(
        CheckpointError, match=r"other\.pth is of no known layout .*published DETR: no backbone"
    ):
        convert({"model": deformable}, "other.pth")
    with pytest.raises(CheckpointError, match=r"2 tensors, such as transformer\.level_embed, class_embed"):
        convert({"model": deformable}, "other.pth")


@pytest.mark.parametrize(
    ("layout", "name", "changed"),
    [
        ("published", "class_embed.bias", None),
        ("published", "class_embed.bias", torch.zeros(7)),
        ("published", "class_embed.weight", torch.tensor(1.0)),
        ("huggingface", "model.encoder.layers.0.self_attn.k_proj.weight", torch.zeros(16, 16)),
        ("huggingface", "model.encoder.layers.0.self_attn.k_proj.weight", None),
    ],
    ids=["no bias", "short bias", "no rows", "key of another width", "no key"],
)
def test_tensors_that_do_not_fit_together_end_in_one_sentence(
    layout: str, name: str, changed: Tensor | None
) -> None:
    ours = tiny_weights(False)
    ours |= {"class_embed.weight": torch.zeros(81, 32), "class_embed.bias": torch.zeros(81)}
    weights = from_detr_d2(ours, layout).weights
    del weights[name]
    if changed is not None:
        weights[name] = changed
    with pytest.raises(ValueError, match=r"^checkpoint x\.pth has the names of ") as error:
        convert({"model": weights}, "x.pth")
    assert LAYOUTS[layout].description in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_without_a_place_are_not_dropped_on_the_way_out() -> None:
    weights = {**tiny_weights(False), "backbone.fpn_lateral2.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"no place for 1 .*backbone\.fpn_lateral2\.weight"):
        from_detr_d2(weights, "published")
    with pytest.raises(ValueError, match="no layout 'yolo' to convert to, but published"):
        from_detr_d2(weights, "yolo")


def test_queries_of_further_groups_can_be_left_behind() -> None:
    weights = tiny_weights(False)
    kept = from_detr_d2(weights, "published", num_queries=4).weights["query_embed.weight"]
    assert torch.equal(kept, weights["query_embed.weight"][:4])
    with pytest.raises(ValueError, match="cannot keep 11 object queries: the weights have 10"):
        from_detr_d2(weights, "published", num_queries=11)
