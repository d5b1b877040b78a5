"""What decides which images come when: kept in checkpoints, and compared when a training is resumed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm

_LOGGER = logging.getLogger(__name__)


def data_facts(cfg: CfgNode, data_loader: Any) -> dict[str, int]:
    """What the position of a loader of training data depends on, beside seed and iteration."""
    facts = {
        "SOLVER.IMS_PER_BATCH": cfg.SOLVER.IMS_PER_BATCH,
        "SOLVER.ACCUMULATION_STEPS": cfg.SOLVER.ACCUMULATION_STEPS,
        "number of processes": comm.get_world_size(),
    }
    dataset = getattr(data_loader, "dataset", None)
    if dataset is not None:
        facts["images in the data set"] = len(dataset)
    return facts


def warn_of_other_data(was: Mapping[str, int], now: Mapping[str, int]) -> None:
    """Say where a resumed training sees other images than an uninterrupted one would have."""
    changed = [f"{key}: {was[key]} -> {now[key]}" for key in was.keys() & now.keys() if was[key] != now[key]]
    if changed:
        _LOGGER.warning(
            "Resuming with other data than before (%s): which images come next is not what an "
            "uninterrupted training would have seen",
            ", ".join(changed),
        )
