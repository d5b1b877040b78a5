"""Which queries see which: attention by parts, and what is made of a part's predictions."""

import math

import pytest
import torch
from torch import Tensor

from detr_d2.modeling import Part, Prediction, Queries
from detr_d2.modeling.attention import attend, attend_by_parts

HEADS = 2


def seen_by_each_row(parts: list[Part], image: int) -> dict[int, list[int]]:
    """The rows that each row may attend to, from the words of ``Part``'s docstring."""
    seen = {}
    for part in parts:
        rows = list(range(part.rows.start, part.rows.stop))
        size = len(rows) // part.groups
        earlier = [row for reads in part.reads for row in range(reads.start, reads.stop)]
        for index, row in enumerate(rows):
            group, position = divmod(index, size)
            keys = earlier + rows[group * size : (group + 1) * size]
            if part.hidden is not None:
                mask = part.hidden[image] if part.hidden.dim() == 3 else part.hidden
                keys = [key for key, hides in zip(keys, mask[position].tolist(), strict=True) if not hides]
            seen[row] = keys
    return seen


def plain_attention(q: Tensor, k: Tensor, v: Tensor, seen: dict[int, list[int]]) -> Tensor:
    """(Q, heads · c), (Q, heads · c), (Q, heads · e) → (Q, heads · e), in loops."""
    width, out_width = q.shape[1] // HEADS, v.shape[1] // HEADS
    out = torch.zeros(len(q), v.shape[1])
    for row, keys in seen.items():
        for head in range(HEADS):
            own = slice(head * width, (head + 1) * width)
            scores = [float(q[row, own] @ k[key, own]) / math.sqrt(width) for key in keys]
            total = sum(math.exp(score) for score in scores)
            for key, score in zip(keys, scores, strict=True):
                to = slice(head * out_width, (head + 1) * out_width)
                out[row, to] += math.exp(score) / total * v[key, to]
    return out


def hidden_by_image() -> Tensor:
    hidden = torch.rand(2, 3, 7) < 0.5
    hidden[..., -3:] &= ~torch.eye(3, dtype=torch.bool)  # a row sees itself
    return hidden


PARTS = {
    "one": [Part(slice(0, 13))],
    "groups": [Part(slice(0, 4)), Part(slice(4, 12), groups=2), Part(slice(12, 13))],
    "reads": [Part(slice(0, 4)), Part(slice(4, 13), reads=(slice(1, 3),))],
    "groups that read": [Part(slice(0, 4)), Part(slice(4, 13), groups=3, reads=(slice(0, 4),))],
    "several reads": [
        Part(slice(0, 4)),
        Part(slice(4, 8)),
        Part(slice(8, 13), reads=(slice(5, 8), slice(0, 2))),
    ],
    "hidden": [
        Part(slice(0, 4), hidden=torch.eye(4, dtype=torch.bool)),
        Part(slice(4, 13), groups=3, reads=(slice(0, 4),), hidden=hidden_by_image()),
    ],
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("wider", [1, 3])
def test_each_row_attends_to_what_its_part_says(name: str, wider: int) -> None:
    """Queries and keys may be wider than values."""
    parts = PARTS[name]
    q, k = torch.randn(2, 13, 8 * wider), torch.randn(2, 13, 8 * wider)
    v = torch.randn(2, 13, 8)
    result = attend_by_parts(q, k, v, HEADS, parts)
    for image in range(2):
        expected = plain_attention(q[image], k[image], v[image], seen_by_each_row(parts, image))
        torch.testing.assert_close(result[image], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 1, 5)], ids=str)
def test_hidden_keys_are_not_attended_to(shape: tuple[int, ...]) -> None:
    hidden = torch.rand(shape) < 0.5
    hidden[..., 0] = False
    q, k, v = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 4)
    result = attend(q, k, v, HEADS, hidden)
    for image in range(2):
        mask = hidden.expand(2, 3, 5)[image]
        for row in range(3):
            keys = torch.nonzero(~mask[row])[:, 0].tolist()
            seen = {0: [key + 1 for key in keys]}  # the query is row 0, then come the keys
            rows = [
                torch.cat([x, y]) for x, y in ((q[image, row : row + 1], k[image]), (k[image, :1], k[image]))
            ]
            expected = plain_attention(*rows, torch.cat([v[image, :1], v[image]]), seen)[0]
            torch.testing.assert_close(result[image, row], expected, rtol=1e-5, atol=1e-6)


def test_in_bfloat16_hidden_keys_are_hidden_in_training_as_in_inference() -> None:
    q, k, v = (torch.randn(2, 5, 8, dtype=torch.bfloat16) for _ in range(3))
    hidden = torch.eye(5, dtype=torch.bool)
    expected = attend(q, k, v, HEADS, hidden)
    result = attend(q.requires_grad_(), k, v, HEADS, hidden)
    torch.testing.assert_close(result, expected, rtol=0.02, atol=0.02)


def test_a_parts_predictions_are_its_rows_with_groups_as_images() -> None:
    logits, boxes = torch.randn(2, 3, 10, 5), torch.rand(2, 3, 10, 4)
    prediction = Prediction.of(Part(slice(4, 10), groups=2), logits, boxes)
    assert prediction.logits.shape == (2, 6, 3, 5)
    for image in range(3):
        for group in range(2):
            rows = slice(4 + 3 * group, 7 + 3 * group)
            assert torch.equal(prediction.logits[:, 2 * image + group], logits[:, image, rows])
            assert torch.equal(prediction.boxes[:, 2 * image + group], boxes[:, image, rows])


def test_joined_queries_have_one_batch_size_and_all_parts() -> None:
    learned = Queries(torch.zeros(1, 2, 4), torch.randn(1, 2, 4), None, (Part(slice(0, 2)),))
    noise = Queries(torch.randn(3, 5, 4), torch.randn(3, 5, 4), None, (Part(slice(2, 7)),))
    both = learned.joined(noise)
    assert len(both) == 7
    assert both.parts == (*learned.parts, *noise.parts)
    for image in range(3):
        assert torch.equal(
            both.located(torch.zeros(3, 7, 4))[image, :2], learned.located(torch.zeros(1, 2, 4))[0]
        )
        assert torch.equal(both.content[image, 2:], noise.content[image])
