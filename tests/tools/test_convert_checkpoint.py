"""The command that converts weights between layouts."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.checkpoint.convert import from_detr_d2
from detr_d2.checkpoint.safe_load import read_checkpoint
from detr_d2.tools.convert_checkpoint import main


@pytest.fixture
def weights(tiny_config: CfgNode) -> dict[str, Tensor]:
    """By our names, with COCO's 80 classes."""
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    tiny_config.MODEL.DETR.NUM_CLASSES = 80
    return build_model(tiny_config).state_dict()


def published(weights: dict[str, Tensor], path: Path) -> str:
    model = from_detr_d2(weights, "published", rule="coco").weights
    torch.save({"model": model, "args": Namespace(lr=1e-4), "optimizer": {}}, path)
    return str(path)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_published_file_becomes_ours_with_a_report(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = published(weights, tmp_path / "in.pth"), tmp_path / "new" / "out.pth"
    assert main([source, str(output), "--class-rows", "coco"]) == 0
    checkpoint = torch.load(output)
    assert same(checkpoint["model"], dict(weights))
    assert checkpoint["metadata"]["thing_classes"][:2] == ["person", "bicycle"]
    first, rows, *rest = capsys.readouterr().out.splitlines()
    assert first == f"published DETR -> detr_d2's own: {len(weights)} tensors became {len(weights)}"
    assert "rows 0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83" in rows
    assert rest == [
        "left: args, optimizer",
        "added: nothing",
        f"Wrote {output}.",
    ]
    assert [path.name for path in output.parent.iterdir()] == ["out.pth"]


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_files_for_hugging_face_are_bare_state_dicts(
    weights: dict[str, Tensor], tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    source, output = published(weights, tmp_path / "in.pth"), str(tmp_path / f"out{suffix}")
    assert main([source, output, "--to", "huggingface", "--verbose", "--class-rows", "coco"]) == 0
    state = read_checkpoint(output)
    assert state["class_labels_classifier.weight"].shape == (92, 32)
    assert torch.equal(state["model.query_position_embeddings.weight"], weights["query_embed.weight"])
    out = capsys.readouterr().out
    assert "added: 11 rows of unused category ids in the class head" in out
    assert "  backbone.0.body.conv1.weight -> model.backbone.conv_encoder.model.conv1.weight\n" in out
    own, theirs = "transformer.encoder.layers.0.self_attn", "model.encoder.layers.0.self_attn"
    parts = ", ".join(f"{theirs}.{part}_proj.bias" for part in "qkv")
    assert f"  {own}.in_proj_bias -> {parts}\n" in out
    # And from there back to ours.
    assert main([output, str(tmp_path / "ours.pth"), "--class-rows", "coco"]) == 0
    assert same(torch.load(tmp_path / "ours.pth")["model"], dict(weights))


def test_rows_are_kept_with_a_sentence_where_nobody_says_how_they_are_numbered(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = published(weights, tmp_path / "in.pth")
    assert main([source, str(tmp_path / "out.pth")]) == 0
    assert torch.load(tmp_path / "out.pth")["model"]["class_embed.weight"].shape == (92, 32)
    assert torch.load(tmp_path / "out.pth")["metadata"] == {}
    assert "92 rows" in capsys.readouterr().out
    # And so on to another program, and back.
    assert main([source, str(tmp_path / "hf.bin"), "--to", "huggingface"]) == 0
    assert torch.load(tmp_path / "hf.bin")["class_labels_classifier.weight"].shape == (92, 32)


def test_rows_are_numbered_by_the_ids_of_own_annotations(
    tiny_config: CfgNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_config.MODEL.RESNETS.NORM, tiny_config.MODEL.DETR.NUM_CLASSES = "FrozenBN", 4
    state = build_model(tiny_config).state_dict()
    state["class_embed.bias"] = torch.arange(5.0)
    source = str(tmp_path / "in.pth")
    torch.save({"model": from_detr_d2(state, "published").weights}, source)
    annotations = tmp_path / "train.json"
    annotations.write_text('{"categories": [{"id": 3, "name": "c"}, {"id": 1, "name": "a"}]}')
    output, rows = str(tmp_path / "out.pth"), ["--class-rows", "category_ids"]
    assert main([source, output, *rows]) == 2
    assert "--categories" in capsys.readouterr().err
    assert main([source, output, *rows, "--categories", str(annotations)]) == 0
    assert torch.load(output)["model"]["class_embed.bias"].tolist() == [1, 3, 4]
    assert torch.load(output)["metadata"] == {"thing_classes": ["a", "c"]}
    assert "left out are the rows 0, 2." in capsys.readouterr().out
    back = str(tmp_path / "back.pth")
    assert main([output, back, "--to", "published", *rows, "--categories", str(annotations)]) == 0
    assert torch.load(back)["model"]["class_embed.bias"].tolist() == [-1e4, 1, -1e4, 3, 4]
    annotations.write_text('{"images": []}')
    assert main([source, output, *rows, "--categories", str(annotations)]) == 2
    assert "train.json has no categories" in capsys.readouterr().err


def test_our_own_safetensors_have_the_names_of_the_classes(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors")
    names = {"thing_classes": [f"class {i}" for i in range(80)]}
    torch.save({"model": weights, "metadata": names}, tmp_path / "in.pth")
    assert main([str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]) == 0
    assert read_checkpoint(str(tmp_path / "out.safetensors"))["metadata"] == names
    assert "left: nothing" in capsys.readouterr().out


def test_queries_and_names_that_the_target_has_no_place_for(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"thing_classes": [f"class {i}" for i in range(80)]}
    torch.save({"model": weights, "metadata": names, "iteration": 3}, tmp_path / "in.pth")
    output = tmp_path / "out.pth"
    assert main([str(tmp_path / "in.pth"), str(output), "--to", "published", "--queries", "4"]) == 0
    assert "left: iteration, names of the classes" in capsys.readouterr().out
    model = torch.load(output)["model"]
    assert torch.equal(model["query_embed.weight"], weights["query_embed.weight"][:4])
    assert torch.equal(model["class_embed.bias"], weights["class_embed.bias"])


def test_what_cannot_be_used_ends_in_one_line(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out.pth")
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes(b"cut")
    for name, message in (
        ("nowhere.pth", "does not exist"),
        ("other.pth", "is of no known layout"),
        ("cut.pth", "is damaged"),
    ):
        assert main([str(tmp_path / name), output]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: checkpoint {tmp_path / name} {message}")
        assert error.count("\n") == 1
    source = published(weights, tmp_path / "in.pth")
    assert main([source, output, "--queries", "11"]) == 2
    assert "cannot keep 11 object queries" in capsys.readouterr().err
    assert not Path(output).exists()
    assert main([source, output, "--to", "torchvision"]) == 2
