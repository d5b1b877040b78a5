"""Variants that the package does not know train, evaluate, are saved and resumed like its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from detr_d2.data import register_configured
from detr_d2.modeling import AUXILIARIES, DECODERS

from ...conftest import make_input
from ...engine.helpers import check_training_and_resume, write_dataset
from ..steps import check_every_parameter_learns, steps
from .anchors import AnchorDecoder
from .noise import Noise
from .points import PointDecoder

VARIANTS = [
    ("points", ()),
    ("anchors", ()),
    ("detr", ("noise",)),
    ("points", ("noise", "groups", "encoder")),
    ("detr", ("groups", "noise")),
    ("anchors", ("encoder", "groups")),
    ("anchors", ("denoising",)),
]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("detectron2", "detr_d2"):  # a trainer that finds its loggers set up adds no handlers
        caplog.set_level("INFO", logger=name)
    monkeypatch.setitem(DECODERS, "points", PointDecoder)
    monkeypatch.setitem(DECODERS, "anchors", AnchorDecoder)
    monkeypatch.setitem(AUXILIARIES, "noise", Noise)


def choose(cfg: CfgNode, decoder: str, auxiliary: tuple[str, ...]) -> CfgNode:
    cfg.MODEL.DETR.DECODER, cfg.MODEL.DETR.AUXILIARY, cfg.MODEL.DETR.GROUPS.NUM = decoder, auxiliary, 3
    cfg.MODEL.DETR.DROPOUT = 0.0
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    return cfg


@pytest.mark.parametrize(("decoder", "auxiliary"), VARIANTS, ids=str)
def test_every_parameter_learns_with_and_without_objects(
    tiny_config: CfgNode, decoder: str, auxiliary: tuple[str, ...]
) -> None:
    check_every_parameter_learns(build_model(choose(tiny_config, decoder, auxiliary)))


@pytest.mark.parametrize(("decoder", "auxiliary"), VARIANTS[:4], ids=str)
def test_it_trains_is_evaluated_saved_and_resumed_to_the_same_bits(
    tmp_path: Path, decoder: str, auxiliary: tuple[str, ...]
) -> None:
    cfg = choose(write_dataset(tmp_path), decoder, auxiliary)
    register_configured(cfg)
    check_training_and_resume(cfg)


@pytest.mark.parametrize("decoder", ["detr", "points"])
def test_the_noise_is_hidden_from_the_queries_and_from_other_images(
    tiny_config: CfgNode, decoder: str
) -> None:
    """The loss of an image does not depend on who shares the batch, whatever the object counts."""
    model = build_model(choose(tiny_config, decoder, ("noise",)))
    few, many = make_input(64, 64, 2), make_input(64, 64, 9)
    normalizers = model.loss_normalizers([[few, many]])
    totals = {}
    for name, batch in {"few": [few], "many": [many], "both": [few, many]}.items():
        torch.manual_seed(5)
        noise = torch.randn(2, 9, 4)  # the same for an image in either batch
        rows = {"few": (0,), "many": (1,), "both": (0, 1)}[name]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn_like", lambda x: noise[list(rows), : x.shape[1]])  # noqa: B023
            totals[name] = model(batch, normalizers=normalizers)
    plain = build_model(choose(tiny_config, decoder, ()))
    plain.load_state_dict(model.state_dict(), strict=False)
    without = plain([few, many], normalizers=normalizers)
    for name, value in totals["both"].items():
        torch.testing.assert_close(value, totals["few"][name] + totals["many"][name], rtol=1e-5, atol=1e-6)
        if name in without:
            torch.testing.assert_close(value, without[name], rtol=1e-5, atol=1e-6)
    assert {"loss_ce_noise", "loss_bbox_0_noise"} <= set(totals["both"]) - set(without)


def test_anchors_are_refined_layer_by_layer(tiny_config: CfgNode) -> None:
    model = build_model(choose(tiny_config, "anchors", ())).eval()
    with torch.no_grad():
        decoded = steps(model, [make_input(64, 64, 0)]).decoded
        assert decoded.reference is not None
        _, boxes = model.predict(decoded.hidden, decoded.reference)
    torch.testing.assert_close(decoded.reference[1].sigmoid(), boxes[0])
    assert torch.equal(decoded.reference[0, 0], model.query_embed.weight)
    changes = model.bbox_embed(decoded.hidden)
    torch.testing.assert_close(boxes[1], (decoded.reference[1] + changes[1]).sigmoid())
