"""Who gets metrics, pictures and config of a training, by the names of TRACKING.WRITERS."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, TensorboardXWriter

from ...errors import ConfigError, require
from .mlflow_run import MlflowRun
from .tracker import Tracker, new_scalars
from .wandb_run import WandbRun

__all__ = ["TRACKERS", "Tracker", "TrackerKind", "build_trackers", "new_scalars"]


class TrackerKind(NamedTuple):
    """A kind of tracker.

    Attributes:
        package: that it needs, as it is imported.
        extra: of detr_d2, which installs that.
        build: from a config.
    """

    package: str
    extra: str
    build: Callable[[CfgNode], EventWriter]


# In the order in which they write: Detectron2's writer for TensorBoard takes the pictures away.
TRACKERS = {
    "wandb": TrackerKind("wandb", "wandb", WandbRun),
    "mlflow": TrackerKind("mlflow", "mlflow", MlflowRun),
    "tensorboard": TrackerKind("tensorboard", "detectron2", lambda cfg: TensorboardXWriter(cfg.OUTPUT_DIR)),
}


def build_trackers(cfg: CfgNode) -> list[EventWriter]:
    """The writers that TRACKING.WRITERS names, none of which has begun yet.

    Raises:
        ConfigError: one is not known, or its package is missing.
    """
    names, pictures = tuple(cfg.TRACKING.WRITERS), cfg.TRACKING.PICTURES
    require(set(names) <= set(TRACKERS), "TRACKING.WRITERS", names, f"some of {', '.join(sorted(TRACKERS))}")
    require(pictures >= 0, "TRACKING.PICTURES", pictures, "0 or more")
    for name in names:
        kind = TRACKERS[name]
        if importlib.util.find_spec(kind.package) is None:
            raise ConfigError(
                f"TRACKING.WRITERS has {name!r}, whose package {kind.package} is not installed: "
                f"pip install 'detr_d2[{kind.extra}]', or leave it out"
            )
    return [kind.build(cfg) for name, kind in TRACKERS.items() if name in names]
