"""What an iteration of training reports: its losses to the event storage, or why they are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..errors import NonFiniteError


@dataclass
class StepReport:
    """The numbers of one iteration, still on their device.

    Attributes:
        iteration: number of the iteration.
        losses: of each micro-batch, scalars by name; they sum up to the iteration's.
        gradient_norm: before clipping, a scalar; None where it was not computed.
        micro_batches: the inputs, to name their images.
        data_seconds: time this process waited for its inputs.
    """

    iteration: int
    losses: list[dict[str, Tensor]]
    gradient_norm: Tensor | None
    micro_batches: list[list[dict[str, Any]]]
    data_seconds: float

    def __post_init__(self) -> None:
        self._names = list(self.losses[0])
        table = [torch.stack([losses[name].float() for name in self._names]) for losses in self.losses]
        self._table = torch.stack(table)  # micro-batch x name, this process's
        numbers = [self._table.sum(0)]
        if self.gradient_norm is not None:
            numbers.append(self.gradient_norm.detach().float().view(1))
        # Mean over processes; NaN in one is NaN in all, so that all stop at the same iteration.
        self._mean = torch.cat(numbers)
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(self._mean)
            self._mean /= comm.get_world_size()

    def write(self, gradient_may_overflow: bool = False) -> None:
        """Put total_loss, each loss, grad_norm and data_time into the event storage, under this iteration.

        Args:
            gradient_may_overflow: do not mind a non-finite gradient norm: with float16 the gradient
                scaler skips such an update.

        Raises:
            NonFiniteError: a number is not finite, on any process.
        """
        mean = self._mean.tolist()
        losses = dict(zip(self._names, mean, strict=False))
        norm = mean[len(self._names)] if self.gradient_norm is not None else None
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise NonFiniteError(self._non_finite_loss())
        if norm is not None and not math.isfinite(norm) and not gradient_may_overflow:
            raise NonFiniteError(
                f"the gradient became NaN or infinite at iteration {self.iteration}, with finite losses "
                f"({_listed(losses)}); images: {self._images()}"
            )
        if not comm.is_main_process():
            return
        storage = get_event_storage()
        now, storage.iter = storage.iter, self.iteration
        storage.put_scalar("data_time", self.data_seconds)
        storage.put_scalar("total_loss", sum(losses.values()))
        storage.put_scalars(**{name: loss for name, loss in losses.items() if name != "total_loss"})
        if norm is not None and math.isfinite(norm):
            storage.put_scalar("grad_norm", norm)
        storage.iter = now

    def _non_finite_loss(self) -> str:
        """Name the micro-batches whose losses are not finite, of all processes."""
        here = []
        rows = self._table.tolist()
        for batch, row in zip(self.micro_batches, rows, strict=True):
            if not all(math.isfinite(loss) for loss in row):
                losses = dict(zip(self._names, row, strict=True))
                here.append(f"{_listed(losses)}; images: {image_names(batch)}")
        everywhere = [text for texts in comm.all_gather(here) for text in texts]
        return f"the loss became NaN or infinite at iteration {self.iteration}: {' | '.join(everywhere)}"

    def _images(self) -> str:
        everywhere = comm.all_gather([image_names(batch) for batch in self.micro_batches])
        return ", ".join(names for process in everywhere for names in process)


def image_names(batch: Iterable[dict[str, Any]]) -> str:
    """The files of a batch, or the ids of its images where they have no file."""
    return ", ".join(str(x.get("file_name") or x.get("image_id") or "(unnamed)") for x in batch)


def _listed(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
