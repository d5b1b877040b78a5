"""Files of Conditional DETR, DAB-DETR and DN-DETR, and class heads without a row for no-object."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.class_rows import ModelClasses
from detr_d2.checkpoint.convert import convert, from_detr_d2
from detr_d2.checkpoint.layouts import LAYOUTS
from detr_d2.checkpoint.prepare import prepare
from detr_d2.checkpoint.transfer import fit
from detr_d2.errors import CheckpointError
from detr_d2.modeling import Detr

from ..conftest import make_tiny_config

LABELS = "auxiliary.denoising.label.weight"


def variant(layout: str, classes: int = 3, queries: int = 10) -> CfgNode:
    """The smallest config of a layout's model."""
    cfg = make_tiny_config()
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    cfg.MODEL.DETR.DECODER = "conditional" if "conditional" in layout else "rpb" if layout == "rpb" else "dab"
    if layout == "detrex-dn":
        cfg.MODEL.DETR.AUXILIARY, cfg.MODEL.DETR.DAB.LEARNED_CONTENT = ("denoising",), True
    cfg.MODEL.DETR.CLASS_LOSS = "focal"
    cfg.MODEL.DETR.NUM_CLASSES, cfg.MODEL.DETR.NUM_OBJECT_QUERIES = classes, queries
    return cfg


def random_weights(cfg: CfgNode) -> dict[str, Tensor]:
    return {name: torch.randn_like(x) for name, x in build_model(cfg).state_dict().items()}


VARIANTS = [layout.name for layout in LAYOUTS.values() if layout.is_detector and not layout.no_object]


@pytest.mark.parametrize("layout", VARIANTS)
def test_every_layout_is_recognized_and_comes_back_the_same(layout: str) -> None:
    ours = random_weights(variant(layout))
    there = from_detr_d2(ours, layout)
    back = convert(there.weights, "file")
    assert (back.source, back.left, back.no_object) == (layout, [], False)
    assert back.weights.keys() == ours.keys()
    assert all(torch.equal(back.weights[name], value) for name, value in ours.items())
    own = convert(ours, "file")
    assert (own.source, own.left) == ("detr_d2", [])


@pytest.mark.parametrize(
    ("layout", "ours", "theirs"),
    [
        (
            "detrex-conditional",
            "query_embed.ref_point_head.layers.1",
            "transformer.decoder.ref_point_head.layers.1",
        ),
        (
            "detrex-conditional",
            "transformer.decoder.layers.0.multihead_attn.q_pos_sine_proj",
            "transformer.decoder.layers.0.attentions.1.query_pos_sine_proj",
        ),
        (
            "detrex-dab",
            "transformer.decoder.layers.1.self_attn.v_content_proj",
            "transformer.decoder.layers.1.attentions.0.value_proj",
        ),
        (
            "detrex-dab",
            "transformer.encoder.layers.1.activation",
            "transformer.encoder.layers.1.ffns.0.layers.0.1",
        ),
        (
            "huggingface-conditional",
            "transformer.decoder.layers.1.multihead_attn.k_pos_proj",
            "model.decoder.layers.1.ca_kpos_proj",
        ),
    ],
)
def test_modules_have_the_names_of_their_program(layout: str, ours: str, theirs: str) -> None:
    mapped = from_detr_d2(random_weights(variant(layout)), layout).mapped
    assert mapped[f"{ours}.weight"] == f"{theirs}.weight"


@pytest.mark.parametrize(
    "layout", [x.name for x in LAYOUTS.values() if x.is_detector and x.name != "detr_d2"]
)
def test_what_another_program_lacks_is_refused_by_its_layout(layout: str) -> None:
    fused = variant("dab")
    fused.MODEL.RESNETS.OUT_FEATURES, fused.MODEL.DETR.FUSE_FEATURES = ["res3", "res4"], ("res3",)
    strange = [variant("rpb"), fused]
    if LAYOUTS[layout].no_object:  # a program for plain DETR
        strange += [variant("dab"), variant("conditional")]
    for cfg in strange:
        with pytest.raises(CheckpointError, match="has no place for"):
            from_detr_d2(random_weights(cfg), layout)


def test_a_file_of_ours_comes_back_the_same_whatever_the_decoder() -> None:
    ours = random_weights(variant("rpb"))
    back = convert(ours, "file")
    assert (back.source, back.left) == ("detr_d2", [])
    assert all(torch.equal(back.weights[name], value) for name, value in ours.items())


def test_the_label_of_no_object_is_what_matched_queries_start_from() -> None:
    ours = random_weights(variant("detrex-dn"))
    there = from_detr_d2(ours, "detrex-dn").weights["denoising_generator.label_encoder.weight"]
    assert torch.equal(there, torch.cat([ours[LABELS], ours["query_embed.content"][None]]))


def test_a_head_of_cocos_91_ids_gives_its_80_classes() -> None:
    ours = random_weights(variant("huggingface-conditional", classes=91))
    ours["class_embed.bias"] = torch.arange(91.0)
    there = from_detr_d2(ours, "huggingface-conditional").weights
    back = convert(there, "file", ModelClasses(is_coco=lambda: True))
    bias = back.weights["class_embed.bias"]
    assert (len(bias), bias[0], bias[-1]) == (80, 1, 90)
    assert back.metadata["thing_classes"][0] == "person"
    again = from_detr_d2(back.weights, "huggingface-conditional", rule="coco").weights
    again_bias = again["class_labels_classifier.bias"]
    assert len(again_bias) == 91
    assert torch.equal(again_bias[[1, 90]], torch.tensor([1.0, 90.0]))
    assert again_bias[0] == -1e4


def save(model: Detr, names: list[str], folder: Path) -> str:
    DetrCheckpointer(model, str(folder), metadata=lambda: {"thing_classes": names}).save_weights("file")
    return str(folder / "file.pth")


def loaded(cfg: CfgNode, path: str, names: list[str]) -> tuple[Detr, Detr]:
    """A model before and after loading."""
    before, model = build_model(cfg), build_model(cfg)
    before.load_state_dict(model.state_dict())
    DetrCheckpointer(model, metadata=lambda: {"thing_classes": names}).load(path)
    return before, model


def test_rows_of_sigmoid_classes_and_labels_are_carried_by_name(tmp_path: Path) -> None:
    old = build_model(variant("detrex-dn"))
    path = save(old, ["cat", "dog", "cow"], tmp_path)
    before, model = loaded(variant("detrex-dn", classes=2), path, ["cow", "sheep"])
    for name in ("class_embed.weight", "class_embed.bias", LABELS):
        kept, was, own = (x.state_dict()[name] for x in (model, old, before))
        assert torch.equal(kept[0], was[2]), name
        assert torch.equal(kept[1], own[1]), name


def test_as_many_rows_of_another_class_loss_are_no_head_for_the_model(tmp_path: Path) -> None:
    """Three sigmoid classes and two with no-object have heads of one shape."""
    path = save(build_model(variant("dab")), ["a", "b", "c"], tmp_path)
    cfg = variant("dab", classes=2)
    cfg.MODEL.DETR.CLASS_LOSS = "cross_entropy"
    before, model = loaded(cfg, path, ["a", "b"])
    assert torch.equal(model.class_embed.weight, before.class_embed.weight)
    assert not torch.equal(model.input_proj.weight, before.input_proj.weight)


@pytest.mark.parametrize("queries", [4, 15])
@pytest.mark.parametrize("decoder", ["conditional", "dab", "rpb"])
def test_another_number_of_queries_keeps_the_first(tmp_path: Path, decoder: str, queries: int) -> None:
    old = build_model(variant(decoder))
    path = save(old, ["a", "b", "c"], tmp_path)
    _, model = loaded(variant(decoder, queries=queries), path, ["a", "b", "c"])
    kept = min(queries, 10)
    assert torch.equal(model.query_embed.weight[:kept], old.query_embed.weight[:kept])
    assert torch.equal(model.class_embed.weight, old.class_embed.weight)


def test_heads_of_another_kind_are_said_to_be_new() -> None:
    model = build_model(variant("dab")).state_dict()
    weights = {name: x.clone() for name, x in model.items()}
    notes = fit(weights, model, None, None, ends=(True, False)).notes
    assert "CLASS_LOSS" in notes[0]
    assert "class_embed.weight" not in weights


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_names_that_fit_a_file_of_ours_as_it_is_say_nothing_else(tiny_config: CfgNode, kind: str) -> None:
    """Whatever other lists of names there are whose length would fit the other kind of class loss."""
    tiny_config.MODEL.DETR.CLASS_LOSS = kind
    model = build_model(tiny_config).state_dict()
    things = ["cat", "dog", "owl"]
    more = {"cross_entropy": ["sky"], "focal": ["sky", "sea"]}[kind]  # 4 or 2 rows of the other kind
    lists = {"thing_classes": things, "stuff_classes": more}
    classes = ModelClasses(names=lambda: things, no_object=kind == "cross_entropy")
    prepared = prepare({"model": dict(model), "metadata": lists}, "x.pth", model, classes)
    assert prepared.fitted.notes == []
    for name in ("class_embed.weight", "class_embed.bias"):
        assert torch.equal(prepared.weights[name], model[name])
