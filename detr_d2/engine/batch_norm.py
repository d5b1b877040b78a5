"""Batch norm in several processes."""

from __future__ import annotations

import logging

import torch
from detectron2.layers import NaiveSyncBatchNorm
from detectron2.utils import comm
from torch import nn

_LOGGER = logging.getLogger(__name__)


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Give every process the mean of all processes' running statistics.

    With NORM "BN" each process normalizes by its own images. Running statistics are linear in those of the
    batches, so averaging them after every iteration is as if one process had counted the batches of all.
    What any process saves, evaluates or takes into an average is then the same. Exact for any sizes of
    images. All processes call it at the same place of an iteration.

    Args:
        model: those of its normalization layers that are in training mode.
    """
    if comm.get_world_size() == 1:
        return
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.training]
    statistics = [x for m in layers for x in (m.running_mean, m.running_var) if x is not None]
    if not statistics:
        return
    means = torch.cat([x.flatten() for x in statistics])
    torch.distributed.all_reduce(means)
    means /= comm.get_world_size()
    for x, mean in zip(statistics, means.split([x.numel() for x in statistics]), strict=True):
        x.copy_(mean.view_as(x))


def use_sync_batch_norm_of_cpu(model: nn.Module) -> None:
    """Replace PyTorch's ``SyncBatchNorm`` (NORM "SyncBN"), which refuses the CPU, where a model is there.

    Detectron2's ``NaiveSyncBatchNorm`` takes its place, with the same weights. It weighs each process by its
    number of images: the statistics are those of the joint batch only where all processes' batches have the
    same height and width.
    """
    replaced = 0
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.SyncBatchNorm) and layer.weight.device.type == "cpu":
                naive = NaiveSyncBatchNorm(
                    layer.num_features, eps=layer.eps, momentum=layer.momentum, stats_mode="N"
                )
                for state in (layer._parameters, layer._buffers):
                    for key, tensor in state.items():
                        setattr(naive, key, tensor)
                setattr(parent, name, naive.train(layer.training))
                replaced += 1
    if replaced and comm.get_world_size() > 1:
        _LOGGER.warning(
            "NORM SyncBN on the CPU: Detectron2's NaiveSyncBatchNorm is used in %d layers, which is exact "
            "only where all processes' batches have the same height and width",
            replaced,
        )
