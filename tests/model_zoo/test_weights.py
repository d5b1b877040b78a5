"""Published checkpoints reach our models through ``detr://``; of small files with the published names."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from safetensors.torch import save

from detr_d2 import model_zoo
from detr_d2.checkpoint.download import MIRROR_VARIABLE, RemoteFile
from detr_d2.model_zoo import ZooModel

from ..checkpoint.file_server import FileServer, serve
from ..checkpoint.key_sets import published_checkpoint
from ..checkpoint.variant_key_sets import variant_checkpoint


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with serve() as server:
        yield server


def content(model: ZooModel) -> bytes:
    """A file of the published names and shapes."""
    if not model.by:
        checkpoint = published_checkpoint(101 if "101" in model.name else 50, "PQ" in model.published)
    else:
        program = "detrex" if model.by == "detrex" else "Hugging Face"
        checkpoint = variant_checkpoint(model.name.split("_")[0], program, "DC5" in model.name)
    if model.file.name.endswith(".safetensors"):
        return save({name: value.half().clone() for name, value in checkpoint.items()})
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _published_on_this_machine(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The zoo's names, for files of the same keys and shapes on the server."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    files = {}
    for model in model_zoo.zoo_models():
        path = f"/{model.name}/{model.file.name}"
        if path not in server.files:
            server.files[path] = content(model)
        digest = hashlib.sha256(server.files[path]).hexdigest()[:8] if model.file.sha256 else ""
        files[model.name] = RemoteFile(server.url + path, digest)
    model_zoo.register_weights(files)
    yield
    model_zoo.register_weights()


def category_ids(cfg: CfgNode) -> list[int]:
    panoptic = cfg.MODEL.DETR.NUM_CLASSES == 133
    return [category["id"] for category in COCO_CATEGORIES if panoptic or category["isthing"]]


@pytest.mark.parametrize("entry", model_zoo.zoo_models(), ids=lambda entry: entry.name)
def test_a_published_file_has_all_that_its_model_needs_and_nothing_else(entry: ZooModel) -> None:
    cfg = model_zoo.get_config(entry.config, trained=True)
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        expected = {name: value.shape for name, value in build_model(cfg).state_dict().items()}
    weights = torch.load(PathManager.get_local_path(f"detr://{entry.name}"), weights_only=True)["model"]
    assert {name: value.shape for name, value in weights.items()} == expected
    no_object = [250 if cfg.MODEL.DETR.NUM_CLASSES == 133 else 91] if not entry.by else []
    # Row i of the synthetic head is filled with i; detrex's is of classes already.
    rows = list(range(80)) if entry.by == "detrex" else [*category_ids(cfg), *no_object]
    assert weights["class_embed.bias"].tolist() == rows
    if entry.name.startswith("dn"):  # the last of the labels is what matched queries start from
        assert weights["auxiliary.denoising.label.weight"][:, 0].tolist() == list(range(80))
        assert set(weights["query_embed.content"].tolist()) == {80.0}


def test_a_trained_model_comes_with_its_weights() -> None:
    model = model_zoo.get("COCO-Detection/detr_R_50.yaml", trained=True, device="cpu")
    published = published_checkpoint(50, panoptic=False)["model"]
    weights = model.state_dict()
    for ours, theirs in {
        "backbone.stem.conv1.weight": "backbone.0.body.conv1.weight",
        "backbone.res5.2.conv3.norm.running_var": "backbone.0.body.layer4.2.bn3.running_var",
        "transformer.decoder.layers.5.multihead_attn.in_proj_weight": None,
        "query_embed.weight": None,
    }.items():
        assert torch.equal(weights[ours], published[theirs or ours]), ours
    assert model.training


def test_detectron2s_own_predictor_takes_the_name(tmp_path: Path) -> None:
    cfg = model_zoo.get_config("COCO-Detection/detr_R_50.yaml", trained=True)
    cfg.MODEL.DEVICE = "cpu"
    predictor = DefaultPredictor(cfg)
    bias = predictor.model.state_dict()["class_embed.bias"]
    assert bias.tolist() == [*category_ids(cfg), 91]
