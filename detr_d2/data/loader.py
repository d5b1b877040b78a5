"""Loaders of training and test data, exactly reproducible with any number of workers."""

import itertools
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MetadataCatalog
from detectron2.data.build import print_instances_class_histogram, trivial_batch_collator
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from ..classes import match_classes
from ..errors import ConfigError, DataError
from .dataset_mapper import build_mapper
from .preflight.run import Needs, ensure_examined
from .records import Records, count_objects, load_records, objects_of
from .sampler import (
    Item,
    ReproducibleBatchSampler,
    aspect_ratio_groups,
    batches_of_one_size,
    build_epoch_order,
)

Mapper = Callable[[dict[str, Any]], dict[str, Any] | None]

# Other images to try when the mapper gives None, before giving up.
_REPLACEMENTS = 3


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's (CPU) random states, and restore them afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(int(seeds[1]))
    # Not torch.manual_seed, which would seed (and could initialize) the GPUs too.
    torch.default_generator.manual_seed(int(seeds[2]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class TrainingDataset(Dataset[dict[str, Any]]):
    """Mapped records by (index, position); random augmentation depends on (seed, position) alone.

    Args:
        records: of the data set; kept in serialized form, which worker processes share.
        mapper: called with a record. Where it gives None, other images are tried, which depend on (seed,
            position) alone.
        seed: not negative.
    """

    def __init__(self, records: Records, mapper: Mapper, seed: int) -> None:
        self.records = DatasetFromList(records, copy=False)
        self.mapper = mapper
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, item: Item) -> dict[str, Any]:
        """The model's input for one image.

        Raises:
            DataError: the mapper gave None for the image and for its replacements.
        """
        index, position = item
        replacements = np.random.default_rng([self.seed, position]).integers(len(self), size=_REPLACEMENTS)
        refused: list[str] = []
        for candidate in [index, *replacements.tolist()]:
            record = self.records[candidate]
            with seeded(self.seed, position):
                sample = self.mapper(record)
            if sample is not None:
                if refused:
                    logging.getLogger(__name__).warning(
                        "The mapper gave nothing for %s; %s is used instead.",
                        ", ".join(refused),
                        record["file_name"],
                    )
                return sample
            refused.append(str(record["file_name"]))
        raise DataError(f"The mapper gave nothing for any of these images: {', '.join(refused)}")


class EvaluationDataset(Dataset[dict[str, Any]]):
    """Mapped records by index. No image is ever replaced by another one."""

    def __init__(self, records: Records, mapper: Mapper) -> None:
        self.records = DatasetFromList(records, copy=False)
        self.mapper = mapper

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The model's input for one image.

        Raises:
            DataError: the mapper gave None.
        """
        record = self.records[index]
        sample = self.mapper(record)
        if sample is None:
            raise DataError(f"The mapper gave nothing for {record['file_name']}, which is to be evaluated.")
        return sample


def build_detr_train_loader(
    cfg: CfgNode, mapper: Mapper | None = None, start_iter: int = 0, seed: int | None = None
) -> DataLoader[dict[str, Any]]:
    """The endless loader of ``DATASETS.TRAIN``.

    Each batch is a list of ``IMS_PER_BATCH / (processes * ACCUMULATION_STEPS)`` dicts for this process, and
    a pure function of the seed, the rank, the number of processes and the batch's number.

    Args:
        cfg: a config with detr_d2's keys.
        mapper: None means the one that ``INPUT.DATASET_MAPPER_NAME`` names.
        start_iter: iterations done already; their batches are passed over.
        seed: the same on every process; None means ``SEED``, or a random one where that is negative.

    Raises:
        DataError: a data set cannot be used.
        ConfigError: a config key with a value that cannot be used.
    """
    batch_size = micro_batch_size(cfg)
    records = load_training_records(cfg)
    if mapper is None:
        mapper = build_mapper(cfg, is_train=True)
    if seed is None:
        seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    sampler = ReproducibleBatchSampler(
        build_epoch_order(cfg, records),
        batch_size,
        seed,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
        groups=aspect_ratio_groups(records) if cfg.DATALOADER.ASPECT_RATIO_GROUPING else None,
        start_batch=start_iter * cfg.SOLVER.ACCUMULATION_STEPS,
    )
    return DataLoader(
        TrainingDataset(records, mapper, seed),
        batch_sampler=sampler,
        **_worker_options(cfg.DATALOADER.NUM_WORKERS),
    )


def build_detr_test_loader(
    cfg: CfgNode,
    dataset_name: str,
    mapper: Mapper | None = None,
    adapt: Callable[[Records], Records] | None = None,
) -> DataLoader[dict[str, Any]]:
    """The loader of one data set for evaluation, each image once, split over the processes.

    A batch is of TEST.IMS_PER_BATCH images of one size at most: padding would change the model's output.

    Args:
        cfg: a config with detr_d2's keys.
        dataset_name: one of ``DatasetCatalog``.
        mapper: None means the one that ``INPUT.DATASET_MAPPER_NAME`` names.
        adapt: gives the records to take in place of the data set's.

    Raises:
        DataError: the data set cannot be used.
        ConfigError: a config key with a value that cannot be used.
    """
    ensure_examined(dataset_name, Needs.of(cfg, training=False))
    records = load_records(dataset_name)
    if adapt is not None:
        records = adapt(records)
    if mapper is None:
        mapper = build_mapper(cfg, is_train=False)
    return DataLoader(
        EvaluationDataset(records, mapper),
        batch_sampler=batches_of_one_size(InferenceSampler(len(records)), records, cfg.TEST.IMS_PER_BATCH),
        **_worker_options(cfg.DATALOADER.NUM_WORKERS),
    )


def micro_batch_size(cfg: CfgNode) -> int:
    """Images that a process sees in one forward pass of training.

    Raises:
        ConfigError: ``SOLVER.IMS_PER_BATCH`` cannot be divided so.
    """
    total, steps, processes = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS, comm.get_world_size()
    if steps < 1 or total < 1 or total % (steps * processes):
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH ({total}) must be a multiple of SOLVER.ACCUMULATION_STEPS ({steps}) times "
            f"the number of processes ({processes})"
        )
    return total // (steps * processes)


def load_training_records(cfg: CfgNode) -> Records:
    """The records of all data sets of ``DATASETS.TRAIN``, checked, filtered as the config says.

    Raises:
        DataError: a data set cannot be used, or none is named, or nothing is left.
    """
    names = list(cfg.DATASETS.TRAIN)
    if not names:
        raise DataError("DATASETS.TRAIN is empty: name at least one data set to train on.")
    loaded = []
    for name in names:
        ensure_examined(name, Needs.of(cfg, training=True))
        loaded.append(numbered_as(names[0], name, load_records(name)))
    records = list(itertools.chain.from_iterable(loaded))
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        total = len(records)
        records = [record for record in records if count_objects(record)]
        logging.getLogger(__name__).info(
            "%d of %d images have no object and are left out.", total - len(records), total
        )
        if not records:
            raise DataError(
                f"No image of {', '.join(names)} has an object, so DATALOADER.FILTER_EMPTY_ANNOTATIONS "
                "leaves none."
            )
    classes = MetadataCatalog.get(names[0]).get("thing_classes", None)
    if classes is not None:
        print_instances_class_histogram([{"annotations": objects_of(record)} for record in records], classes)
    return records


def numbered_as(first: str, name: str, records: Records) -> Records:
    """The records of a data set with the class numbers of the first one, which are the model's.

    Raises:
        DataError: a class is not one of the first data set's; shows both lists.
    """
    model, own = (list(MetadataCatalog.get(one).get("thing_classes", None) or ()) for one in (first, name))
    if not model or not own or model == own:
        return records
    used = {item["category_id"] for record in records for item in objects_of(record)}
    numbers = {there: number for number, there in match_classes(model, own, sorted(used), name).items()}
    key = "annotations" if "annotations" in records[0] else "segments_info"
    return [
        {**record, key: [{**x, "category_id": numbers[x["category_id"]]} for x in objects_of(record)]}
        for record in records
    ]


def _worker_options(num_workers: int) -> dict[str, Any]:
    """Options of both loaders. The generator is there because a loader draws a seed for its workers from it,
    which would otherwise come from, and change, the process's random state."""
    return {
        "num_workers": num_workers,
        "collate_fn": trivial_batch_collator,  # the model pads images of different sizes
        "worker_init_fn": _one_thread,
        "persistent_workers": num_workers > 0,
        "generator": torch.Generator().manual_seed(0),
    }


def _one_thread(worker_id: int) -> None:
    """Workers are the parallelism; threads inside them would only compete with the model's."""
    torch.set_num_threads(1)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(0)
