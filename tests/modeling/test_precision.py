"""Which type of arithmetic the keys give on which device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from detectron2.config import CfgNode

from detr_d2.errors import ConfigError
from detr_d2.modeling.precision import inference_dtype, training_dtype

Reader = Callable[[CfgNode], "torch.dtype | None"]
KEYS = pytest.mark.parametrize(
    ("key", "read"),
    [("SOLVER.AMP.DTYPE", training_dtype), ("MODEL.DETR.INFERENCE_DTYPE", inference_dtype)],
)


def ask(cfg: CfgNode, key: str, value: str) -> CfgNode:
    cfg.SOLVER.AMP.ENABLED = True
    cfg.merge_from_list([key, value])
    return cfg


def test_both_are_full_precision_where_nothing_is_asked(tiny_config: CfgNode) -> None:
    assert training_dtype(tiny_config) is None
    assert inference_dtype(tiny_config) is None


@KEYS
@pytest.mark.parametrize("supported", [True, False])
def test_a_cpu_without_bfloat16_stays_with_float32_and_this_is_said(
    tiny_config: CfgNode,
    key: str,
    read: Reader,
    supported: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert read(ask(tiny_config, key, "bfloat16")) is (torch.bfloat16 if supported else None)
    assert (key in caplog.text) is not supported


@KEYS
@pytest.mark.parametrize("value", ["float16", "half"])
def test_what_cannot_be_had_is_refused_by_the_key(
    tiny_config: CfgNode, key: str, read: Reader, value: str
) -> None:
    with pytest.raises(ConfigError, match=key):
        read(ask(tiny_config, key, value))


@KEYS
def test_a_gpu_has_all(tiny_config: CfgNode, key: str, read: Reader) -> None:
    tiny_config.MODEL.DEVICE = "cuda"
    assert read(ask(tiny_config, key, "float16")) is torch.float16
    assert read(ask(tiny_config, key, "bfloat16")) is torch.bfloat16
