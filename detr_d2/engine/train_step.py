"""One iteration of training: forward, backward and update, over one or more micro-batches."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import NonFiniteError, require
from ..modeling.targets import image_name
from .batch_norm import average_statistics
from .failed_step import Batch, Step
from .means import Means
from .optimizer import GradientClipper, gradient_norm
from .seeding import random_state

# Keeps a step that failed: the model, the step, names and values of its losses; returns the file's path.
StepKeeper = Callable[[nn.Module, Step, list[str], Tensor], str]

_LOGGER = logging.getLogger(__name__)


@dataclass
class Losses:
    """What came of a step's forward passes.

    Attributes:
        names: k of them.
        rows: of each micro-batch (k,) on the device, this process's.
        broken: of each micro-batch, the images whose predictions were not finite, as far as the model says.
        means: (k,), sums over the micro-batches, averaged over the processes.
    """

    names: list[str] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    broken: list[list[str]] = field(default_factory=list)
    means: Means | None = None


class TrainStep:
    """Runs iterations; Detectron2's ``SimpleTrainer`` and ``AMPTrainer`` in one, on any device.

    These two take one batch an iteration, look at the losses on the main process alone and wait for the
    device at each of them; their mixed precision is float16 on CUDA.

    The gradients of the micro-batches of an iteration are summed. Where the model offers
    ``loss_normalizers``, all micro-batches on all processes are divided by joint counts, which makes
    the sum the gradient of one large batch; else each micro-batch counts as one of equal weight.

    Losses and gradients that are not finite are found before the weights are touched. Processes exchange
    something only in the course of an iteration, all of them the same at the same place: the counts of
    objects, the losses, gradients with their norm, running statistics, and, where a loss or gradient is not
    finite in one and hence in all of them, which images it was.

    Args:
        model: returns a dict of losses in training; may be wrapped in ``DistributedDataParallel``.
        optimizer: of the model's trainable parameters.
        accumulation_steps: micro-batches of an iteration.
        amp_dtype: lower precision for ``torch.autocast``; None for full precision.
        clip_gradients: see :func:`~detr_d2.engine.optimizer.build_gradient_clipper`.
        keep: writes a file of a step that failed; None writes none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        accumulation_steps: int = 1,
        amp_dtype: torch.dtype | None = None,
        clip_gradients: GradientClipper = gradient_norm,
        keep: StepKeeper | None = None,
    ):
        require(accumulation_steps >= 1, "SOLVER.ACCUMULATION_STEPS", accumulation_steps, "at least 1")
        self.model = model
        self.bare_model = model.module if isinstance(model, DistributedDataParallel) else model
        self.optimizer = optimizer
        self.accumulation_steps = accumulation_steps
        self.amp_dtype = amp_dtype
        self.clip_gradients = clip_gradients
        self.keep = keep
        self.data_loader: Iterable[Batch] | None = None
        self.iter = 0
        self.device = next(model.parameters()).device
        self.grad_scaler = torch.amp.GradScaler(self.device.type, enabled=amp_dtype == torch.float16)
        self._batches: Iterator[Batch] | None = None

    def read_from(self, data_loader: Iterable[Batch]) -> None:
        """Take the micro-batches from now on from the start of ``data_loader``, which has no end."""
        self.data_loader = data_loader
        self._batches = iter(data_loader)

    def run_step(self) -> None:
        """One iteration; losses, gradient norm and waiting time go to the event storage.

        Raises:
            NonFiniteError: a loss or gradient is not finite; says which, where and with which images.
        """
        assert self._batches is not None, "call read_from() first"
        start = time.perf_counter()
        micro_batches = [next(self._batches) for _ in range(self.accumulation_steps)]
        data_seconds = time.perf_counter() - start

        count: Callable[[list[Batch]], Any] | None = getattr(self.bare_model, "loss_normalizers", None)
        normalizers = None if count is None else count(micro_batches)
        step = Step(self.iter, micro_batches, normalizers, random_state(self.device))
        losses = self.compute(step)
        norm_of_gradient = Means(self.clip().view(1))
        metrics = self._finite(step, losses, norm_of_gradient)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        average_statistics(self.model)
        if comm.is_main_process():
            get_event_storage().put_scalars(data_time=data_seconds, **metrics)

    def compute(self, step: Step) -> Losses:
        """Forward and backward of every micro-batch."""
        if not self.model.training:
            self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        extra = {} if step.normalizers is None else {"normalizers": step.normalizers}
        share = 1 / len(step.micro_batches) if step.normalizers is None else 1.0
        result = Losses()
        for index, batch in enumerate(step.micro_batches):
            last = index == len(step.micro_batches) - 1
            with self._exchange(last):
                with torch.autocast(self.device.type, self.amp_dtype, enabled=self.amp_dtype is not None):
                    losses: dict[str, Tensor] = self.model(batch, **extra)
                row = torch.stack([loss.float() for loss in losses.values()]) * share
                result.names = list(losses)
                result.rows.append(row.detach())
                broken = getattr(self.bare_model, "broken", ())
                result.broken.append([image_name(batch[number]) for number in broken])
                if last:
                    result.means = Means(torch.stack(result.rows).sum(0))
                self.grad_scaler.scale(row.sum()).backward()
        return result

    def clip(self) -> Tensor:
        """Clip the gradients; returns their norm before that, ()."""
        self.grad_scaler.unscale_(self.optimizer)
        return self.clip_gradients([p for group in self.optimizer.param_groups for p in group["params"]])

    def _exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once, with the last micro-batch."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()

    def _finite(self, step: Step, losses: Losses, norm_of_gradient: Means) -> dict[str, float]:
        """Metrics of a step, all of them finite.

        Raises:
            NonFiniteError: as :meth:`run_step`, on all processes together.
        """
        assert losses.means is not None
        metrics = dict(zip(losses.names, losses.means.read(), strict=True))
        (norm,) = norm_of_gradient.read()
        failed = ""
        if not all(map(math.isfinite, metrics.values())):
            failed = "loss"
        elif not (math.isfinite(norm) or self.grad_scaler.is_enabled()):  # which skips the update
            failed = "gradient (with finite losses)"
        if failed:
            raise NonFiniteError(
                f"the {failed} became NaN or infinite at iteration {step.iteration}: "
                f"{self._what_failed(step, losses)}"
            )
        metrics["total_loss"] = sum(metrics.values())
        return {**metrics, "grad_norm": norm} if math.isfinite(norm) else metrics

    def _what_failed(self, step: Step, losses: Losses) -> str:
        """The micro-batches whose losses are not finite, or else all of them, of all processes; each process
        that has one keeps its step. All processes are here together."""
        own: list[tuple[bool, str]] = []
        for batch, row, broken in zip(step.micro_batches, losses.rows, losses.broken, strict=True):
            values = ", ".join(f"{name} {x:.4g}" for name, x in zip(losses.names, row.tolist(), strict=True))
            images = ", ".join(broken or map(image_name, batch))
            own.append((not row.isfinite().all(), f"{values}; images: {images}"))
        everywhere = comm.all_gather(own)
        in_loss = any(failed for process in everywhere for failed, _ in process)
        said = [text for process in everywhere for failed, text in process if failed or not in_loss]
        concerned = any(failed for failed, _ in own) or not in_loss
        return " | ".join(said) + "".join(comm.all_gather(self._kept(step, losses) if concerned else ""))

    def _kept(self, step: Step, losses: Losses) -> str:
        """How to repeat a step, which is kept in a file."""
        if self.keep is None:
            return ""
        try:
            path = self.keep(self.bare_model, step, losses.names, torch.stack(losses.rows))
        except Exception as error:  # must not hide what it is about
            return f"; it could not be kept in a file: {error}"
        return f"; repeat it with: detr-d2 replay {path}"

    def state_dict(self) -> dict[str, Any]:
        """State of the optimizer and, with float16, of the gradient scaler."""
        return {"optimizer": self.optimizer.state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            ValueError: the optimizer had other parameter groups.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state["grad_scaler"])
