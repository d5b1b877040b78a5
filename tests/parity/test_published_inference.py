"""Whole models of the same weights show the published masks and panoptic maps."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.published_detr import distinguish_queries

from ..modeling.recipe import make_inference
from .published import build_panoptic
from .published_panoptic import (
    CLASSES,
    MENDED,
    THINGS,
    Sizes,
    assert_equal,
    load_published,
    published_panoptic,
    random_logits,
    requires_published_panoptic,
)
from .test_published_masks import build_ours

pytestmark = requires_published_panoptic


def normalized(image: Tensor) -> Tensor:
    """(3, H, W), 0 to 255, as the published model takes it."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (image / 255 - mean) / std


@pytest.mark.parametrize(
    ("dilation", "sizes"),
    [(False, [(128, 171)]), (False, [(128, 97), (77, 171)]), (True, [(128, 97), (77, 171)])],
    ids=["R50 alone", "R50 padded", "R50-DC5 padded"],
)
def test_whole_models_of_the_same_weights_show_the_same(dilation: bool, sizes: Sizes, tmp_path: Path) -> None:
    """From pixels to results, in float64; in a padded batch with stuff duplicates and the mended code."""
    padded = len(sizes) > 1
    module = load_published(tmp_path, MENDED if padded else None)
    results = [(100, 133), (154, 268)][: len(sizes)]
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in sizes]
    published = build_panoptic(CLASSES, dilation).double()
    pixels = [normalized(image.double()) for image in images]
    distinguish_queries(published, pixels, random_logits(len(sizes), 24, duplicates=padded))
    ours = build_ours(published, dilation).double()
    ours.inference = make_inference(panoptic_on=True, things=THINGS)
    with torch.no_grad():
        outputs = published(pixels)
        answers = ours(
            [
                {"image": image.double(), "height": height, "width": width}
                for image, (height, width) in zip(images, results, strict=True)
            ]
        )
    best = outputs["pred_logits"].softmax(-1).max(-1)
    survivors = ((best.indices < CLASSES) & (best.values > 0.85)).sum(1)
    assert survivors.min() >= 20
    maps = [
        (
            answer["panoptic_seg"][0].numpy(),
            [(s["category_id"], s["area"]) for s in answer["panoptic_seg"][1]],
        )
        for answer in answers
    ]
    assert_equal(maps, published_panoptic(module, outputs, sizes, results))
    print(f"{survivors.tolist()} queries survive, {[len(segments) for _, segments in maps]} segments")

    for i, answer in enumerate(answers):
        things = outputs["pred_logits"][i, :, :-1].argmax(-1) < THINGS.stop
        assert_masks_agree(module, answer["instances"].pred_masks, outputs, sizes, results, i, things)


@pytest.mark.parametrize("dilation", [False, True], ids=["R50", "R50-DC5"])
def test_instance_masks_of_whole_models_in_single_precision(dilation: bool, tmp_path: Path) -> None:
    """The same but for pixels whose probability is within 1e-4 of the threshold."""
    sizes, results = [(128, 97), (77, 171)], [(100, 133), (154, 268)]
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in sizes]
    published = build_panoptic(CLASSES, dilation)
    ours = build_ours(published, dilation)
    with torch.no_grad():
        outputs = published([normalized(image) for image in images])
        answers = ours(
            [{"image": x, "height": h, "width": w} for x, (h, w) in zip(images, results, strict=True)]
        )
    module = load_published(tmp_path)
    for i, answer in enumerate(answers):
        assert_masks_agree(
            module, answer["instances"].pred_masks, outputs, sizes, results, i, torch.arange(100)
        )


def assert_masks_agree(
    module: ModuleType,
    masks: Tensor,
    outputs: dict[str, Tensor],
    sizes: Sizes,
    results: Sizes,
    image: int,
    queries: Tensor,
) -> None:
    """Compare an image's masks with the published ones of some queries, save where those are undecided."""
    answers: list[dict[str, Any]] = [{} for _ in sizes]
    module.PostProcessSegm()(answers, outputs, torch.tensor(results), torch.tensor(sizes))
    expected = answers[image]["masks"][queries, 0].bool()
    (height, width), padded = sizes[image], [max(side) for side in zip(*sizes, strict=True)]
    enlarged = torch.nn.functional.interpolate(outputs["pred_masks"], padded, mode="bilinear").sigmoid()
    cut = enlarged[image, None, queries, :height, :width]
    probabilities = torch.nn.functional.interpolate(cut, results[image], mode="nearest")[0]
    differing = masks != expected
    print(f"{int(differing.sum())} of {differing.numel()} pixels of instance masks differ")
    assert ((probabilities[differing] - 0.5).abs() <= 1e-4).all()
    assert masks.any()
    assert not masks.all()
