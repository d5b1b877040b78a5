"""What DetrCheckpointer makes of a file that is not just the model's own; refused, it changes nothing."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.convert import from_detr_d2
from detr_d2.data import register_configured
from detr_d2.engine import DetrTrainer, argument_parser, launch
from detr_d2.tools.convert_checkpoint import convert_file

from ..engine.helpers import write_dataset
from .processes import load_on_each_rank


def config(tiny: CfgNode, **changes: Any) -> CfgNode:
    """A tiny model that the published layout has all names for, with changes to MODEL.DETR."""
    cfg = tiny.clone()
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    for key, value in changes.items():
        cfg.MODEL.DETR[key] = value
    return cfg


def save_published(cfg: CfgNode, path: Path) -> dict[str, Tensor]:
    """A file of the published layout with another model of the config; returns its weights by our names."""
    weights = build_model(cfg).state_dict()
    torch.save({"model": from_detr_d2(weights, "published").weights, "epoch": 1}, path)
    return weights


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor], but: tuple[str, ...] = ()) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items() if not name.startswith(but))


def summary(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    (record,) = [r for r in caplog.records if " tensors from " in r.getMessage()]
    return record


def test_other_classes_and_queries_change_these_alone_and_one_summary_says_so(
    tiny_config: CfgNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = save_published(config(tiny_config, NUM_CLASSES=7, NUM_OBJECT_QUERIES=4), tmp_path / "x.pth")
    model = build_model(config(tiny_config, AUXILIARY=("groups",)))
    before = snapshot(model)
    checkpointer = DetrCheckpointer(model)
    checkpointer.load(str(tmp_path / "x.pth"))
    after = model.state_dict()
    assert same(weights, after, but=("class_embed", "query_embed"))
    assert same({name: value for name, value in before.items() if "class_embed" in name}, after)
    assert torch.equal(after["query_embed.weight"][:4], weights["query_embed.weight"])
    assert torch.equal(after["query_embed.weight"][4:], before["query_embed.weight"][4:])
    assert after.keys() - checkpointer.loaded == {
        "class_embed.weight",
        "class_embed.bias",
        "query_embed.weight",
    }
    record = summary(caplog)
    assert record.levelno == logging.WARNING
    assert "Its class head has 8 rows, and the model 3 classes: the class head is new." in record.getMessage()
    assert "4 object queries and the model 10: the first 4 are kept" in record.getMessage()


def test_a_trainer_starts_classes_from_those_of_the_same_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its data set's names are in a json file that nothing has read yet."""
    cfg = write_dataset(tmp_path)
    register_configured(cfg)
    file = build_model(config(cfg, NUM_CLASSES=2)).state_dict()
    names = {"thing_classes": ["class3", "lorry"]}
    torch.save({"model": file, "metadata": names}, tmp_path / "weights.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    trainer = DetrTrainer(cfg)
    before = snapshot(trainer.model)["class_embed.bias"]
    trainer.resume_or_load(resume=False)
    bias = trainer.model.class_embed.bias.detach()
    assert bias.tolist() == [*before[:2].tolist(), *file["class_embed.bias"][[0, 2]].tolist()]
    assert "new are class1, class2; left out are the file's lorry." in summary(caplog).getMessage()


def test_files_of_other_dimensions_are_refused_and_nothing_is_loaded(
    tiny_config: CfgNode, tmp_path: Path
) -> None:
    narrow = save_published(config(tiny_config, HIDDEN_DIM=16), tmp_path / "narrow.pth")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet.pth")
    # Pickles of our own names that ask for guessing all the same, one of them with a name more.
    for name, more in (("ours.pkl", {}), ("more.pkl", {"extra.bias": torch.zeros(1)})):
        arrays = {key: value.numpy() for key, value in {**narrow, **more}.items()}
        data = {"model": arrays, "__author__": "someone", "matching_heuristics": True}
        (tmp_path / name).write_bytes(pickle.dumps(data))
    model = build_model(config(tiny_config))
    before = snapshot(model)
    for name, tensor in (
        ("narrow.pth", r"linear1\.weight is \(64, 16\) in"),
        ("ours.pkl", r"linear1\.weight is \(64, 16\) in"),
        ("more.pkl", r"linear1\.weight is \(64, 16\) in"),
        ("resnet.pth", r"conv1\.weight is \(64, 3"),
    ):
        with pytest.raises(ValueError, match=tensor) as error:
            DetrCheckpointer(model).load(str(tmp_path / name))
        assert f"{name} is of a model with other dimensions, so nothing was loaded" in str(error.value)
        assert "more. Set MODEL.RESNETS and MODEL.DETR" in str(error.value)
    assert same(before, model.state_dict())


def test_files_of_no_known_layout_are_refused_and_nothing_is_loaded(
    tiny_config: CfgNode, tmp_path: Path
) -> None:
    model = build_model(config(tiny_config))
    before = snapshot(model)
    # Names as in Deformable DETR: many of them are the model's, too.
    other = {name.replace("multihead_attn", "cross_attn"): x + 1 for name, x in before.items()}
    torch.save({"model": other}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth is of no known layout .*such as backbone\."):
        DetrCheckpointer(model).load(str(tmp_path / "other.pth"))
    torch.save({"a": torch.ones(1)}, tmp_path / "tiny.pth")
    with pytest.raises(ValueError, match="has 1 tensors, such as a$"):
        DetrCheckpointer(nn.Linear(2, 3)).load(str(tmp_path / "tiny.pth"))
    assert same(before, model.state_dict())


def test_parts_of_our_own_model_are_loaded(tiny_config: CfgNode, tmp_path: Path) -> None:
    model = build_model(config(tiny_config))
    part = {name: x + 1 for name, x in snapshot(model).items() if name.startswith("transformer.encoder")}
    torch.save(part, tmp_path / "part.pth")
    checkpointer = DetrCheckpointer(model)
    checkpointer.load(str(tmp_path / "part.pth"))
    assert checkpointer.loaded == part.keys()
    assert same(part, model.state_dict())


def test_a_backbone_is_loaded_wherever_the_model_has_its_resnet(tiny_config: CfgNode, tmp_path: Path) -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bottom_up = build_model(cfg).backbone

    cfg = config(tiny_config)
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    resnet = torchvision.models.resnet18().state_dict()
    torch.save(resnet, tmp_path / "resnet.pth")
    model = Pyramid()
    DetrCheckpointer(model).load(str(tmp_path / "resnet.pth"))
    assert torch.equal(model.bottom_up.res3[0].conv2.norm.bias, resnet["layer2.0.bn2.bias"])
    with pytest.raises(ValueError, match="holds torchvision's ResNet, but the model has no ResNet"):
        DetrCheckpointer(nn.Linear(2, 3)).load(str(tmp_path / "resnet.pth"))


@pytest.mark.parametrize("by_query", [False, True], ids=["pkl", "query"])
def test_names_are_guessed_where_detectron2_would(
    tiny_config: CfgNode, tmp_path: Path, by_query: bool
) -> None:
    """Caffe2's and others' pickles say so themselves; for other files ``?matching_heuristics=True`` does."""
    model = build_model(config(tiny_config))
    backbone = {name.removeprefix("backbone."): x + 1 for name, x in snapshot(model.backbone).items()}
    backbone = {name: x for name, x in backbone.items() if not name.startswith("res2")}
    if by_query:
        torch.save(backbone, tmp_path / "x.pth")
        path = f"{tmp_path}/x.pth?matching_heuristics=True"
    else:
        arrays = {name: x.numpy() for name, x in backbone.items()}
        data = {"model": arrays, "__author__": "someone", "matching_heuristics": True}
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(data))
        path = f"{tmp_path}/x.pkl"
    DetrCheckpointer(model).load(path)
    assert same(backbone, model.backbone.state_dict())


def test_a_malicious_file_changes_nothing(tiny_config: CfgNode, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return Path.mkdir, (tmp_path / "made",)

    model = build_model(config(tiny_config))
    before = snapshot(model)
    data = {"model": {name: (x + 1).numpy() for name, x in before.items()}, "__author__": Malicious()}
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(data))
    torch.save(data, tmp_path / "bad.pth")
    for name in ("bad.pkl", "bad.pth"):
        with pytest.raises(ValueError, match=f"{name} .*could run code"):
            DetrCheckpointer(model).load(str(tmp_path / name))
    assert not (tmp_path / "made").exists()
    assert same(before, model.state_dict())


def test_a_converted_file_is_what_default_predictor_needs(tiny_config: CfgNode, tmp_path: Path) -> None:
    """Detectron2's own checkpointer, which it uses, knows no layouts."""
    cfg = config(tiny_config)
    weights = save_published(cfg, tmp_path / "published.pth")
    convert_file(str(tmp_path / "published.pth"), str(tmp_path / "ours.pth"), "detr_d2")
    cfg.MODEL.WEIGHTS = str(tmp_path / "ours.pth")
    assert same(weights, DefaultPredictor(cfg).model.state_dict())


@pytest.mark.slow
def test_several_processes_load_the_same(tiny_config: CfgNode, tmp_path: Path) -> None:
    weights = save_published(config(tiny_config, NUM_CLASSES=7), tmp_path / "published.pth")
    cfg = config(tiny_config)
    cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR = str(tmp_path / "published.pth"), str(tmp_path)
    (tmp_path / "test.yaml").write_text(cfg.dump())
    arguments = ["--config-file", str(tmp_path / "test.yaml"), "--num-processes", "2"]
    launch(load_on_each_rank, argument_parser().parse_args(arguments))
    first, second = (torch.load(tmp_path / f"rank{rank}.pth") for rank in (0, 1))
    assert same(first, second)
    assert same(weights, first, but=("class_embed",))
