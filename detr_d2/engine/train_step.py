"""One iteration of training: forward, backward and update, over one or more micro-batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import ConfigError, NonFiniteError
from .optimizer import GradientClipper
from .step_report import StepReport, image_names

Batch = list[dict[str, Any]]

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
    return _DTYPES[name]


class TrainStep:
    """Runs iterations; Detectron2's ``SimpleTrainer`` and ``AMPTrainer`` in one, on any device.

    The gradients of the micro-batches of an iteration are summed. Where the model offers
    ``loss_normalizers``, all micro-batches on all processes are divided by joint counts, which makes
    the sum the gradient of one large batch; else each micro-batch counts as one of equal weight.

    On the CPU a non-finite loss is found before the weights are touched. On a GPU the losses are read
    one iteration late, when they have long been computed, so that the device never waits; nothing is
    saved or evaluated before :meth:`finish` has looked at them.

    Args:
        model: returns a dict of losses in training; may be wrapped in ``DistributedDataParallel``.
        optimizer: of the model's trainable parameters.
        accumulation_steps: micro-batches of an iteration.
        amp_dtype: lower precision for ``torch.autocast``; None for full precision.
        clip_gradients: see :func:`~detr_d2.engine.optimizer.build_gradient_clipper`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        accumulation_steps: int = 1,
        amp_dtype: torch.dtype | None = None,
        clip_gradients: GradientClipper | None = None,
    ):
        if accumulation_steps < 1:
            raise ConfigError(f"SOLVER.ACCUMULATION_STEPS is {accumulation_steps}, but must be at least 1")
        self.model = model
        self.optimizer = optimizer
        self.accumulation_steps = accumulation_steps
        self.amp_dtype = amp_dtype
        self.clip_gradients = clip_gradients
        self.data_loader: Iterable[Batch] | None = None
        self.iter = 0
        self.device = next(model.parameters()).device
        scales = amp_dtype == torch.float16
        self.grad_scaler = torch.amp.GradScaler(self.device.type) if scales else None
        self._batches: Iterator[Batch] | None = None
        self._pending: StepReport | None = None

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
        if not self.model.training:
            self.model.train()
        start = time.perf_counter()
        micro_batches = [next(self._batches) for _ in range(self.accumulation_steps)]
        data_seconds = time.perf_counter() - start

        self.optimizer.zero_grad(set_to_none=True)
        losses = self._accumulate_gradients(micro_batches)
        self.finish()
        gradient_norm = self._clip()
        report = StepReport(self.iter, losses, gradient_norm, micro_batches, data_seconds)
        if self.device.type == "cpu":
            report.write(gradient_may_overflow=self.grad_scaler is not None)
        else:
            self._pending = report
        self._update()

    def finish(self) -> None:
        """Read and check the losses that are still pending, and write them to the event storage.

        Raises:
            NonFiniteError: as :meth:`run_step`.
        """
        report, self._pending = self._pending, None
        if report is not None:
            report.write(gradient_may_overflow=self.grad_scaler is not None)

    def _accumulate_gradients(self, micro_batches: list[Batch]) -> list[dict[str, Tensor]]:
        """Forward and backward of every micro-batch; returns the detached losses of each."""
        bare = self.model.module if isinstance(self.model, DistributedDataParallel) else self.model
        count: Callable[[list[Batch]], Any] | None = getattr(bare, "loss_normalizers", None)
        normalizers = None if count is None else count(micro_batches)
        extra = {} if normalizers is None else {"normalizers": normalizers}
        share = 1 / len(micro_batches) if normalizers is None else 1.0

        all_losses = []
        for index, batch in enumerate(micro_batches):
            last = index == len(micro_batches) - 1
            with nullcontext() if last else self._without_exchange():
                with self._autocast():
                    losses = self._forward(batch, extra)
                if share != 1.0:
                    losses = {name: loss * share for name, loss in losses.items()}
                total = torch.stack([loss.float() for loss in losses.values()]).sum()
                (total if self.grad_scaler is None else self.grad_scaler.scale(total)).backward()
            all_losses.append({name: loss.detach() for name, loss in losses.items()})
        return all_losses

    def _forward(self, batch: Batch, extra: dict[str, Any]) -> dict[str, Tensor]:
        try:
            return self.model(batch, **extra)
        except FloatingPointError as error:
            raise NonFiniteError(
                f"at iteration {self.iter}: {error} (batch: {image_names(batch)})"
            ) from error

    def _without_exchange(self) -> AbstractContextManager[Any]:
        """Processes exchange gradients once, with the last micro-batch."""
        if isinstance(self.model, DistributedDataParallel):
            return self.model.no_sync()
        return nullcontext()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

    def _clip(self) -> Tensor | None:
        if self.grad_scaler is not None:
            self.grad_scaler.unscale_(self.optimizer)
        if self.clip_gradients is None:
            return None
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        return self.clip_gradients(parameters)

    def _update(self) -> None:
        if self.grad_scaler is None:
            self.optimizer.step()
        else:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """State of the optimizer and, with float16, of the gradient scaler."""
        self.finish()
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
