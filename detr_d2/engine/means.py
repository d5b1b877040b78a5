"""Means over processes that the host reads while the device goes on."""

from __future__ import annotations

import torch
from detectron2.utils import comm
from torch import Tensor


class Means:
    """Scalars averaged over the processes, on their way to the host.

    All processes make one at the same place of an iteration. What is NaN or infinite in one process is so in
    all of them, which lets them stop together. From a GPU the numbers are copied into pinned memory behind
    what it computes then, so that work that is queued afterwards does not delay them.

    Args:
        values: (n,), this process's.
    """

    def __init__(self, values: Tensor):
        means = values.detach().float().clone()
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(means)
            means /= comm.get_world_size()
        self._on_host = means
        self._copied: torch.cuda.Event | None = None
        if means.is_cuda:
            self._on_host = torch.empty(means.shape, dtype=means.dtype, pin_memory=True)
            self._on_host.copy_(means, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def read(self) -> list[float]:
        """The means; waits for them alone."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._on_host.tolist()
