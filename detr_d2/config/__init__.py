"""Config keys that detr_d2 adds to Detectron2's defaults.

The names under ``MODEL.DETR``, ``SOLVER.OPTIMIZER`` and ``SOLVER.BACKBONE_MULTIPLIER`` are those of
the official Detectron2 wrapper, so that its YAML files load. Default values are the published recipe
(Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020, appendix A.4).
"""

from detectron2.config import CfgNode

from .data import add_data_keys
from .model import add_model_keys
from .training import add_training_keys

__all__ = ["add_detr_config"]


def add_detr_config(cfg: CfgNode) -> None:
    """Add detr_d2's keys, with the published recipe as defaults, to ``cfg`` in place.

    Args:
        cfg: what ``detectron2.config.get_cfg()`` returns.
    """
    add_model_keys(cfg)
    add_data_keys(cfg)
    add_training_keys(cfg)
