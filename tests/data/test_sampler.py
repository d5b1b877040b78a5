"""The stream of items: complete, shared between ranks, grouped, and resumable anywhere."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from detectron2.config import get_cfg

from detr_d2.data.sampler import (
    ReproducibleBatchSampler,
    aspect_ratio_groups,
    batches_of_one_size,
    build_epoch_order,
    repeated,
    shuffled,
)
from detr_d2.errors import ConfigError

GROUPS = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0]


def batches_of(count: int, **options) -> list[list[tuple[int, int]]]:
    arguments = {"epoch_order": shuffled(11), "batch_size": 3, "seed": 5, **options}
    return list(itertools.islice(ReproducibleBatchSampler(**arguments), count))


def test_every_epoch_holds_each_index_once_in_another_order():
    items = [item for batch in batches_of(11) for item in batch]
    assert [position for _, position in items] == list(range(33))
    epochs = [[index for index, _ in items[start : start + 11]] for start in (0, 11, 22)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_seed_decides_the_order():
    assert batches_of(4) == batches_of(4)
    assert batches_of(4) != batches_of(4, seed=6)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_together_are_the_stream_of_one_process(world_size):
    single = [item for batch in batches_of(world_size * 8) for item in batch]
    together: list[tuple[int, int]] = []
    for rank in range(world_size):
        items = [item for batch in batches_of(8, rank=rank, world_size=world_size) for item in batch]
        assert [position % world_size for _, position in items] == [rank] * 24
        together += items
    assert sorted(together, key=lambda item: item[1]) == single


def test_a_batch_of_one_process_is_what_ranks_and_accumulation_see_in_its_place():
    whole = batches_of(5, batch_size=4)
    micro = batches_of(10, batch_size=2)
    ranks = [batches_of(5, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    for n, batch in enumerate(whole):
        assert sorted(batch) == sorted(micro[2 * n] + micro[2 * n + 1])
        assert sorted(batch) == sorted(ranks[0][n] + ranks[1][n])


def test_groups_are_never_mixed_and_nothing_is_lost_or_repeated():
    batches = batches_of(40, groups=GROUPS)
    for batch in batches:
        assert len({GROUPS[index] for index, _ in batch}) == 1
    positions = [position for batch in batches for _, position in batch]
    assert len(set(positions)) == len(positions)
    # What is not given out yet waits in a group: fewer than a batch in each of the two.
    assert max(positions) + 1 - len(positions) <= 4
    # Each index is as common as the epochs say, up to the epoch under way and what waits.
    counts = Counter(index for batch in batches for index, _ in batch)
    assert max(counts.values()) - min(counts[index] for index in range(11)) <= 3


def grouped_by_hand(stream: list[tuple[int, int]], batch_size: int) -> list[list[tuple[int, int]]]:
    """The rule of Detectron2's AspectRatioGroupedDataset, from its own code."""
    from detectron2.data.common import AspectRatioGroupedDataset

    dicts = [{"item": item, "width": 2 - GROUPS[item[0]], "height": 1.5} for item in stream]
    return [[d["item"] for d in batch] for batch in AspectRatioGroupedDataset(dicts, batch_size)]


def test_grouping_is_detectron2s():
    stream = [item for batch in batches_of(40) for item in batch]
    expected = grouped_by_hand(stream, 3)
    assert batches_of(len(expected), groups=GROUPS) == expected


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("world_size", [1, 3])
def test_any_batch_can_be_the_first_one(groups, world_size):
    options = {"groups": groups, "rank": world_size - 1, "world_size": world_size}
    through = batches_of(30, **options)
    for start in range(25):
        assert batches_of(5, start_batch=start, **options) == through[start : start + 5]


def test_iterating_again_starts_anew():
    sampler = ReproducibleBatchSampler(shuffled(11), 3, 5, start_batch=2)
    assert list(itertools.islice(sampler, 4)) == list(itertools.islice(sampler, 4))


def test_repeat_factors_are_kept_on_average_and_exactly_in_their_whole_part():
    order = repeated([1.0, 2.5, 1.25])
    epochs = [Counter(order(np.random.default_rng([0, epoch])).tolist()) for epoch in range(800)]
    assert {counts[0] for counts in epochs} == {1}
    assert {counts[1] for counts in epochs} == {2, 3}
    assert np.mean([counts[1] for counts in epochs]) == pytest.approx(2.5, abs=0.06)
    assert np.mean([counts[2] for counts in epochs]) == pytest.approx(1.25, abs=0.06)


def test_ranks_share_a_stream_whose_epochs_differ_in_length():
    order = repeated([1.5] * 10)
    options = {"epoch_order": order, "batch_size": 1}
    single = [batch[0] for batch in batches_of(60, **options)]
    parts = [[batch[0] for batch in batches_of(20, rank=rank, world_size=3, **options)] for rank in range(3)]
    assert [item for items in zip(*parts, strict=True) for item in items] == single


def sampler_config(**loader):
    cfg = get_cfg()
    for key, value in loader.items():
        cfg.DATALOADER[key] = value
    return cfg


def test_the_config_names_the_order():
    records = [{"annotations": [{"category_id": 0}]}] * 9 + [{"annotations": [{"category_id": 1}]}]
    rng = np.random.default_rng(0)
    order = build_epoch_order(sampler_config(SAMPLER_TRAIN="TrainingSampler"), records)
    assert sorted(order(rng)) == list(range(10))
    rare = sampler_config(SAMPLER_TRAIN="RepeatFactorTrainingSampler", REPEAT_THRESHOLD=0.9)
    # Category 1 is in a tenth of the images: sqrt(0.9 / 0.1) = 3 times each epoch.
    assert Counter(build_epoch_order(rare, records)(rng).tolist())[9] == 3
    with pytest.raises(ValueError, match=r"DATALOADER\.SAMPLER_TRAIN.*NoSuchSampler"):
        build_epoch_order(sampler_config(SAMPLER_TRAIN="NoSuchSampler"), records)


def test_aspect_ratio_groups_need_sizes():
    sizes = [(3, 2), (2, 3), (2, 2)]
    assert aspect_ratio_groups([{"width": w, "height": h} for w, h in sizes]) == [0, 1, 1]
    with pytest.raises(ValueError, match=r"ASPECT_RATIO_GROUPING.*a\.jpg"):
        aspect_ratio_groups([{"file_name": "a.jpg"}])


def test_batches_of_one_size() -> None:
    sizes = [(4, 3), (3, 4), (4, 3), None, (4, 3), (3, 4), None, (4, 3)]
    records = [{} if size is None else {"width": size[0], "height": size[1]} for size in sizes]
    assert batches_of_one_size(range(8), records, 3) == [[0, 2, 4], [1, 5], [3], [6], [7]]
    assert batches_of_one_size([5, 4, 1], records, 8) == [[5, 1], [4]]
    assert batches_of_one_size(range(3), records, 1) == [[0], [1], [2]]
    with pytest.raises(ConfigError, match=r"TEST\.IMS_PER_BATCH"):
        batches_of_one_size(range(8), records, 0)
