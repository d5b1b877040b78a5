"""Which queries reach the mask head, and that the others would change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.utils.visualizer import Visualizer
from torch import Tensor, nn

from detr_d2.modeling import Decoded, Memory, Queries
from detr_d2.modeling.inference import Sizes
from detr_d2.modeling.panoptic import panoptic_queries

from ..conftest import make_mask_input
from .recipe import CROSS_ENTROPY, make_inference
from .steps import masks_of, steps

# Classes 0 and 2 are things, 1 is stuff.
METADATA = {
    "thing_dataset_id_to_contiguous_id": {5: 0, 9: 2},
    "stuff_dataset_id_to_contiguous_id": {7: 1},
}


@pytest.fixture
def config(mask_config: CfgNode) -> Any:
    name = "inference_tests_panoptic"
    MetadataCatalog.get(name).set(**METADATA)
    mask_config.DATASETS.TRAIN = (name,)
    mask_config.MODEL.DETR.TEST.PANOPTIC_ON = True
    mask_config.MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD = 0.6
    mask_config.MODEL.DETR.TEST.INSTANCE_SCORE_THRESHOLD = 0.5
    yield mask_config
    MetadataCatalog.remove(name)


class RandomTokens(nn.Module):
    """In place of encoder and decoder: queries and memory that differ, as only a trained one's do."""

    def encoder(self, tokens: Tensor, *rest: Any) -> Tensor:
        return 2 * torch.randn(*tokens.shape, generator=torch.Generator().manual_seed(1)).to(tokens)

    def decoder(self, queries: Queries, memory: Memory, box_head: nn.Module) -> Decoded:
        generator = torch.Generator().manual_seed(2)
        hidden = torch.randn(1, len(memory.tokens), 10, memory.tokens.shape[2], generator=generator)
        return Decoded(hidden.to(memory.tokens))


def build(cfg: CfgNode, precision: torch.dtype = torch.float64) -> nn.Module:
    """Random weights, but queries of different classes, with masks that differ by more than rounding."""
    torch.manual_seed(3)
    model = build_model(cfg).eval()
    model.transformer = RandomTokens().eval()
    with torch.no_grad():
        model.class_embed.weight.mul_(4)
        model.mask_head.lay1.weight[:, 64:].mul_(1e4)  # of attention: random features outweigh it
    return model.to(precision)


def batch_of_two() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(5)
    batch = [make_mask_input(64, 96, 0), make_mask_input(48, 64, 0)]
    for x in batch:
        x["image"] = torch.randint(0, 256, x["image"].shape, dtype=torch.uint8, generator=generator)
    return batch


def run(
    model: nn.Module, batch: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[Tensor], list[Tensor]]:
    """Results, the queries of each image that were given masks, and their logits."""
    asked: list[Tensor] = []
    gave: list[Tensor] = []
    predict_masks = model.predict_masks

    def listening(features: Any, memory: Any, decoded: Any, queries: Any, chunk: Any) -> Sequence[Tensor]:
        asked.extend(queries)
        masks = predict_masks(features, memory, decoded, queries, chunk)
        gave.extend(masks)
        return masks

    model.predict_masks = listening  # type: ignore[assignment]
    with torch.no_grad():
        results = model(batch)
    model.predict_masks = predict_masks
    return results, asked, gave


def test_only_queries_that_a_result_shows_are_given_masks(config: CfgNode) -> None:
    model, batch = build(config), batch_of_two()
    results, asked, _ = run(model, batch)
    with torch.no_grad():
        logits, _ = model.predict(steps(model, batch).decoded.hidden[-1])
    for image, (result, queries) in enumerate(zip(results, asked, strict=True)):
        shown = set()
        probabilities = logits[image].softmax(-1)
        for query in range(10):
            score, label = probabilities[query, :3].max(0)
            is_instance = label != 1 and score >= 0.5
            is_segment = probabilities[query].argmax() != 3 and score > 0.6
            if is_instance or is_segment:
                shown.add(query)
        assert queries.tolist() == sorted(shown)
        assert len(result["instances"].pred_masks) == len(result["instances"])
    assert 0 < sum(len(queries) for queries in asked) < 20, "some queries are left out, and some are not"


def test_results_are_those_of_running_all_queries(config: CfgNode) -> None:
    model, batch = build(config), batch_of_two()
    results, _, _ = run(model, batch)
    with torch.no_grad():
        between = steps(model, batch)
        everything = masks_of(model, between, [torch.arange(10)] * 2)
        logits, boxes = model.predict(between.decoded.hidden[-1])
        expected = model.inference(
            logits,
            boxes,
            Sizes.of(batch, model.preprocess(batch)),
            lambda queries, chunk: [masks[q] for masks, q in zip(everything, queries, strict=True)],
        )
    for result, wanted in zip(results, expected, strict=True):
        assert torch.equal(result["panoptic_seg"][0], wanted["panoptic_seg"][0])
        assert result["panoptic_seg"][1] == wanted["panoptic_seg"][1]
        assert torch.equal(result["instances"].pred_masks, wanted["instances"].pred_masks)
    assert results[0]["panoptic_seg"][0].any(), "there are segments to compare"


def test_logits_are_those_of_running_all_queries(config: CfgNode) -> None:
    config.MODEL.DETR.TEST.MASK_CHUNK = 3
    model, batch = build(config, torch.float32), batch_of_two()
    _, asked, gave = run(model, batch)
    with torch.no_grad():
        between = steps(model, batch)
        everything = masks_of(model, between, [torch.arange(10)] * 2)
    for queries, masks, of_all in zip(asked, gave, everything, strict=True):
        torch.testing.assert_close(masks, of_all[queries], rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_change_nothing(config: CfgNode, chunk: int) -> None:
    batch = batch_of_two()
    expected, _, _ = run(build(config), batch)
    config.MODEL.DETR.TEST.MASK_CHUNK = chunk
    results, _, _ = run(build(config), batch)
    for a, b in zip(results, expected, strict=True):
        assert torch.equal(a["panoptic_seg"][0], b["panoptic_seg"][0])


def test_instances_are_things_numbered_in_the_list_of_things_and_stuff(config: CfgNode) -> None:
    """The best of all classes decides, then stuff is dropped: no stuff query turns into its best thing."""
    config.MODEL.DETR.TEST.INSTANCE_SCORE_THRESHOLD = 0.0
    model, batch = build(config), batch_of_two()
    (result, _), _, _ = run(model, batch)
    with torch.no_grad():
        logits, _ = model.predict(steps(model, batch).decoded.hidden[-1])
    best = logits[0, :, :3].argmax(-1).tolist()
    assert 1 in best
    assert result["instances"].pred_classes.tolist() == [label for label in best if label != 1]


@pytest.mark.parametrize("only", ["INSTANCE_ON", "PANOPTIC_ON"])
def test_each_result_can_be_had_alone(config: CfgNode, only: str) -> None:
    batch = batch_of_two()
    both, _, _ = run(build(config), batch)
    config.MODEL.DETR.TEST.INSTANCE_ON = only == "INSTANCE_ON"
    config.MODEL.DETR.TEST.PANOPTIC_ON = only == "PANOPTIC_ON"
    model = build(config)
    results, asked, _ = run(model, batch)
    name = {"INSTANCE_ON": "instances", "PANOPTIC_ON": "panoptic_seg"}[only]
    assert all(set(result) == {name} for result in results)
    if only == "PANOPTIC_ON":
        assert torch.equal(results[0][name][0], both[0][name][0])
        with torch.no_grad():
            logits, _ = model.predict(steps(model, batch).decoded.hidden[-1])
        assert [q.tolist() for q in asked] == [
            panoptic_queries(x, 0.6, CROSS_ENTROPY).tolist() for x in logits
        ]
    else:
        assert torch.equal(results[1][name].pred_masks, both[1][name].pred_masks)


def test_with_nothing_to_show_the_result_is_empty_but_complete(config: CfgNode) -> None:
    config.MODEL.DETR.TEST.INSTANCE_SCORE_THRESHOLD = 1.0
    config.MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD = 1.0
    results, _, _ = run(build(config), batch_of_two())
    for result, size in zip(results, [(64, 96), (48, 64)], strict=True):
        ids, segments = result["panoptic_seg"]
        assert ids.shape == size
        assert not ids.any()
        assert segments == []
        assert result["instances"].pred_masks.shape == (0, *size)


def test_without_masks_there_are_instances_alone() -> None:
    logits, boxes = torch.randn(1, 4, 4), torch.rand(1, 4, 4)
    (result,) = make_inference(things=(0, 2))(logits, boxes, Sizes((9, 9), [(9, 9)], [(9, 9)]))
    assert set(result) == {"instances"}
    assert not result["instances"].has("pred_masks")
    assert set(result["instances"].pred_classes.tolist()) <= {0, 2}


def test_detectron2s_visualizer_names_instances_right_where_stuff_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["sky", "cat", "sea", "dog"]
    logits = torch.full((1, 3, 5), -9.0)
    logits[0, 0, 1] = logits[0, 1, 3] = logits[0, 2, 0] = 9.0  # a cat, a dog and sky
    boxes = torch.tensor([[[0.5, 0.5, 0.4, 0.4]] * 3])
    sizes = Sizes((40, 40), [(40, 40)], [(40, 40)])
    (result,) = make_inference(things=[1, 3])(logits, boxes, sizes)
    shown = []
    monkeypatch.setattr(Visualizer, "overlay_instances", lambda self, *, labels, **_: shown.extend(labels))
    metadata = Metadata(thing_classes=names, stuff_classes=names)
    Visualizer(np.zeros((40, 40, 3)), metadata).draw_instance_predictions(result["instances"])
    assert [label.split()[0] for label in shown] == ["cat", "dog"]
