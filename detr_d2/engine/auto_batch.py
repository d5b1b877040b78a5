"""The largest batch that fits into the GPU's memory, found by trying."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils import comm

from ..checkpoint import DetrCheckpointer
from ..data.augmentation import truncated_size
from ..data.loader import load_training_records
from ..data.records import Records, count_objects
from ..errors import ConfigError
from ..modeling.normalizers import LossNormalizers
from ..modeling.precision import training_dtype
from .hooks import quick_content
from .optimizer import build_optimizer

_LOGGER = logging.getLogger(__name__)

# Of the GPU's memory: what is not tried here (gradients on their way to other processes, evaluation, other
# programs, memory in pieces) has the rest.
_SHARE = 0.9
# Images of a process and micro-batch beyond which nothing is tried.
_MOST = 512


def batch_that_fits(cfg: CfgNode, resume: bool = False) -> int:
    """What SOLVER.IMS_PER_BATCH is with SOLVER.AUTO_BATCH; every process calls it.

    Args:
        cfg: with its data sets registered.
        resume: take the batch of the training in OUTPUT_DIR, if there is one.

    Raises:
        ConfigError: there is no GPU, or not even one image fits.
        DataError: DATASETS.TRAIN cannot be used.
    """
    before = _batch_of_training(cfg) if resume else None
    if before is not None:
        return before
    check_auto_batch(cfg)
    records = load_training_records(cfg)
    parts = comm.get_world_size() * cfg.SOLVER.ACCUMULATION_STEPS
    with torch.random.fork_rng():
        found = largest_batch(TrialStep(cfg, records), max(1, min(_MOST, len(records) // parts)))
    fitting = min(comm.all_gather(found))
    if fitting == 0:
        raise ConfigError(
            "--batch auto (SOLVER.AUTO_BATCH): not even one image fits into the GPU's memory. Make images "
            "smaller (INPUT.MIN_SIZE_TRAIN, INPUT.MAX_SIZE_TRAIN), or compute with SOLVER.AMP.ENABLED True"
        )
    _LOGGER.info("Batch by trying: %d images fit at a time, which makes %d", fitting, fitting * parts)
    return fitting * parts


def check_auto_batch(cfg: CfgNode) -> None:
    """
    Raises:
        ConfigError: SOLVER.AUTO_BATCH is asked for without a GPU.
    """
    if cfg.SOLVER.AUTO_BATCH and not cfg.MODEL.DEVICE.startswith("cuda"):
        raise ConfigError(
            f"--batch auto (SOLVER.AUTO_BATCH) tries what fits into a GPU's memory, and MODEL.DEVICE is "
            f"{cfg.MODEL.DEVICE!r}: name a batch, such as --batch 8"
        )


def _batch_of_training(cfg: CfgNode) -> int | None:
    """SOLVER.IMS_PER_BATCH of the last checkpoint in OUTPUT_DIR, where there is one."""
    checkpointer = DetrCheckpointer(torch.nn.Module(), cfg.OUTPUT_DIR, save_to_disk=False)
    if not checkpointer.has_checkpoint():
        return None
    state = quick_content(os.path.abspath(checkpointer.get_checkpoint_file())).get("trainer", {})
    batch = state.get("data", {}).get("SOLVER.IMS_PER_BATCH")
    return batch if isinstance(batch, int) else None


def largest_batch(used: Callable[[int], float], most: int) -> int:
    """The largest batch that leaves some memory, by doubling and then halving the distance.

    Args:
        used: the share of the memory that a batch needs; grows with it.
        most: beyond which nothing is tried; at least 1.

    Returns:
        from 1 to ``most``; 0 where not even 1 fits.
    """

    def fits(batch: int) -> bool:
        try:
            return used(batch) <= _SHARE
        except torch.OutOfMemoryError:
            return False

    fitting, tried = 0, 1
    while fits(tried):
        fitting = tried
        if tried == most:
            return most
        tried = min(2 * tried, most)
    while tried - fitting > 1:
        middle = (fitting + tried) // 2
        if fits(middle):
            fitting = middle
        else:
            tried = middle
    return fitting


class TrialStep:
    """A step of training on images as large, and with as many objects, as a batch may have.

    Args:
        cfg: of the training.
        records: of its images.
    """

    def __init__(self, cfg: CfgNode, records: Records):
        alone = cfg.clone()
        alone.defrost()
        if alone.MODEL.RESNETS.NORM == "SyncBN":  # processes may not wait for each other here
            alone.MODEL.RESNETS.NORM = "BN"
        self.size = largest_size(cfg, records)
        self.objects = max(map(count_objects, records))
        self._model = build_model(alone).train()
        self._optimizer = build_optimizer(alone, self._model)
        self._amp = training_dtype(cfg)
        self._masks = cfg.MODEL.MASK_ON

    def __call__(self, batch: int) -> float:
        """The share of the GPU's memory that the step needs.

        Raises:
            torch.OutOfMemoryError: it needs more than there is.
        """
        device = torch.device(self._optimizer.param_groups[0]["params"][0].device)
        try:
            for _ in range(2):  # the optimizer has its state after the first
                self._step([self._image() for _ in range(batch)], device)
            return used_share(device)
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            free(device)

    def _step(self, images: list[dict[str, Any]], device: torch.device) -> None:
        one = torch.ones((), device=device)
        with torch.autocast(device.type, self._amp, enabled=self._amp is not None):
            losses = self._model(images, normalizers=LossNormalizers(one, one))
        sum(losses.values()).backward()
        # The weights stay small: nothing is learned here.
        for group in self._optimizer.param_groups:
            group["lr"] = 0.0
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _image(self) -> dict[str, Any]:
        height, width = self.size
        instances = Instances(self.size)
        corners = torch.tensor([0.0, 0.0, width, height]).expand(self.objects, 4)
        instances.gt_boxes = Boxes(corners.clone())
        instances.gt_classes = torch.zeros(self.objects, dtype=torch.int64)
        if self._masks:
            instances.gt_masks = BitMasks(torch.ones(self.objects, *self.size, dtype=torch.bool))
        return {"image": torch.zeros(3, *self.size, dtype=torch.uint8), "instances": instances}


def largest_size(cfg: CfgNode, records: Records) -> tuple[int, int]:
    """(height, width) to which a batch of training images may be padded. Crops may have any shape."""
    shorter, longer = max(cfg.INPUT.MIN_SIZE_TRAIN), cfg.INPUT.MAX_SIZE_TRAIN
    if cfg.INPUT.AUGMENTATION == "strong" or (cfg.INPUT.CROP.ENABLED and cfg.INPUT.AUGMENTATION != "light"):
        return longer, longer
    if shorter == 0:  # images are not resized
        sizes = [(record["height"], record["width"]) for record in records]
    else:
        sizes = [truncated_size(record["height"], record["width"], shorter, longer) for record in records]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def used_share(device: torch.device) -> float:
    """Of the GPU's memory, what was reserved at most since :func:`free`, and what others hold."""
    there, total = torch.cuda.mem_get_info(device)
    others = total - there - torch.cuda.memory_reserved(device)
    return (torch.cuda.max_memory_reserved(device) + others) / total


def free(device: torch.device) -> None:
    """Give back what is no longer used."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
