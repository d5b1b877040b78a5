"""Masks and panoptic maps of given outputs are those of the published post-processing, but for its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detr_d2.modeling.panoptic import merge_panoptic, panoptic_queries
from detr_d2.modeling.postprocessing import instance_masks

from ..modeling.recipe import CROSS_ENTROPY
from .published_panoptic import (
    CLASSES,
    MENDED,
    THINGS,
    Panoptic,
    Sizes,
    assert_equal,
    load_published,
    published_panoptic,
    random_logits,
    requires_published_panoptic,
)

pytestmark = requires_published_panoptic


def random_outputs(batch: int, surviving: int, duplicates: bool, seed: int = 0) -> dict[str, Tensor]:
    """What the published model returns, in float64, with smooth masks, some of which win in few pixels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch * 100, 1, 4, 5, generator=generator, dtype=torch.float64)
    masks = torch.nn.functional.interpolate(coarse * 3, size=(25, 34), mode="bicubic")
    level = torch.randn(batch, 100, 1, 1, generator=generator, dtype=torch.float64) * 1.5
    return {
        "pred_logits": random_logits(batch, surviving, duplicates, seed),
        "pred_masks": masks.view(batch, 100, 25, 34) + level,
        "pred_boxes": torch.rand(batch, 100, 4, generator=generator, dtype=torch.float64),
    }


def our_panoptic(outputs: dict[str, Tensor], images: Sizes, results: Sizes) -> Panoptic:
    padded = (max(h for h, _ in images), max(w for _, w in images))
    answers: Panoptic = []
    for logits, masks, image, result in zip(
        outputs["pred_logits"], outputs["pred_masks"], images, results, strict=True
    ):
        queries = panoptic_queries(logits, 0.85, CROSS_ENTROPY)
        scores, classes = logits[queries].softmax(-1).max(-1)
        ids, info = merge_panoptic(scores, classes, masks[queries], padded, image, result, THINGS, 4)
        answers.append((ids.numpy(), [(s["category_id"], s["area"]) for s in info]))
    return answers


@pytest.mark.parametrize("seed", range(6))
def test_maps_of_one_image_without_stuff_duplicates_are_the_published_ones(seed: int, tmp_path: Path) -> None:
    outputs = random_outputs(1, 24, duplicates=False, seed=seed)
    images, results = [(100, 134)], [((75, 101), (100, 134), (213, 190))[seed % 3]]
    ours = our_panoptic(outputs, images, results)
    assert_equal(ours, published_panoptic(load_published(tmp_path), outputs, images, results))
    assert 4 < len(ours[0][1]) < 24, "some segments are large enough and some are not"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("images", [[(100, 134)], [(100, 120), (77, 134)]], ids=["alone", "padded"])
def test_maps_with_stuff_duplicates_are_those_of_the_mended_code(
    images: Sizes, seed: int, tmp_path: Path
) -> None:
    outputs = random_outputs(len(images), 24, duplicates=True, seed=seed)
    results = [(75, 101), (154, 268)][: len(images)]
    ours = our_panoptic(outputs, images, results)
    assert_equal(ours, published_panoptic(load_published(tmp_path, MENDED), outputs, images, results))


def test_error_1_the_published_code_gives_pixels_of_merged_stuff_away(tmp_path: Path) -> None:
    """Two queries of one stuff class and a thing beside them, which comes second where the other one is."""
    logits = torch.zeros(1, 3, CLASSES + 1)
    logits[0, [0, 1, 2], [65, 65, 3]] = 20.0
    masks = torch.full((1, 3, 8, 8), -5.0)
    masks[0, 0, :, :3] = masks[0, 1, :, 3:6] = masks[0, 2, :, 6:] = 5.0
    masks[0, 2, :, 3:6] = 0.0
    outputs = {"pred_logits": logits, "pred_masks": masks, "pred_boxes": torch.rand(1, 3, 4)}
    size = [(8, 8)]
    assert our_panoptic(outputs, size, size)[0][1] == [(65, 48), (3, 16)]
    assert published_panoptic(load_published(tmp_path), outputs, size, size)[0][1] == [(65, 24), (3, 40)]


def test_error_2_the_published_code_shifts_images_of_a_padded_batch(tmp_path: Path) -> None:
    """An image of 8 x 8 pixels in a batch of 16 x 16, its left half one thing and its right half another."""
    logits = torch.zeros(2, 2, CLASSES + 1)
    logits[:, [0, 1], [1, 2]] = 20.0
    masks = torch.zeros(2, 2, 16, 16)
    masks[:, 0, :, :4] = masks[:, 1, :, 4:] = 5.0
    outputs = {"pred_logits": logits, "pred_masks": masks, "pred_boxes": torch.rand(2, 2, 4)}
    sizes = [(8, 8), (16, 16)]
    published, _ = published_panoptic(load_published(tmp_path), outputs, sizes, sizes)
    ours, _ = our_panoptic(outputs, sizes, sizes)
    assert ours[1] == [(1, 32), (2, 32)]
    assert published[1] == [(1, 16), (2, 48)]


def test_error_3_the_published_code_knows_no_label_above_200(tmp_path: Path) -> None:
    """Its training script tells it the classes 0 to 200."""
    logits = torch.zeros(1, 1, 251)
    logits[0, 0, 240] = 20.0
    outputs = {"pred_logits": logits, "pred_masks": torch.ones(1, 1, 8, 8), "pred_boxes": torch.rand(1, 1, 4)}
    with pytest.raises(KeyError, match="240"):
        published_panoptic(load_published(tmp_path), outputs, [(8, 8)], [(8, 8)], last_class=201)
    assert our_panoptic(outputs, [(8, 8)], [(8, 8)])[0][1] == [(240, 64)]


def test_an_image_without_segments_is_void_in_both(tmp_path: Path) -> None:
    """The published code lists a segment of class 1 there, beside an empty map."""
    outputs = random_outputs(1, 0, duplicates=False)
    ours, published = (
        our_panoptic(outputs, [(20, 30)], [(10, 15)]),
        published_panoptic(load_published(tmp_path), outputs, [(20, 30)], [(10, 15)]),
    )
    assert_equal(ours, published)
    assert not ours[0][0].any()


@pytest.mark.parametrize("seed", range(3))
def test_instance_masks_are_the_published_ones(seed: int, tmp_path: Path) -> None:
    outputs = random_outputs(2, 12, duplicates=False, seed=seed)
    outputs["pred_masks"] = outputs["pred_masks"].float()
    images, results = [(100, 120), (77, 134)], [(75, 101), (154, 268)]
    answers: list[dict[str, Any]] = [{}, {}]
    load_published(tmp_path).PostProcessSegm()(answers, outputs, torch.tensor(results), torch.tensor(images))
    for i, answer in enumerate(answers):
        masks = instance_masks(outputs["pred_masks"][i], (100, 134), images[i], results[i], 0.5)
        differing = masks != answer["masks"][:, 0].bool()
        assert not differing.any()
        assert 0.2 < masks.float().mean() < 0.8
