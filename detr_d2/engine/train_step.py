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
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import ConfigError, NonFiniteError
from .batch_norm import average_statistics
from .failed_step import Batch, Step
from .means import Means
from .optimizer import GradientClipper, gradient_norm
from .seeding import random_state

# Keeps a step that failed: the model, the step, names and values of its losses; returns the file's path.
StepKeeper = Callable[[nn.Module, Step, list[str], Tensor], str]

_LOGGER = logging.getLogger(__name__)

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The type that SOLVER.AMP asks for; None for full precision.

    Raises:
        ConfigError: an unknown SOLVER.AMP.DTYPE, or float16 on a device other than CUDA.
    """
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    name = cfg.SOLVER.AMP.DTYPE
    if name not in _DTYPES:
        raise ConfigError(f"SOLVER.AMP.DTYPE is {name!r}, but must be one of {', '.join(_DTYPES)}")
    if name == "float16" and torch.device(cfg.MODEL.DEVICE).type != "cuda":
        raise ConfigError(
            f"SOLVER.AMP.DTYPE float16 needs a GPU, and MODEL.DEVICE is {cfg.MODEL.DEVICE!r}: use bfloat16"
        )
    if torch.device(cfg.MODEL.DEVICE).type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        _LOGGER.warning(
            "This CPU has no instructions for bfloat16, which makes it many times slower than float32: "
            "set SOLVER.AMP.ENABLED False"
        )
    return _DTYPES[name]


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
        if accumulation_steps < 1:
            raise ConfigError(f"SOLVER.ACCUMULATION_STEPS is {accumulation_steps}, but must be at least 1")
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
        scales = amp_dtype == torch.float16
        self.grad_scaler = torch.amp.GradScaler(self.device.type) if scales else None
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
        self._update()
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
            with nullcontext() if last else self._without_exchange():
                with self._autocast():
                    losses: dict[str, Tensor] = self.model(batch, **extra)
                row = torch.stack([loss.float() for loss in losses.values()]) * share
                result.names = list(losses)
                result.rows.append(row.detach())
                result.broken.append(list(getattr(self.bare_model, "broken_images", ())))
                if last:
                    result.means = Means(torch.stack(result.rows).sum(0))
                total = row.sum()
                (total if self.grad_scaler is None else self.grad_scaler.scale(total)).backward()
        return result

    def clip(self) -> Tensor:
        """Clip the gradients; returns their norm before that, ()."""
        if self.grad_scaler is not None:
            self.grad_scaler.unscale_(self.optimizer)
        return self.clip_gradients([p for group in self.optimizer.param_groups for p in group["params"]])

    def _finite(self, step: Step, losses: Losses, norm_of_gradient: Means) -> dict[str, float]:
        """Metrics of a step, all of them finite.

        Raises:
            NonFiniteError: as :meth:`run_step`, on all processes together.
        """
        assert losses.means is not None
        metrics = dict(zip(losses.names, losses.means.read(), strict=True))
        if not all(map(math.isfinite, metrics.values())):
            raise NonFiniteError(
                f"the loss became NaN or infinite at iteration {step.iteration}: "
                f"{self._what_failed(step, losses)}"
            )
        metrics["total_loss"] = sum(metrics.values())
        (norm,) = norm_of_gradient.read()
        if math.isfinite(norm):
            return {**metrics, "grad_norm": norm}
        if self.grad_scaler is not None:  # it skips the update
            return metrics
        raise NonFiniteError(
            f"the gradient became NaN or infinite at iteration {step.iteration}, with finite losses: "
            f"{self._what_failed(step, losses)}"
        )

    def _what_failed(self, step: Step, losses: Losses) -> str:
        """The micro-batches whose losses are not finite, or else all of them, of all processes; each process
        that has one keeps its step. All processes are here together."""
        texts = []
        for batch, row, broken in zip(step.micro_batches, losses.rows, losses.broken, strict=True):
            values = dict(zip(losses.names, row.tolist(), strict=True))
            text = ", ".join(f"{name} {loss:.4g}" for name, loss in values.items())
            text += f"; images: {', '.join(broken) or image_names(batch)}"
            texts.append((not all(map(math.isfinite, values.values())), text))
        everywhere = comm.all_gather(texts)
        any_loss = any(failed for process in everywhere for failed, _ in process)
        concerned = [[text for failed, text in process if failed or not any_loss] for process in everywhere]
        kept = ""
        if concerned[comm.get_rank()] and self.keep is not None:
            try:
                path = self.keep(self.bare_model, step, losses.names, torch.stack(losses.rows))
                kept = f"; repeat it with: python -m detr_d2.tools.replay {path}"
            except Exception as error:  # must not hide what it is about
                kept = f"; it could not be kept in a file: {error}"
        said = " | ".join(text for process in concerned for text in process)
        return said + "".join(comm.all_gather(kept))

    def _without_exchange(self) -> AbstractContextManager[Any]:
        """Processes exchange gradients once, with the last micro-batch."""
        if isinstance(self.model, DistributedDataParallel):
            return self.model.no_sync()
        return nullcontext()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

    def _update(self) -> None:
        if self.grad_scaler is None:
            self.optimizer.step()
        else:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """State of the optimizer and, with float16, of the gradient scaler."""
        state = {"optimizer": self.optimizer.state_dict()}
        if self.grad_scaler is not None:
            state["grad_scaler"] = self.grad_scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            ConfigError: the optimizer had other parameter groups.
        """
        saved, own = state["optimizer"], self.optimizer.state_dict()
        saved_sizes = [(group.get("name"), len(group["params"])) for group in saved["param_groups"]]
        own_sizes = [(group.get("name"), len(group["params"])) for group in own["param_groups"]]
        if saved_sizes != own_sizes:
            raise ConfigError(
                f"cannot resume: the checkpoint's optimizer has parameter groups {saved_sizes}, this "
                f"configuration's has {own_sizes} (name, number of parameters). Resume with the same "
                "configuration, or start anew with the checkpoint as MODEL.WEIGHTS and another OUTPUT_DIR"
            )
        # How an update is computed depends on this machine, not on the one that wrote the checkpoint.
        runtime = ("fused", "foreach", "capturable", "differentiable")
        groups = [
            {**was, **{key: now[key] for key in runtime if key in now}}
            for was, now in zip(saved["param_groups"], own["param_groups"], strict=True)
        ]
        self.optimizer.load_state_dict({**saved, "param_groups": groups})
        if self.grad_scaler is not None and "grad_scaler" in state:
            self.grad_scaler.load_state_dict(state["grad_scaler"])


def image_names(batch: Iterable[dict[str, Any]]) -> str:
    """The files of a batch, or the ids of its images where they have no file."""
    return ", ".join(str(x.get("file_name") or x.get("image_id") or "(unnamed)") for x in batch)
