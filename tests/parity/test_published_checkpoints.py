"""Random weights saved by the published implementation, loaded through MODEL.WEIGHTS, predict the same."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch import Tensor, nn

from benchmarks.published_detr import import_published
from detr_d2 import add_detr_config
from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.convert import from_detr_d2
from detr_d2.engine import DetrTrainer
from detr_d2.paths import configs_folder

from ..checkpoint.key_sets import published_shapes
from ..modeling.steps import masks_of, steps
from .published import FOLDER, build_detector, build_panoptic, requires_published_detr

pytestmark = requires_published_detr

MEAN, STD = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def save(published: nn.Module, folder: Path) -> str:
    """As the published trainer does; returns the file."""
    state = {"model": published.state_dict(), "args": Namespace(lr=1e-4), "epoch": 0, "optimizer": {}}
    torch.save(state, folder / "checkpoint.pth")
    return str(folder / "checkpoint.pth")


def load(config: str, weights: str, folder: Path) -> nn.Module:
    """The model of a trainer whose config names the weights."""
    cfg: CfgNode = get_cfg()
    add_detr_config(cfg)
    cfg.merge_from_file(str(configs_folder() / config))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS, cfg.MODEL.DETR.FROZEN_WEIGHTS = "cpu", weights, ""
    cfg.OUTPUT_DIR = str(folder)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    assert trainer.checkpointer.loaded == trainer.model.state_dict().keys()
    return trainer.model.eval()


def vary_classes(detector: nn.Module, inputs: list[Tensor]) -> None:
    """Set queries and class head to weights with which queries differ in class; initial ones do not."""
    seen: list[Tensor] = []
    hook = detector.class_embed.register_forward_pre_hook(lambda _, args: seen.append(args[0][-1]))
    with torch.no_grad():
        detector.query_embed.weight.mul_(10)
        detector(inputs)
        hook.remove()
        center = seen[0].mean(1)  # B x d
        weight = 0.3 * torch.randn_like(detector.class_embed.weight)
        between = (center[0] - center[1]) / (center[0] - center[1]).norm()
        weight -= (weight @ between)[:, None] * between  # the two images are not told apart
        detector.class_embed.weight.copy_(weight)
        detector.class_embed.bias.copy_(-weight @ center[0])


def scores_in_use(logits: Tensor, categories: list[int]) -> Tensor:
    """(N, rows) published logits → (N, C) probabilities, unused columns removed before the softmax."""
    return logits[:, [*categories, logits.shape[1] - 1]].softmax(-1)[:, :-1]


@pytest.mark.parametrize("panoptic", [False, True], ids=["detection", "panoptic"])
def test_scores_classes_and_boxes(tmp_path: Path, panoptic: bool) -> None:
    published = build_panoptic(250, False) if panoptic else build_detector(91, False)
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in ((96, 160), (128, 117))]
    inputs = [(image / 255 - MEAN) / STD for image in images]
    vary_classes(published.detr if panoptic else published, inputs)
    shapes = {name: tuple(value.shape) for name, value in published.state_dict().items()}
    assert shapes == published_shapes(50, panoptic), "the rule for names and shapes is the published code's"
    kind = (
        "COCO-PanopticSegmentation/detr_panoptic_R_50.yaml" if panoptic else "COCO-Detection/detr_R_50.yaml"
    )
    ours = load(kind, save(published, tmp_path), tmp_path)

    batch = [{"image": image, "height": image.shape[1], "width": image.shape[2]} for image in images]
    with torch.no_grad():
        expected = published(inputs)
        results = ours(batch)
        between = steps(ours, batch)
    categories = [category for category in COCO_CATEGORIES if panoptic or category["isthing"]]
    for index, result in enumerate(results):
        ids = [category["id"] for category in categories]
        scores, classes = scores_in_use(expected["pred_logits"][index], ids).max(-1)
        center, size = expected["pred_boxes"][index].split(2, dim=-1)
        shown = torch.tensor([bool(categories[c]["isthing"]) for c in classes])
        assert len(classes.unique()) > 10
        assert int(shown.sum()) == len(result["instances"]) > 10
        assert torch.equal(result["instances"].pred_classes, classes[shown])
        _, height, width = images[index].shape
        boxes = result["instances"].pred_boxes.tensor / torch.tensor([width, height, width, height])
        corners = torch.cat([center - size / 2, center + size / 2], dim=-1)
        score_error = (result["instances"].scores - scores[shown]).abs().max()
        box_error = (boxes - corners[shown]).abs().max()
        print(f"largest difference: scores {score_error:.1e}, boxes {box_error:.1e}")
        assert score_error <= 1e-5
        assert box_error <= 1e-5
    if panoptic:
        masks = torch.stack(list(masks_of(ours, between, [torch.arange(100)] * 2)))
        print(f"largest difference of a mask's logit: {(masks - expected['pred_masks']).abs().max():.1e}")
        torch.testing.assert_close(masks, expected["pred_masks"], rtol=0, atol=1e-4)


def import_wrapper(name: str) -> Any:
    """Its model, which has the name of ours in Detectron2's registry."""
    import_published(FOLDER, "models.detr")
    path = Path(FOLDER) / "d2" / "detr" / "detr.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    ours = META_ARCH_REGISTRY._obj_map.pop("Detr")
    try:
        spec.loader.exec_module(module)
    finally:
        META_ARCH_REGISTRY._obj_map["Detr"] = ours
    return module.Detr


@pytest.mark.parametrize("masks", [False, True], ids=["detection", "masks"])
def test_files_of_the_official_wrapper_fill_our_models(tmp_path: Path, masks: bool) -> None:
    cfg = get_cfg()
    add_detr_config(cfg)
    cfg.merge_from_file(str(configs_folder() / "COCO-Detection" / "detr_R_50.yaml"))
    cfg.MODEL.DEVICE, cfg.MODEL.MASK_ON = "cpu", masks
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    theirs = import_wrapper("published_wrapper")(cfg).state_dict()
    torch.save({"model": theirs, "iteration": 3}, tmp_path / "wrapper.pth")
    ours = build_model(cfg)
    checkpointer = DetrCheckpointer(ours)
    checkpointer.load(str(tmp_path / "wrapper.pth"))
    assert checkpointer.loaded == ours.state_dict().keys()
    back = from_detr_d2(ours.state_dict(), "wrapper").weights
    assert theirs.keys() - back.keys() == {"criterion.empty_weight"}
    assert all(torch.equal(value, theirs[name]) for name, value in back.items())
