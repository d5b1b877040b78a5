"""DETR as a Detectron2 meta-architecture.

``import detr_d2`` makes Detectron2 v0.6 run on today's libraries (:mod:`detr_d2.compat`), registers the
models, data mappers, data sets and ``detr://`` weights with Detectron2, and does nothing else. On v0.6 it
must come before the first ``import detectron2``.
"""

# Comes first: what follows imports Detectron2.
from . import compat  # noqa: F401

# isort: split
from . import data, model_zoo, modeling, shapes  # noqa: F401
from .config import add_detr_config

__version__ = "0.1.0"

__all__ = ["__version__", "add_detr_config"]
