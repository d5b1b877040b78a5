"""The four functions of Detectron2's model zoo, and what the data file says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from detectron2.config import get_cfg

from detr_d2 import add_detr_config, model_zoo
from detr_d2.paths import configs_folder

R50 = "COCO-Detection/detr_R_50.yaml"
BASE = "https://dl.fbaipublicfiles.com/detr/"

DETREX = "https://github.com/IDEA-Research/detrex-storage/releases/download/"

# Without hashes: address, box AP, millions of parameters with 80 classes.
VARIANTS = {
    "conditional_detr_R_50_50ep": (f"{DETREX}v0.1.0/conditional_detr_r50_50ep.pth", 41.6, 43.42),
    "conditional_detr_R_50_DC5_50ep": (f"{DETREX}v0.3.0/converted_conditional_detr_r50_dc5.pth", 43.8, 43.42),
    "dab_detr_R_50_50ep": (f"{DETREX}v0.1.0/dab_detr_r50_50ep.pth", 43.3, 43.67),
    "dab_detr_R_50_DC5_50ep": (f"{DETREX}v0.3.0/converted_dab_detr_r50_dc5.pth", 44.6, 43.67),
    "dn_detr_R_50_50ep": (f"{DETREX}v0.1.0/dn_detr_r50_50ep.pth", 44.7, 43.69),
    "dn_detr_R_50_DC5_50ep": (f"{DETREX}v0.3.0/converted_dn_detr_r50_dc5.pth", 46.3, 43.69),
    "conditional_detr_R_50_50ep_authors": (
        "https://huggingface.co/microsoft/conditional-detr-resnet-50/resolve/main/pytorch_model.bin",
        41.0,
        43.42,
    ),
    "dab_detr_R_50_50ep_authors": (
        "https://huggingface.co/IDEA-Research/dab-detr-resnet-50/resolve/main/model.safetensors",
        42.2,
        43.67,
    ),
}

# What DETR's authors give: file, figures, millions of parameters (of panoptic models, with 133 classes).
PUBLISHED = {
    "detr_R_50": ("detr-r50-e632da11.pth", [42.0, 62.4], 41.52),
    "detr_R_50_DC5": ("detr-r50-dc5-f0fb7ef5.pth", [43.3, 63.1], 41.52),
    "detr_R_101": ("detr-r101-2c7b67e5.pth", [43.5, 63.8], 60.46),
    "detr_R_101_DC5": ("detr-r101-dc5-a2e86def.pth", [44.9, 64.7], 60.46),
    "detr_panoptic_R_50": ("detr-r50-panoptic-00ce5173.pth", [38.8, 31.1, 43.4], 42.87),
    "detr_panoptic_R_50_DC5": ("detr-r50-dc5-panoptic-da08f1b1.pth", [40.2, 31.9, 44.6], 42.87),
    "detr_panoptic_R_101": ("detr-r101-panoptic-40021d53.pth", [40.1, 33.0, 45.1], 61.81),
}


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated")
@pytest.mark.parametrize("name", ["get", "get_config", "get_config_file", "get_checkpoint_url"])
def test_functions_take_what_detectron2s_own_take(name: str) -> None:
    from detectron2 import model_zoo as stock

    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (model_zoo, stock))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def test_every_published_model_is_there() -> None:
    models = {model.name: model for model in model_zoo.zoo_models()}
    assert models.keys() == PUBLISHED.keys() | VARIANTS.keys()
    for name, (file, figures, millions) in PUBLISHED.items():
        model = models[name]
        assert model.file.url == BASE + file
        assert model.file.sha256 == file.removesuffix(".pth")[-8:]
        assert list(model.published.values()) == figures
        assert list(model.published) == [
            "box AP",
            *(["box AP50"] if len(figures) == 2 else ["segm AP", "PQ"]),
        ]
        assert model.measured["parameters"] / 1e6 == pytest.approx(millions, abs=0.005)
        assert model.by == ""
    for name, (url, precision, millions) in VARIANTS.items():
        model = models[name]
        assert (model.file.url, model.file.sha256) == (url, "")
        assert (model.published, model.epochs) == ({"box AP": precision}, 50)
        assert model.measured["parameters"] / 1e6 == pytest.approx(millions, abs=0.005)
        assert model.by == ("detrex" if url.startswith(DETREX) else model.by) != ""


def test_a_config_names_its_first_model() -> None:
    first = {model.config: model.name for model in reversed(model_zoo.zoo_models())}
    for config, name in first.items():
        assert Path(config).stem == name
        assert model_zoo.get_checkpoint_url(config) == f"detr://{name}"


def test_every_model_of_the_zoo_has_a_config_of_its_name_and_backbone() -> None:
    for model in model_zoo.zoo_models():
        assert model.name.removesuffix("_authors") == Path(model.config).stem
        cfg = model_zoo.get_config(model.config, trained=True)
        weights, masks, classes = cfg.MODEL.WEIGHTS, cfg.MODEL.MASK_ON, cfg.MODEL.DETR.NUM_CLASSES
        assert weights == f"detr://{model.name.removesuffix('_authors')}"
        assert cfg.MODEL.DETR.FROZEN_WEIGHTS == ""
        depth, dilation = cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES5_DILATION
        assert model.backbone == f"R{depth}" + ("-DC5" if dilation == 2 else "")
        panoptic = "PQ" in model.published
        assert (masks, classes) == (panoptic, 133 if panoptic else 80)


def test_a_config_has_the_keys_and_values_of_its_file() -> None:
    file = model_zoo.get_config_file(R50)
    assert Path(file) == configs_folder() / R50
    cfg = get_cfg()
    add_detr_config(cfg)
    cfg.merge_from_file(file)
    assert model_zoo.get_config(R50) == cfg
    assert cfg.MODEL.WEIGHTS.startswith("detectron2://ImageNetPretrained/")


@pytest.mark.parametrize("function", ["get", "get_config", "get_config_file", "get_checkpoint_url"])
def test_an_unknown_config_lists_those_of_like_names(function: str) -> None:
    with pytest.raises(FileNotFoundError, match="has no config 'COCO-Detection/detr_R50'; did you mean") as e:
        getattr(model_zoo, function)("COCO-Detection/detr_R50")
    assert R50 in str(e.value)


@pytest.mark.parametrize("path", ["", "/", "../setup.py", "COCO-Detection"])
def test_what_is_no_config_is_refused(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=R50):
        model_zoo.get_config_file(path)


def test_a_config_without_published_weights_says_so() -> None:
    config = "Shapes-Detection/detr_tiny.yaml"
    assert model_zoo.get_config(config).MODEL.DETR.NUM_CLASSES < 80
    for function in (model_zoo.get_checkpoint_url, lambda x: model_zoo.get(x, trained=True)):
        with pytest.raises(ValueError, match=f"no weights were published for the config {config}.*{R50}"):
            function(config)


def test_an_untrained_model_is_built_on_the_device_that_is_asked_for() -> None:
    model = model_zoo.get("Shapes-Detection/detr_tiny.yaml", device="cpu")
    assert model.training
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
