"""Inference in less time, with the same results: the backbone's statistics inside its convolutions."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.evaluation import inference_context
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights


class FastInference:
    """A detector to call in inference, whose convolutions have taken in the statistics that normalize them.

    (w * x + b - mean) / std · weight + bias is one convolution with other w and b. Logits differ from those
    of the model by some 1e-6, from the rounding of w. All else is the model's own: what is set on the model,
    or written into its weights, counts from the next call on.

    Args:
        model: a ``Detr`` in any mode, also wrapped for distributed training. It stays as it is.
    """

    def __init__(self, model: nn.Module):
        self._model: nn.Module = getattr(model, "module", model)
        self._backbone: nn.Module | None = None
        self._made_of: list[tuple[int, int]] = []

    def __call__(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of the model in evaluation mode, without gradients."""
        with inference_context(self._model) if self._model.training else nullcontext(), torch.no_grad():
            model = copy.copy(self._model)
            model._modules = {**self._model._modules, "backbone": self.backbone}
            return model(batched_inputs)

    @property
    def backbone(self) -> nn.Module:
        """The backbone's copy, made anew where a weight has changed since: averages are written in place."""
        backbone = self._model.get_submodule("backbone")
        made_of = [(tensor.data_ptr(), tensor._version) for tensor in _tensors(backbone)]
        if self._backbone is None or made_of != self._made_of:
            self._backbone, self._made_of = folded(backbone), made_of
        return self._backbone


def folded(backbone: nn.Module) -> nn.Module:
    """A copy in evaluation mode without the batch norms that follow a convolution.

    Args:
        backbone: stays as it is; what is not folded is shared with it.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in _tensors(backbone)}
    backbone = copy.deepcopy(backbone, shared).eval()
    convolutions: list[Any] = [x for x in backbone.modules() if isinstance(x, Conv2d) and _is_linear(x.norm)]
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


def _is_linear(norm: object) -> bool:
    """Whether it is one in inference."""
    return isinstance(norm, FrozenBatchNorm2d | _BatchNorm) and norm.running_mean is not None


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
