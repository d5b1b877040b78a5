"""The types of arithmetic: which a config may ask for, what the device has of them, where float32 stays."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.config import CfgNode

from ..errors import ConfigError, require

_LOGGER = logging.getLogger(__name__)

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
FLOAT32 = "float32"


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A context without ``torch.autocast``; nothing at all where it is off, as while a model is exported."""
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def training_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The type that SOLVER.AMP asks for; None for full precision, which a CPU without bfloat16 gets too.

    Raises:
        ConfigError: an unknown SOLVER.AMP.DTYPE, or float16 on a device other than CUDA.
    """
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    require(cfg.SOLVER.AMP.DTYPE in _DTYPES, "SOLVER.AMP.DTYPE", cfg.SOLVER.AMP.DTYPE, _one_of(_DTYPES))
    return _on_device("SOLVER.AMP.DTYPE", cfg.SOLVER.AMP.DTYPE, cfg.MODEL.DEVICE)


def inference_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The same of MODEL.DETR.INFERENCE_DTYPE.

    Raises:
        ConfigError: another value, or float16 on a device other than CUDA.
    """
    name = cfg.MODEL.DETR.INFERENCE_DTYPE
    require(name in (FLOAT32, *_DTYPES), "MODEL.DETR.INFERENCE_DTYPE", name, _one_of((FLOAT32, *_DTYPES)))
    return None if name == FLOAT32 else _on_device("MODEL.DETR.INFERENCE_DTYPE", name, cfg.MODEL.DEVICE)


def _on_device(key: str, name: str, device: str) -> torch.dtype | None:
    kind = torch.device(device).type
    if name == "float16" and kind != "cuda":
        raise ConfigError(f"{key} float16 needs a GPU, and MODEL.DEVICE is {device!r}: use bfloat16")
    if kind == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        _LOGGER.warning(
            "%s: this CPU has no instructions for bfloat16, which makes it many times slower than float32: "
            "float32 is used",
            key,
        )
        return None
    return _DTYPES[name]


def _one_of(names: Iterable[str]) -> str:
    return f"one of {', '.join(names)}"
