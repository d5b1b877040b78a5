"""Panoptic merging against a plain loop, and rule by rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from detr_d2.modeling.panoptic import merge_panoptic, nearest_positions, panoptic_queries

from .mask_oracles import FloatArray, bilinear
from .recipe import CROSS_ENTROPY

THINGS = {0, 2}


def plain_merge(
    masks: FloatArray, classes: list[int], output: tuple[int, int], min_area: int
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The rules, one pixel after the other, on masks (n, H, W) at the image's size.

    Returns:
        (class, area) of every segment, and the map: positions in that list from 1, 0 for void.
    """
    alive = list(range(len(classes)))
    while True:
        segments: list[int] = []  # each by its first query
        for k in alive:
            if classes[k] in THINGS or classes[k] not in [classes[s] for s in segments]:
                segments.append(k)
        small = np.zeros(masks.shape[1:], dtype=np.int32)
        for y, x in np.ndindex(*small.shape):
            if alive:
                best = max(alive, key=lambda k: (masks[k, y, x], -k))
                same = [s for s in segments if classes[s] == classes[best] and classes[s] not in THINGS]
                small[y, x] = segments.index(same[0] if same else best) + 1
        shown = np.asarray(Image.fromarray(small).resize(output[::-1], Image.Resampling.NEAREST))
        areas = [int((shown == number).sum()) for number in range(1, len(segments) + 1)]
        gone = {s for s, area in zip(segments, areas, strict=True) if area <= min_area}
        if not gone:
            return [(classes[s], a) for s, a in zip(segments, areas, strict=True)], shown
        stuff_gone = {classes[s] for s in gone if classes[s] not in THINGS}
        alive = [k for k in alive if k not in gone and classes[k] not in stuff_gone]


def blocks(*rows: str) -> Tensor:
    """Mask logits (n, h, w) in which the query of each letter (a, b, c …) wins where it is written."""
    letters = sorted(set("".join(rows)))
    return torch.tensor([[[5.0 * (c == letter) for c in row] for row in rows] for letter in letters])


def random_case(seed: int) -> tuple[Tensor, Tensor]:
    """Classes (n,) and mask logits (n, 6, 8), some of which win almost nowhere."""
    generator = torch.Generator().manual_seed(seed)
    number = int(torch.randint(1, 14, (1,), generator=generator))
    classes = torch.randint(6, (number,), generator=generator)
    logits = torch.randn(number, 6, 8, generator=generator, dtype=torch.float64)
    return classes, logits + torch.randn(number, 1, 1, generator=generator) * 1.5


def merge(masks: Tensor, classes: list[int], min_area: int = 4) -> tuple[list[list[int]], list[dict]]:
    """Merge masks that have the image's size already."""
    size = (int(masks.shape[1]), int(masks.shape[2]))
    scores = torch.linspace(0.9, 0.99, len(classes))
    ids, info = merge_panoptic(scores, torch.tensor(classes), masks, size, size, size, THINGS, min_area)
    assert ids.dtype == torch.int32
    return ids.tolist(), info


@pytest.mark.parametrize("seed", range(12))
def test_the_result_is_that_of_a_plain_loop(seed: int) -> None:
    classes, logits = random_case(seed)
    padded, image, output = (24, 32), (21, 26), ((13, 30), (40, 26), (7, 9))[seed % 3]
    ids, info = merge_panoptic(
        torch.rand(len(classes)), classes, logits, padded, image, output, THINGS, min_area=10
    )
    masks = np.stack([bilinear(x.numpy(), padded) for x in logits])[:, : image[0], : image[1]]
    segments, expected = plain_merge(masks, classes.tolist(), output, min_area=10)
    assert np.array_equal(ids.numpy(), expected)
    assert [(s["category_id"], s["area"]) for s in info] == segments
    assert [s["id"] for s in info] == list(range(1, len(segments) + 1))
    assert [s["isthing"] for s in info] == [c in THINGS for c, _ in segments]


def test_the_random_cases_drop_and_merge_something() -> None:
    """The cases above reach every rule, redoing included."""
    dropped = merged = 0
    for seed in range(12):
        classes, logits = random_case(seed)
        stuff = [c for c in classes.tolist() if c not in THINGS]
        merged += len(stuff) - len(set(stuff))
        every, large = (
            merge_panoptic(
                torch.rand(len(classes)), classes, logits, (24, 32), (21, 26), (13, 30), THINGS, area
            )[1]
            for area in (-1, 10)
        )
        dropped += len(every) - len(large)
    assert dropped > 5
    assert merged > 5


def test_things_of_one_class_are_apart_and_stuff_of_one_class_is_one_segment() -> None:
    masks = blocks("aabbcc", "aabbcc", "ddeeff", "ddeeff")
    ids, info = merge(masks, [0, 1, 0, 1, 2, 3], min_area=0)
    assert ids[0] == [1, 1, 2, 2, 3, 3]
    assert ids[2] == [2, 2, 4, 4, 5, 5]
    assert [(s["category_id"], s["isthing"], s["area"]) for s in info] == [
        (0, True, 4),
        (1, False, 8),
        (0, True, 4),
        (2, True, 4),
        (3, False, 4),
    ]
    assert info[1]["score"] == pytest.approx(0.9 + 0.09 / 5), "the score of its first query"


def test_stuff_stays_merged_when_something_else_is_dropped() -> None:
    """Published DETR gives the second query's pixels away here: it counts them for the first one only."""
    masks = blocks("aaacc", "aaacc", "bbbcc", "bbbcd")
    masks[2, 3, 4] = 1.0  # c comes second where d is dropped
    ids, info = merge(masks, [1, 1, 0, 0], min_area=1)
    assert [(s["category_id"], s["area"]) for s in info] == [(1, 12), (0, 8)]
    assert ids[2][:3] == [1, 1, 1]


def test_small_parts_of_a_stuff_class_count_together() -> None:
    ids, info = merge(blocks("ab", "ca"), [0, 1, 1], min_area=1)
    assert ids == [[1, 2], [2, 1]]
    assert [s["area"] for s in info] == [2, 2]


def test_pixels_of_a_dropped_segment_go_to_the_next_best() -> None:
    masks = blocks("aaab", "aaac", "aaac", "aacc")
    masks[2, 0, 3] = 4.0  # c comes second where b is
    masks[0, 0, 3] = 3.0
    ids, info = merge(masks, [0, 0, 2], min_area=1)
    assert ids[0] == [1, 1, 1, 2]
    assert [s["area"] for s in info] == [11, 5]


def test_dropping_goes_on_until_nothing_is_small() -> None:
    """Stuff that is dropped goes with all its queries, and none of them comes back."""
    masks = torch.zeros(4, 4, 4)
    masks[0] = 1.0
    masks[1, 0, 0] = 5.0  # stuff of one pixel …
    masks[2, 0, 0] = 4.0  # … whose duplicate comes second there
    masks[3, 0, 0] = 3.0  # a thing that would have the pixel then, and is as small
    ids, info = merge(masks, [0, 1, 1, 2], min_area=1)
    assert ids == [[1] * 4] * 4
    assert len(info) == 1


def test_segments_of_exactly_the_smallest_area_are_dropped() -> None:
    masks = blocks("aaaaab", "bbbccc")
    assert [s["area"] for s in merge(masks, [0, 0, 0], min_area=3)[1]] == [8, 4]
    assert [s["area"] for s in merge(masks, [0, 0, 0], min_area=2)[1]] == [5, 4, 3]


def test_nothing_kept_is_void() -> None:
    empty = torch.zeros(0)
    ids, info = merge_panoptic(
        empty, empty.long(), torch.zeros(0, 3, 4), (12, 16), (10, 16), (7, 5), THINGS, 4
    )
    assert ids.shape == (7, 5)
    assert ids.dtype == torch.int32
    assert not ids.any()
    assert info == []


def test_an_image_smaller_than_the_smallest_area_is_void() -> None:
    ids, info = merge(blocks("aa", "bb"), [0, 1], min_area=4)
    assert ids == [[0, 0], [0, 0]]
    assert info == []


def test_the_padding_of_a_batch_changes_nothing() -> None:
    """The same image alone and in the corner of a larger padded batch; published DETR shifts the second."""
    image = blocks("aab", "acc")
    padded = torch.zeros(3, 6, 5)
    padded[:, :2, :3] = image
    scores, classes = torch.rand(3), torch.tensor([0, 1, 3])
    alone = merge_panoptic(scores, classes, image, (2, 3), (2, 3), (4, 6), THINGS, 0)
    batched = merge_panoptic(scores, classes, padded, (6, 5), (2, 3), (4, 6), THINGS, 0)
    assert torch.equal(alone[0], batched[0])
    assert alone[1] == batched[1]


def test_classes_may_have_any_number() -> None:
    _, info = merge(blocks("aaa", "bbb"), [250, 100_000], min_area=0)
    assert [s["category_id"] for s in info] == [250, 100_000]


def test_queries_of_no_object_and_of_low_scores_take_no_part() -> None:
    probabilities = torch.tensor(
        [[0.90, 0.05, 0.05], [0.05, 0.05, 0.90], [0.80, 0.15, 0.05], [0.02, 0.96, 0.02]]
    )
    assert panoptic_queries(probabilities.log(), 0.85, CROSS_ENTROPY).tolist() == [0, 3]
    assert panoptic_queries(probabilities.log(), 0.97, CROSS_ENTROPY).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_resizing_is_pillows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for size, new in rng.integers(1, 1400, (200, 2)).tolist():
        row = Image.fromarray(np.arange(size, dtype=np.int32)[None])
        expected = np.asarray(row.resize((new, 1), Image.Resampling.NEAREST))[0]
        assert np.array_equal(nearest_positions(size, new).numpy(), expected), (size, new)


def test_ids_of_logits_in_half_precision_are_those_of_the_same_numbers_in_float32() -> None:
    masks = torch.randn(5, 4, 6).bfloat16()
    arguments = (torch.rand(5), torch.tensor([0, 1, 1, 2, 3]))
    sizes = ((16, 24), (15, 20), (30, 40))
    half = merge_panoptic(*arguments, masks, *sizes, THINGS, 4)
    full = merge_panoptic(*arguments, masks.float(), *sizes, THINGS, 4)
    assert torch.equal(half[0], full[0])
    assert half[1] == full[1]
