from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

import detr_d2

# isort: split
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

from detr_d2.checkpoint import DetrCheckpointer, warn_of_random_frozen_backbone
from detr_d2.errors import CheckpointError


class Counter:
    """Something with a state."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def test_a_checkpoint_comes_back_with_its_training_state(tmp_path: Path) -> None:
    model, counter = nn.Linear(2, 3), Counter()
    counter.count = 5
    saver = DetrCheckpointer(
        model, str(tmp_path), metadata=lambda: {"thing_classes": ["cat"]}, counter=counter
    )
    saver.save("model_0000004", iteration=4)

    other, other_counter = nn.Linear(2, 3), Counter()
    loader = DetrCheckpointer(other, str(tmp_path), counter=other_counter)
    extra = loader.resume_or_load("", resume=True)
    assert torch.equal(other.weight, model.weight)
    assert other_counter.count == 5
    assert extra == {"iteration": 4, "metadata": {"thing_classes": ["cat"]}}
    assert loader.loaded == {"weight", "bias"}


def test_other_weights_than_the_models_can_be_saved(tmp_path: Path) -> None:
    average = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    DetrCheckpointer(nn.Linear(2, 3), str(tmp_path), weights=lambda: average).save("model")
    assert torch.equal(torch.load(tmp_path / "model.pth")["model"]["weight"], torch.ones(3, 2))


def test_saved_weights_alone_are_not_what_training_resumes_from(tmp_path: Path) -> None:
    checkpointer = DetrCheckpointer(nn.Linear(2, 3), str(tmp_path), counter=Counter())
    checkpointer.save("model_0000004")
    checkpointer.save_weights("model_best", best={"value": 1.0})
    assert checkpointer.get_checkpoint_file().endswith("model_0000004.pth")
    assert torch.load(tmp_path / "model_best.pth").keys() == {"model", "best"}


def test_weights_can_be_saved_as_safetensors_with_the_names_of_the_classes(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    model, names = nn.Linear(2, 3), {"thing_classes": ["cat"]}
    DetrCheckpointer(model, str(tmp_path), metadata=lambda: names).save_weights("final.safetensors", epoch=3)
    assert [path.name for path in tmp_path.iterdir()] == ["final.safetensors"]
    other = nn.Linear(2, 3)
    extra = DetrCheckpointer(other).load(str(tmp_path / "final.safetensors"))
    assert torch.equal(other.weight, model.weight)
    assert extra["metadata"] == {**names, "epoch": 3}


@pytest.mark.parametrize("kind", ["complex", "integer", "sparse", "meta", "quantized"])
def test_tensors_of_another_kind_are_refused_and_nothing_is_loaded(tmp_path: Path, kind: str) -> None:
    model = nn.Linear(2, 3)
    weight = {
        "complex": lambda: torch.ones(3, 2, dtype=torch.complex64),
        "integer": lambda: torch.ones(3, 2, dtype=torch.int8),
        "sparse": lambda: torch.eye(3, 2).to_sparse(),
        "meta": lambda: torch.ones(3, 2, device="meta"),
        "quantized": lambda: torch.quantize_per_tensor(torch.ones(3, 2), 0.1, 0, torch.qint8),
    }[kind]()
    torch.save({"bias": torch.zeros(3), "weight": weight}, tmp_path / "x.pth")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"x\.pth .*weight is torch\."):
        DetrCheckpointer(model).load(str(tmp_path / "x.pth"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_numbers_that_are_not_finite_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"bias": torch.tensor([0, torch.nan, 1]), "weight": torch.zeros(3, 2)}, tmp_path / "x.pth")
    DetrCheckpointer(nn.Linear(2, 3)).load(str(tmp_path / "x.pth"))
    assert "Not all numbers are finite in bias (1)" in caplog.text


@pytest.mark.parametrize("broken", ["model", "last_checkpoint"])
def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    model = nn.Linear(2, 3)
    checkpointer = DetrCheckpointer(model, str(tmp_path))
    checkpointer.save("model")
    old = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.zero_()

    def break_off(self: Any, basename: str, write: Any) -> None:
        def half(file: Any) -> None:
            file.write(b"half")
            raise OSError("no space left")

        original(self, basename, half if basename.startswith(broken) else write)

    original = DetrCheckpointer._write_file
    monkeypatch.setattr(DetrCheckpointer, "_write_file", break_off)
    with pytest.raises(OSError, match="no space left"):
        checkpointer.save("model" if broken == "model" else "model_2")
    monkeypatch.undo()
    assert checkpointer.get_checkpoint_file().endswith("model.pth")
    DetrCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True)
    assert torch.equal(model.weight, old)


def test_a_training_state_that_refuses_leaves_no_file(tmp_path: Path) -> None:
    class Refuses(Counter):
        def state_dict(self) -> dict[str, int]:
            raise FloatingPointError("NaN")

    checkpointer = DetrCheckpointer(nn.Linear(2, 3), str(tmp_path), trainer=Refuses())
    with pytest.raises(FloatingPointError):
        checkpointer.save("model")
    assert not list(tmp_path.iterdir())


def resnet_config(depth: int) -> CfgNode:
    cfg = get_cfg()
    detr_d2.add_detr_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "Detr"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    if depth < 50:
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.DETR.HIDDEN_DIM, cfg.MODEL.DETR.DIM_FEEDFORWARD = 32, 64
    cfg.MODEL.DETR.ENC_LAYERS = cfg.MODEL.DETR.DEC_LAYERS = 1
    return cfg


def random_resnet(depth: int) -> torchvision.models.ResNet:
    """With batch-norm statistics that matter."""
    resnet = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.3, 0.8)
            nn.init.normal_(module.bias, 0, 0.1)
    return resnet.eval()


def torchvision_features(resnet: torchvision.models.ResNet, x: torch.Tensor) -> dict[str, torch.Tensor]:
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    features = {}
    for stage in range(1, 5):
        x = getattr(resnet, f"layer{stage}")(x)
        features[f"res{stage + 1}"] = x
    return features


def detectron2_layout(resnet: torchvision.models.ResNet) -> dict[str, Any]:
    """The names of Detectron2's ImageNetPretrained/torchvision files, written by walking the modules."""
    state: dict[str, Any] = {}

    def put(prefix: str, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        state[f"{prefix}.weight"] = conv.weight.detach().numpy()
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{prefix}.norm.{name}"] = getattr(norm, name).detach().numpy()

    put("stem.conv1", resnet.conv1, resnet.bn1)
    for stage in range(1, 5):
        for index, block in enumerate(getattr(resnet, f"layer{stage}")):
            prefix = f"res{stage + 1}.{index}"
            for number in (1, 2, 3):
                if hasattr(block, f"conv{number}"):
                    put(
                        f"{prefix}.conv{number}",
                        getattr(block, f"conv{number}"),
                        getattr(block, f"bn{number}"),
                    )
            if block.downsample is not None:
                put(f"{prefix}.shortcut", *block.downsample)
    state["stem.fc.weight"] = resnet.fc.weight.detach().numpy()
    state["stem.fc.bias"] = resnet.fc.bias.detach().numpy()
    return state


@pytest.mark.parametrize(("depth", "layout"), [(18, "pth"), (50, "pth"), (50, "pkl")])
def test_imagenet_weights_give_torchvisions_features(
    tmp_path: Path, depth: int, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    resnet = random_resnet(depth)
    path = tmp_path / f"resnet.{layout}"
    if layout == "pth":
        torch.save(resnet.state_dict(), path)
    else:
        data = {"model": detectron2_layout(resnet), "__author__": "torchvision", "matching_heuristics": True}
        path.write_bytes(pickle.dumps(data))
    model = build_model(resnet_config(depth)).eval()
    checkpointer = DetrCheckpointer(model)
    with caplog.at_level(logging.INFO):
        checkpointer.load(str(path))

    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features, expected = model.backbone(x), torchvision_features(resnet, x)
    for name in ("res2", "res3", "res4", "res5"):
        torch.testing.assert_close(features[name], expected[name], rtol=1e-4, atol=1e-5)
    assert checkpointer.loaded == {n for n in model.state_dict() if n.startswith("backbone.")}
    summary = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Loaded ")]
    assert len(summary) == 1
    assert "transformer.encoder" in summary[0]
    assert "backbone" not in summary[0]


def test_weights_of_other_shapes_and_names_are_summed_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(
        {"weight": torch.zeros(4, 2), "extra.a": torch.zeros(1), "extra.b": torch.zeros(1)},
        tmp_path / "x.pth",
    )
    DetrCheckpointer(nn.Linear(2, 3)).load(str(tmp_path / "x.pth"))
    (summary,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Loaded ")]
    assert "0 of the model's 2 tensors" in summary
    assert "weight: (4, 2) in the file, (3, 2) here" in summary
    assert "left as they were: bias (1)" in summary
    assert "extra (2)" in summary


def test_missing_damaged_and_unsafe_files_are_refused_by_name(tmp_path: Path) -> None:
    def load(name: str) -> None:
        DetrCheckpointer(nn.Linear(2, 3)).load(str(tmp_path / name))

    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth does not exist"):
        load("nowhere.pth")
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"cut\.pth is damaged"):
        load("cut.pth")
    torch.save({"model": nn.Linear(2, 3)}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"code\.pth .*objects other than tensors"):
        load("code.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds no weights"):
        load("list.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text\.pth is damaged"):
        load("text.pth")


def test_a_refused_file_does_not_keep_the_next_one_from_being_loaded(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    checkpointer = DetrCheckpointer(model)
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ValueError, match="damaged"):
        checkpointer.load(str(tmp_path / "text.pth"))
    good = nn.Linear(2, 3)
    torch.save({"model": good.state_dict()}, tmp_path / "good.pth")
    checkpointer.load(str(tmp_path / "good.pth"))
    assert torch.equal(model.weight, good.weight)


def test_a_frozen_random_backbone_is_warned_about(
    tiny_config: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_random_frozen_backbone(build_model(tiny_config), set())
    assert not caplog.records  # all of it learns
    tiny_config.MODEL.BACKBONE.FREEZE_AT = 2
    frozen = build_model(tiny_config)
    warn_of_random_frozen_backbone(frozen, {"backbone.stem.conv1.weight"})
    assert not caplog.records
    warn_of_random_frozen_backbone(frozen, {"class_embed.weight"})
    assert "frozen at random weights" in caplog.text
    caplog.clear()
    tiny_config.MODEL.BACKBONE.FREEZE_AT = 0
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    warn_of_random_frozen_backbone(build_model(tiny_config), set())
    assert "MODEL.WEIGHTS" in caplog.text
