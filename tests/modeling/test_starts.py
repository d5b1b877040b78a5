"""Queries that start at the encoder's boxes."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.errors import ConfigError
from detr_d2.modeling import Detr, Memory

from ..conftest import make_input
from .recipe import FOCAL
from .steps import check_every_parameter_learns


def two_stage(cfg: CfgNode, decoder: str, *more: str, starts: int = 6) -> Detr:
    detr = cfg.MODEL.DETR
    detr.DECODER, detr.AUXILIARY, detr.ENCODER.STARTS = decoder, (*more, "encoder"), starts
    detr.CLASS_LOSS, detr.GROUPS.NUM, detr.DROPOUT = "focal", 2, 0.0
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    return build_model(cfg)


def memory_of(padded: bool) -> Memory:
    tokens = torch.randn(2, 12, 32)
    padding = torch.zeros(2, 3, 4, dtype=torch.bool)
    padding[1, :, 2:] = True
    return Memory(tokens, tokens, torch.zeros(1, 12, 32), padding.flatten(1) if padded else None, ((3, 4),))


@pytest.mark.parametrize("padded", [True, False])
def test_the_most_certain_cells_give_their_boxes_and_padding_none(tiny_config: CfgNode, padded: bool) -> None:
    model, memory = two_stage(tiny_config, "rpb"), memory_of(padded)
    torch.nn.init.normal_(model.bbox_embed.layers[-1].weight, std=0.3)
    queries = model.queries(memory, None)
    assert queries.reference is not None
    assert queries.reference.shape == (2, 10, 4)
    with torch.no_grad():
        for image in range(2):
            columns = 2 if padded and image else 4
            ranked: list[tuple[float, Tensor]] = []
            for row in range(3):
                for column in range(columns):
                    token = memory.tokens[image, 4 * row + column]
                    point = torch.tensor([(column + 0.5) / columns, (row + 0.5) / 3])
                    box = model.bbox_embed(token, point.logit())
                    ranked.append((float(model.class_embed(token).max()), box))
            ranked.sort(key=lambda pair: -pair[0])
            expected = torch.stack([box for _, box in ranked[:6]])
            torch.testing.assert_close(queries.reference[image, :6], expected, rtol=1e-4, atol=1e-4)
            assert torch.equal(queries.reference[image, 6:], model.query_embed.weight[6:])


def test_a_map_of_few_cells_leaves_the_other_queries_where_they_learned_to_be(tiny_config: CfgNode) -> None:
    model = two_stage(tiny_config, "dab", starts=9)
    tokens = torch.randn(1, 4, 32)
    queries = model.queries(Memory(tokens, tokens, tokens, None, ((2, 2),)), None)
    assert queries.reference is not None
    assert torch.equal(queries.reference[0, 4:], model.query_embed.weight[4:])


def test_no_gradient_goes_through_the_boxes(tiny_config: CfgNode) -> None:
    model, memory = two_stage(tiny_config, "rpb"), memory_of(True)
    memory.tokens.requires_grad_()
    queries = model.queries(memory, None)
    assert queries.reference is not None
    queries.reference.sum().backward()
    assert memory.tokens.grad is None
    assert not model.query_embed.weight.grad[:6].any()
    assert model.query_embed.weight.grad[6:].all()


@pytest.mark.parametrize("decoder", ["dab", "rpb"])
def test_every_parameter_learns_and_inference_runs(tiny_config: CfgNode, decoder: str) -> None:
    model = two_stage(tiny_config, decoder, "denoising", "groups")
    check_every_parameter_learns(model)
    with torch.no_grad():
        results = model.eval()([make_input(64, 96, 0), make_input(32, 32, 0)])
    assert [len(result["instances"]) for result in results] == [30, 30]


def test_weights_have_the_same_names_with_and_without(tiny_config: CfgNode) -> None:
    plain = two_stage(tiny_config.clone(), "rpb", starts=0)
    assert plain.state_dict().keys() == two_stage(tiny_config, "rpb").state_dict().keys()
    assert plain.criterion.class_loss == FOCAL


@pytest.mark.parametrize(
    ("key", "value"), [("ENCODER.STARTS", 10), ("ENCODER.STARTS", -1), ("DECODER", "detr"), ("AUXILIARY", ())]
)
def test_starts_that_cannot_be_had_are_refused(tiny_config: CfgNode, key: str, value: object) -> None:
    detr = tiny_config.MODEL.DETR
    detr.DECODER, detr.AUXILIARY, detr.ENCODER.STARTS = "rpb", ("encoder",), 6
    detr.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=r"MODEL\.DETR\.ENCODER\.STARTS is"):
        build_model(tiny_config)
