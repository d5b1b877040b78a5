"""detrex's Conditional DETR, DAB-DETR and DN-DETR with random weights predict what ours do with the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.modeling import Detr, Part, Queries
from detr_d2.modeling.decoders.conditional import ConditionalSelfAttention

from .published_detrex import PROJECTS, HandedOn, build, importing, requires_detrex
from .variants import GROUPS, close, inputs, ours, stacked, variant

pytestmark = requires_detrex

SIZES = ((96, 128), (120, 80))


def pair(kind: str, folder: Path) -> tuple[Detr, nn.Module]:
    """Our model, loaded from their file, and theirs."""
    cfg = variant(kind)
    model = build_model(cfg).train()
    channels = model.input_proj.in_channels
    theirs = build(kind, model.backbone, channels, cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
    backbone = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    torch.save({"model": {**theirs.state_dict(), **backbone}}, folder / "theirs.pth")
    checkpointer = DetrCheckpointer(model)
    checkpointer.load(str(folder / "theirs.pth"))
    assert checkpointer.loaded == model.state_dict().keys()
    return model, theirs


def predict(theirs: Any, batch: list[dict[str, Any]]) -> list[tuple[Tensor, Tensor]]:
    """As :func:`.variants.ours`."""
    with torch.no_grad():
        theirs(batch)
    outputs = theirs.criterion.outputs
    return [stacked(x) for x in (outputs, outputs.get("denoising_output")) if x is not None]


@pytest.mark.parametrize("kind", PROJECTS)
def test_predictions_for_a_padded_batch_with_equal_counts(kind: str, tmp_path: Path) -> None:
    model, theirs = pair(kind, tmp_path)
    batch = inputs((3, 3), SIZES)
    results = ours(model, batch)
    as_it_is = predict(theirs, batch)
    handed_on = HandedOn(theirs.transformer)
    expected = predict(theirs, batch)
    handed_on.remove()
    assert len(results) == len(expected) == (2 if kind == "dn" else 1)
    for result, other, what in zip(results, expected, ("matched", "denoised"), strict=False):
        close(result, other, f"{kind}, {what}")
    assert float((as_it_is[0][0] - expected[0][0]).abs().max()) > 1e-3, "their decoder reads no padding now"


@pytest.mark.parametrize("kind", PROJECTS)
def test_predictions_for_one_image(kind: str, tmp_path: Path) -> None:
    model, theirs = pair(kind, tmp_path)
    batch = inputs((3,), SIZES[:1])
    for result, other in zip(ours(model, batch), predict(theirs, batch), strict=True):
        close(result, other, f"{kind}, one image")


def test_their_rows_of_denoising_read_the_padding_of_unequal_counts(tmp_path: Path) -> None:
    """What an object's row predicts depends, with theirs, on how many objects other images have."""
    model, theirs = pair("dn", tmp_path)
    batch = inputs((3, 1), ((96, 96), (96, 96)))
    rows = [3 * group for group in range(GROUPS)]  # of the one object of the second image
    alone = predict(theirs, batch[1:])[1]
    together = predict(theirs, batch)[1]
    own_alone, own_together = ours(model, batch[1:])[1], ours(model, batch)[1]
    close(own_alone, alone, "alone", differ=False)  # one object, twice
    of_second = (own_together[0][:, 1:, rows], own_together[1][:, 1:, rows])
    close(of_second, alone, "beside another image", differ=False)
    assert float((together[0][:, 1:, rows] - alone[0]).abs().max()) > 1e-2
    # The queries that are matched see none of it.
    close(ours(model, batch)[0], predict(theirs, batch)[0], "matched")


def test_their_groups_are_scrambled_and_ours_are_not() -> None:
    """Their attention takes (rows of a group, groups and images) for (rows, images) when it reshapes."""
    channels, heads, groups, number, images = 16, 4, 3, 2, 2
    with importing() as load:
        attention = load("projects.group_detr.modeling.attention")
        theirs = attention.GroupConditionalSelfAttention(channels, heads, group_nums=groups)
    own = ConditionalSelfAttention(channels, heads, 0.0)
    names = {"query": "q", "key": "k", "value": "v"}
    own.load_state_dict(
        {f"{names.get(n.split('_')[0], 'out')}_{n.split('_', 1)[1]}".replace("v_proj", "v_content_proj"): x
         for n, x in theirs.state_dict().items()}
    )  # fmt: skip
    x, position = torch.randn(2, images, groups * number, channels)
    other = x.clone()
    other[:, number : 2 * number] += 1  # the second group
    parts = (Part(slice(0, number)), Part(slice(number, groups * number), groups=groups - 1))
    queries = Queries(x, position, None, parts)
    first = slice(0, number)

    def of_theirs(x: Tensor, position: Tensor) -> Tensor:
        x, position = x.transpose(0, 1), position.transpose(0, 1)
        result = theirs(x, query_pos=position) - x  # without the shortcut
        return result.transpose(0, 1)

    with torch.no_grad():
        theirs.train()
        changed = (of_theirs(other, position) - of_theirs(x, position))[:, first].abs().max()
        assert float(changed) > 1e-2
        assert torch.equal(own(other, position, queries)[:, first], own(x, position, queries)[:, first])
        theirs.eval()  # in which they split nothing: each group by itself
        alone = [of_theirs(*y) for y in zip(x.split(number, 1), position.split(number, 1), strict=True)]
        torch.testing.assert_close(own(x, position, queries), torch.cat(alone, 1), rtol=1e-5, atol=1e-6)
