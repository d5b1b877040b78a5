"""What Lightning, wrappers and Hugging Face put around weights."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
import torchvision

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.convert import convert, from_detr_d2
from detr_d2.checkpoint.safe_load import read_checkpoint
from detr_d2.checkpoint.safetensors_file import save_safetensors
from detr_d2.errors import CheckpointError, MissingFileError


@pytest.fixture
def cfg(tiny_config: CfgNode) -> CfgNode:
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    return tiny_config


@pytest.fixture
def weights(cfg: CfgNode) -> dict[str, Tensor]:
    return {name: x + 1 for name, x in build_model(cfg).state_dict().items()}


def loaded(cfg: CfgNode, path: Path) -> tuple[dict[str, Tensor], DetrCheckpointer]:
    model = build_model(cfg)
    checkpointer = DetrCheckpointer(model)
    checkpointer.load(str(path))
    return model.state_dict(), checkpointer


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("layout", ["detr_d2", "published", "wrapper"])
@pytest.mark.parametrize("prefix", ["model.", "module.", "net.", "module.model.", "_orig_mod.module.net."])
def test_prefixes_before_all_names_are_removed(
    cfg: CfgNode, weights: dict[str, Tensor], tmp_path: Path, prefix: str, layout: str
) -> None:
    named = from_detr_d2(weights, layout).weights
    state = {f"{prefix}{name}": value for name, value in named.items()}
    torch.save({"state_dict": state, "epoch": 3, "global_step": 70}, tmp_path / "last.ckpt")
    after, checkpointer = loaded(cfg, tmp_path / "last.ckpt")
    assert same(after, weights)
    assert checkpointer.loaded == weights.keys()


def test_what_lies_beside_a_wrapped_model_is_said(
    cfg: CfgNode, weights: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = {f"model.{name}": value for name, value in weights.items()}
    state["criterion.empty_weight"] = torch.ones(4)
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    assert same(loaded(cfg, tmp_path / "last.ckpt")[0], weights)
    assert "criterion (1)" in caplog.text


def test_two_models_in_one_file_are_refused(cfg: CfgNode, weights: dict[str, Tensor], tmp_path: Path) -> None:
    state = {f"{part}.{name}": x for part in ("model", "ema") for name, x in weights.items()}
    torch.save({"state_dict": state}, tmp_path / "two.ckpt")
    with pytest.raises(CheckpointError, match=r"two\.ckpt holds several models, under model\. and ema\."):
        loaded(cfg, tmp_path / "two.ckpt")


def test_the_backbone_of_another_detector_is_not_taken_out_of_it(weights: dict[str, Tensor]) -> None:
    """Its names fit torchvision's ResNet, when everything else is passed over."""
    state = {f"backbone.0.body.{name}": x for name, x in torchvision.models.resnet18().state_dict().items()}
    assert convert({"model": state}, "x").source == "torchvision"
    state["transformer.level_embed"] = torch.zeros(4, 8)
    with pytest.raises(CheckpointError, match="of no known layout"):
        convert({"model": state}, "x")


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_folders_of_save_pretrained_are_read(
    cfg: CfgNode, weights: dict[str, Tensor], tmp_path: Path, kind: str, shards: int
) -> None:
    state = from_detr_d2(weights, "huggingface").weights
    stem = "model" if kind == "safetensors" else "pytorch_model"
    files = {}
    for shard in range(shards):
        name = f"{stem}.{kind}" if shards == 1 else f"{stem}-{shard + 1:05d}-of-{shards:05d}.{kind}"
        part = {key: state[key] for key in list(state)[shard::shards]}
        if kind == "safetensors":
            pytest.importorskip("safetensors")
            save_safetensors(str(tmp_path / name), part, {})
        else:
            torch.save(part, tmp_path / name)
        files.update(dict.fromkeys(part, name))
    if shards > 1:
        index = {"metadata": {}, "weight_map": files}
        (tmp_path / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}))
    assert same(loaded(cfg, tmp_path)[0], weights)
    assert read_checkpoint(str(tmp_path))["metadata"] == {"thing_classes": ["a", "b", "c"]}


def test_a_folder_that_lacks_something_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=f"{tmp_path} is a folder without weights: .*model"):
        read_checkpoint(str(tmp_path))
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="has no weight_map"):
        read_checkpoint(str(tmp_path))
    index.write_text('{"weight_map": {"a": "../gone.bin"}}')
    with pytest.raises(MissingFileError, match=f"{tmp_path}/gone.bin"):
        read_checkpoint(str(tmp_path))
    index.write_text("{")
    with pytest.raises(CheckpointError, match="is no json"):
        read_checkpoint(str(tmp_path))


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("depth", [18, 34])
def test_the_backbone_of_an_own_detector_with_batch_norm_starts_a_frozen_one(
    tiny_config: CfgNode, tmp_path: Path, bare: bool, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It has counters that a frozen one has not, and may have more stages."""
    tiny_config.MODEL.RESNETS.DEPTH = depth
    backbone = build_model(tiny_config).backbone
    for module in backbone.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(5)
    prefix = "" if bare else "backbone."
    torch.save({prefix + name: x for name, x in backbone.state_dict().items()}, tmp_path / "backbone.pth")
    tiny_config.MODEL.RESNETS.NORM, tiny_config.MODEL.BACKBONE.FREEZE_AT = "FrozenBN", 2
    tiny_config.MODEL.RESNETS.DEPTH = 18
    model = build_model(tiny_config)
    checkpointer = DetrCheckpointer(model)
    with caplog.at_level(logging.INFO):
        checkpointer.load(str(tmp_path / "backbone.pth"))
    own = backbone.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in model.backbone.state_dict().items())
    assert checkpointer.loaded == {f"backbone.{name}" for name in model.backbone.state_dict()}
    assert "In the file, but not in the model: backbone.res2" in caplog.text
