"""A checkpoint with another number of queries, or of groups of them, keeps what it has learned."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.queries import carried_queries, even_points, group_size
from detr_d2.modeling import Detr

from ..conftest import make_tiny_config


def config(decoder: str, queries: int, groups: int = 1) -> CfgNode:
    cfg = make_tiny_config()
    cfg.MODEL.DETR.DECODER, cfg.MODEL.DETR.NUM_OBJECT_QUERIES = decoder, queries
    if groups > 1:
        cfg.MODEL.DETR.AUXILIARY, cfg.MODEL.DETR.GROUPS.NUM = ("groups",), groups
    return cfg


def save(cfg: CfgNode, folder: Path) -> tuple[Detr, str]:
    """A model with random weights everywhere, and its file."""
    model = build_model(cfg)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    DetrCheckpointer(model, str(folder)).save_weights("file")
    return model, str(folder / "file.pth")


def load(cfg: CfgNode, path: str) -> tuple[Tensor, Detr]:
    """The queries before loading, and the model after it."""
    model = build_model(cfg)
    before = model.query_embed.weight.detach().clone()
    DetrCheckpointer(model).load(path)
    return before, model


def places(model: Detr) -> Tensor:
    """Where all queries look, (N, 2) in [0, 1]."""
    embed = model.query_embed
    points = embed.ref_point_head(embed.weight) if hasattr(embed, "ref_point_head") else embed.weight[:, :2]
    return points.detach().sigmoid()


@pytest.mark.parametrize("count", range(1, 41))
def test_points_are_spread_evenly(count: int) -> None:
    points = even_points(count)
    assert points.shape == (count, 2)
    assert points.min() > 0
    assert points.max() < 1
    # As far from each other as cells of a grid, and no place of the image is far from all of them.
    side = count**-0.5
    between = torch.cdist(points, points).fill_diagonal_(9)
    assert between.min() > 0.6 * side
    cells = torch.cartesian_prod(torch.linspace(0, 1, 33), torch.linspace(0, 1, 33))
    assert torch.cdist(cells, points).min(dim=1).values.max() < 1.25 * side


@pytest.mark.parametrize(
    ("old", "new", "in_file", "in_model", "rows", "fresh"),
    [
        (5, 3, 5, 3, {0: 0, 1: 1, 2: 2}, []),
        (3, 5, 3, 5, {0: 0, 1: 1, 2: 2}, [3, 4]),
        (4, 6, 2, 3, {0: 0, 1: 1, 3: 2, 4: 3}, [2, 5]),  # two groups grow
        (6, 4, 3, 2, {0: 0, 1: 1, 2: 3, 3: 4}, []),  # two groups shrink
        (2, 6, 2, 2, {0: 0, 1: 1}, []),  # two groups more, which are the model's
        (6, 2, 2, 2, {0: 0, 1: 1}, []),  # inference's alone
        (6, 4, 3, 4, {0: 0, 1: 1, 2: 2}, [3]),  # one group less, which grows
        (4, 4, 2, 4, {0: 0, 1: 1}, [2, 3]),  # as many rows, and yet others
    ],
)
def test_groups_are_carried_over_each_by_itself(
    old: int, new: int, in_file: int, in_model: int, rows: dict[int, int], fresh: list[int]
) -> None:
    found, queries, note = carried_queries(old, new, in_file, in_model)
    assert found == rows
    assert note
    assert (queries.rows.tolist() if queries else []) == fresh
    assert queries is None or queries.kept.tolist() == list(rows)


def test_nothing_is_said_of_the_same_queries() -> None:
    assert carried_queries(6, 6, 3, 3)[1:] == (None, "")


@pytest.mark.parametrize("value", [None, 0, -3, 4, "3", 3.0, True, [3]])
def test_a_group_size_that_cannot_be_is_none(value: object) -> None:
    assert group_size({"num_queries": value}, 9) in (None, 1)
    assert group_size({"num_queries": value}, 9) is None or value is True


@pytest.mark.parametrize("decoder", ["conditional", "dab", "rpb"])
def test_new_queries_look_evenly_over_the_image(tmp_path: Path, decoder: str) -> None:
    old, path = save(config(decoder, 10), tmp_path)
    _, model = load(config(decoder, 26), path)
    assert torch.equal(model.query_embed.weight[:10], old.query_embed.weight)
    torch.testing.assert_close(places(model)[10:], even_points(16), rtol=0, atol=1e-4)


def test_new_anchors_have_the_usual_size(tmp_path: Path) -> None:
    old, path = save(config("dab", 9), tmp_path)
    _, model = load(config("dab", 12), path)
    usual = old.query_embed.weight[:, 2:].sort(dim=0).values[4]
    assert torch.equal(model.query_embed.weight[9:, 2:], usual.expand(3, -1))


def test_new_positions_differ_least_from_a_learned_one(tmp_path: Path) -> None:
    """The first step's direction is the gradient's, so that most channels hardly change."""
    old, path = save(config("conditional", 10), tmp_path)
    _, model = load(config("conditional", 14), path)
    change = torch.cdist(model.query_embed.weight[10:], old.query_embed.weight).min(dim=1).values
    apart = torch.cdist(old.query_embed.weight, old.query_embed.weight)
    assert change.max() < apart[apart > 0].min()


def test_plain_queries_stay_as_they_were_initialized(tmp_path: Path) -> None:
    old, path = save(config("detr", 10), tmp_path)
    before, model = load(config("detr", 15), path)
    assert torch.equal(model.query_embed.weight[:10], old.query_embed.weight)
    assert torch.equal(model.query_embed.weight[10:], before[10:])


@pytest.mark.parametrize("decoder", ["detr", "conditional", "dab", "rpb"])
def test_each_group_keeps_its_own_queries(tmp_path: Path, decoder: str) -> None:
    old, path = save(config(decoder, 10, groups=3), tmp_path)
    before, model = load(config(decoder, 12, groups=4), path)
    kept, was, own = (x.view(-1, n, x.shape[1]) for x, n in (
        (model.query_embed.weight, 12), (old.query_embed.weight, 10), (before, 12)
    ))  # fmt: skip
    assert torch.equal(kept[:3, :10], was)
    assert torch.equal(kept[3], own[3])
    new = kept[:3, 10:].flatten(0, 1)
    assert len(new.unique(dim=0)) == 6  # equal queries would stay equal


def test_a_model_without_groups_takes_those_of_inference(tmp_path: Path) -> None:
    old, path = save(config("dab", 10, groups=3), tmp_path)
    _, model = load(config("dab", 10), path)
    assert torch.equal(model.query_embed.weight, old.query_embed.weight[:10])
    _, fewer = load(config("dab", 4), path)
    assert torch.equal(fewer.query_embed.weight, old.query_embed.weight[:4])


def test_what_was_kept_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, path = save(config("dab", 10), tmp_path)
    with caplog.at_level(logging.INFO, "detr_d2"):
        load(config("dab", 15), path)
    assert caplog.text.count("object queries") == 1


def test_the_size_of_groups_is_in_the_file_where_there_are_several(tmp_path: Path) -> None:
    for groups, size in ((1, None), (3, 10)):
        _, path = save(config("dab", 10, groups), tmp_path)
        assert torch.load(path).get("metadata", {}).get("num_queries") == size


def test_the_same_groups_go_on_as_they_were(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, path = save(config("conditional", 10, groups=3), tmp_path)
    content = torch.load(path)
    for metadata in (content.pop("metadata"), {}):  # older files do not tell
        torch.save({**content, "metadata": metadata}, path)
        with caplog.at_level(logging.INFO, "detr_d2"):
            _, model = load(config("conditional", 10, groups=3), path)
        assert torch.equal(model.query_embed.weight, old.query_embed.weight)
    assert "object queries" not in caplog.text


@pytest.mark.parametrize("decoder", ["conditional", "dab", "rpb"])
def test_a_model_with_new_queries_gives_finite_numbers(tmp_path: Path, decoder: str) -> None:
    _, path = save(config(decoder, 10), tmp_path)
    _, model = load(config(decoder, 25), path)
    assert all(torch.isfinite(x).all() for x in model.state_dict().values())
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    (found,) = model.eval()([{"image": image, "height": 64, "width": 64}])
    assert torch.isfinite(found["instances"].pred_boxes.tensor).all()
