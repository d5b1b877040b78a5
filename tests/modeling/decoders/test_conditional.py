"""Conditional cross-attention against loops over its heads, and where its boxes start."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor

from detr_d2.modeling import Detr, Memory
from detr_d2.modeling.decoders.conditional import ConditionalCrossAttention

from .test_decoders import decode, learned, make_model

CHANNELS, HEADS, QUERIES, CELLS = 16, 4, 3, 6


def plain_attention(
    attention: ConditionalCrossAttention, x: Tensor, position: Tensor, place: Tensor, memory: Memory
) -> Tensor:
    """From the paper's words, head by head and query by query: (B, Q, d)."""
    width = CHANNELS // HEADS
    result = torch.zeros_like(x)
    for image in range(len(x)):
        cells = memory.position[image % len(memory.position)]
        for head in range(HEADS):
            own = slice(head * width, (head + 1) * width)
            for query in range(QUERIES):
                content = attention.q_content_proj(x[image, query])
                if attention.q_pos_proj is not None:
                    content = content + attention.q_pos_proj(position[0, query])
                where = attention.q_pos_sine_proj(place[0, query])
                scores = []
                for cell in range(CELLS):
                    key = attention.k_content_proj(memory.tokens[image, cell])
                    at = attention.k_pos_proj(cells[cell])
                    if attention.q_pos_proj is not None:
                        key = key + at
                    score = content[own] @ key[own] + where[own] @ at[own]
                    hidden = memory.padding is not None and bool(memory.padding[image, cell])
                    scores.append(-math.inf if hidden else float(score) / math.sqrt(2 * width))
                weights = F.softmax(torch.tensor(scores), dim=0)
                result[image, query, own] = weights @ attention.v_content_proj(memory.tokens[image])[:, own]
    return attention.out_proj(result)


def test_content_meets_content_and_place_meets_place_in_every_head() -> None:
    padding = torch.zeros(2, CELLS, dtype=torch.bool)
    padding[1, 4:] = True
    tokens = torch.randn(2, CELLS, CHANNELS)
    x, position, place = (torch.randn(n, QUERIES, CHANNELS) for n in (2, 1, 1))
    for first in (True, False):
        attention = ConditionalCrossAttention(CHANNELS, HEADS, 0.0, first)
        for hidden, images in ((padding, 2), (None, 1)):
            cells = torch.randn(images, CELLS, CHANNELS)
            memory = Memory(tokens, tokens, cells, hidden, ((2, 3),))
            with torch.no_grad():
                expected = plain_attention(attention, x, position, place, memory)
                torch.testing.assert_close(attention(x, position, place, memory), expected)


def test_boxes_start_at_the_points_of_their_queries(tiny_config: CfgNode) -> None:
    model: Detr = make_model(tiny_config, "conditional").eval()
    with torch.no_grad():
        queries = learned(model)
        decoded, _, boxes = decode(model, queries)
    assert queries.reference is not None
    assert decoded.reference is not None
    centers = queries.reference.sigmoid().expand(2, 2, -1, -1)
    torch.testing.assert_close(boxes[..., :2], centers, rtol=0, atol=1e-5)
    assert torch.equal(boxes[..., 2:], torch.full_like(centers, 0.5))
    assert float(centers.std(2).min()) > 0.05, "points lie apart"
