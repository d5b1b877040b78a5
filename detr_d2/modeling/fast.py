"""Inference in less time, with the same results: the backbone's statistics inside its convolutions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized

from .detr import Detr
from .precision import inference_dtype


def fast(cfg: CfgNode, model: nn.Module) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """What to call in inference: a ``Detr`` by way of :class:`FastInference`, any other model itself.

    Args:
        cfg: has MODEL.DETR.INFERENCE_DTYPE.
        model: see :class:`FastInference`.

    Raises:
        ConfigError: as :func:`~.precision.inference_dtype`.
    """
    if not isinstance(getattr(model, "module", model), Detr):
        return model
    return FastInference(model, inference_dtype(cfg))


class FastInference:
    """A detector to call in inference, whose convolutions have taken in the statistics that normalize them.

    (w * x + b - mean) / std · weight + bias is one convolution with other w and b. Logits differ from those
    of the model by some 1e-6, from the rounding of w. All else is the model's own: what is set on the model,
    or written into its weights, counts from the next call on (but for writes through ``Tensor.data``, which
    PyTorch does not count). A backbone that somebody watches with hooks is called itself.

    Args:
        model: a ``Detr`` in any mode, also wrapped for distributed training. It stays as it is.
        dtype: of the arithmetic, by automatic mixed precision; None for the weights' own. Scores and boxes
            are float32 all the same.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None):
        self._model: nn.Module = getattr(model, "module", model)
        self._dtype = dtype
        self._backbone: nn.Module | None = None
        self._made_of: list[tuple[Tensor, int]] = []  # held, so that no address is given out again

    def __call__(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of the model in evaluation mode, without gradients."""
        kind = next(self._model.parameters()).device.type
        mixed = nullcontext() if self._dtype is None else torch.autocast(kind, self._dtype)
        with (
            inference_context(self._model) if self._model.training else nullcontext(),
            torch.no_grad(),
            mixed,
        ):
            model = copy.copy(self._model)
            model._modules = {**self._model._modules, "backbone": self.backbone}
            return model(batched_inputs)

    @property
    def backbone(self) -> nn.Module:
        """The backbone's copy, made anew where a weight has changed since: averages are written in place."""
        backbone = self._model.get_submodule("backbone")
        if any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules()):
            return backbone
        made_of = [(x.detach(), 0 if x.is_inference() else x._version) for x in _tensors(backbone)]
        if self._backbone is None or not _same(made_of, self._made_of):
            self._backbone, self._made_of = folded(backbone), made_of
        return self._backbone


def folded(backbone: nn.Module) -> nn.Module:
    """A copy in evaluation mode without the batch norms that follow a convolution.

    Args:
        backbone: stays as it is; what is not folded is shared with it.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in _tensors(backbone)}
    backbone = copy.deepcopy(backbone, shared).eval()
    convolutions: list[Any] = [module for module in backbone.modules() if _can_be_folded(module)]
    for convolution in convolutions:
        norm = convolution.norm
        mean, var = norm.running_mean, norm.running_var
        weight, bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, mean, var, norm.eps, norm.weight, norm.bias
        )
        as_images = weight.detach().contiguous(memory_format=torch.channels_last)
        convolution.weight = nn.Parameter(as_images, requires_grad=False)
        convolution.bias = nn.Parameter(bias.detach(), requires_grad=False)
        convolution.norm = None
    return backbone


def _can_be_folded(module: nn.Module) -> bool:
    """Whether it is Detectron2's convolution, as it is, with a norm that is linear in inference."""
    if not isinstance(module, Conv2d) or type(module).forward is not Conv2d.forward:
        return False
    norm = module.norm
    is_linear = isinstance(norm, FrozenBatchNorm2d | _BatchNorm) and norm.running_mean is not None
    return is_linear and not is_parametrized(module)


def _same(one: list[tuple[Tensor, int]], other: list[tuple[Tensor, int]]) -> bool:
    keys = ([(tensor.data_ptr(), version) for tensor, version in each] for each in (one, other))
    return next(keys) == next(keys)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
