"""Which images a rank's n-th batch holds: a pure function of the seed, the rank, the world size and n."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.samplers import RepeatFactorTrainingSampler
from torch.utils.data import Sampler

from ..errors import ConfigError, require
from .records import objects_of

# From an epoch's number and its own random generator to the indices of that epoch, in order.
EpochOrder = Callable[[np.random.Generator], np.ndarray]
# An index into the data set, and its position in the endless stream of all ranks together.
Item = tuple[int, int]


class ReproducibleBatchSampler(Sampler[list[Item]]):
    """Endless batches of (index, position) items.

    Epoch after epoch, each with an order of its own, is put into one endless stream; rank r of w takes
    positions r, r + w, r + 2 w, ... Where images are grouped, each rank collects its items by group, and a
    batch is given out as soon as a group has enough for one. Nothing here depends on what was read before,
    so a run is resumed by starting at another batch: everything before it is replayed, in integers.

    Args:
        epoch_order: gives the indices of an epoch from that epoch's random generator.
        batch_size: items in a batch.
        seed: not negative.
        rank, world_size: this process, and how many there are.
        groups: group number of each index, or None for one group.
        start_batch: number of the first batch to give out.
    """

    def __init__(
        self,
        epoch_order: EpochOrder,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        groups: Sequence[int] | None = None,
        start_batch: int = 0,
    ) -> None:
        self.epoch_order = epoch_order
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.groups = groups
        self.start_batch = start_batch

    def __iter__(self) -> Iterator[list[Item]]:
        yield from itertools.islice(self._batches(), self.start_batch, None)

    def _batches(self) -> Iterator[list[Item]]:
        collected: dict[int, list[Item]] = {}
        for item in self._items():
            batch = collected.setdefault(0 if self.groups is None else self.groups[item[0]], [])
            batch.append(item)
            if len(batch) == self.batch_size:
                yield batch[:]
                batch.clear()

    def _items(self) -> Iterator[Item]:
        """This rank's share of the stream."""
        start = 0  # position at which the epoch begins
        for epoch in itertools.count():
            indices = self.epoch_order(np.random.default_rng([self.seed, epoch]))
            first = (self.rank - start) % self.world_size
            for offset, index in enumerate(indices[first :: self.world_size].tolist()):
                yield index, start + first + offset * self.world_size
            start += len(indices)


def shuffled(size: int) -> EpochOrder:
    """Every index once an epoch, in random order."""
    return lambda rng: rng.permutation(size)


def repeated(factors: Sequence[float]) -> EpochOrder:
    """Index i as often as ``factors[i]`` says on average: the fraction is rounded at random each epoch."""
    array = np.asarray(factors, dtype=np.float64)
    whole = np.floor(array)

    def order(rng: np.random.Generator) -> np.ndarray:
        times = whole + (rng.random(len(array)) < array - whole)
        return rng.permutation(np.repeat(np.arange(len(array)), times.astype(np.int64)))

    return order


def build_epoch_order(cfg: CfgNode, records: Sequence[dict]) -> EpochOrder:
    """The order that ``DATALOADER.SAMPLER_TRAIN`` names.

    Raises:
        ConfigError: a sampler that is not supported.
    """
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name == "TrainingSampler":
        return shuffled(len(records))
    if name == "RepeatFactorTrainingSampler":
        # Detectron2 main can leave the square root out; v0.6 has no key for it.
        options = {} if cfg.DATALOADER.get("REPEAT_SQRT", True) else {"sqrt": False}
        factors: torch.Tensor = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            [{"annotations": objects_of(record)} for record in records],
            cfg.DATALOADER.REPEAT_THRESHOLD,
            **options,
        )
        return repeated(factors.tolist())
    raise ConfigError(
        f"DATALOADER.SAMPLER_TRAIN: {name!r} is not supported; there are TrainingSampler and "
        "RepeatFactorTrainingSampler"
    )


def aspect_ratio_groups(records: Sequence[dict]) -> list[int]:
    """0 for images wider than high and 1 for the others, as Detectron2 groups them.

    Raises:
        ConfigError: a record has no width or height.
    """
    for record in records:
        if "width" not in record or "height" not in record:
            raise ConfigError(
                "DATALOADER.ASPECT_RATIO_GROUPING needs the 'width' and 'height' of every record; that of "
                f"{record.get('file_name')} has none. Set it to False."
            )
    return [0 if record["width"] > record["height"] else 1 for record in records]


def batches_of_one_size(indices: Iterable[int], records: Sequence[dict], batch_size: int) -> list[list[int]]:
    """Divide indices into batches of images that have one size, those of the first image first.

    Args:
        indices: of records.
        records: with ``width`` and ``height``; one without is a batch of its own.
        batch_size: the most images of a batch.

    Raises:
        ConfigError: ``batch_size`` is less than 1.
    """
    require(batch_size >= 1, "TEST.IMS_PER_BATCH", batch_size, "at least 1")
    batches: list[list[int]] = []
    open_batch: dict[tuple[int | None, int | None], list[int]] = {}
    for index in indices:
        size = records[index].get("width"), records[index].get("height")
        batch = None if None in size else open_batch.get(size)
        if batch is None or len(batch) == batch_size:
            batch = open_batch[size] = []
            batches.append(batch)
        batch.append(index)
    return batches
