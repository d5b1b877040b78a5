"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import require


class ModelEma:
    """Average of a model's state over the iterations, recent ones weighing most.

    After the n-th update (counted from 0) the average is ``d * average + (1 - d) * weights`` with
    ``d = min(decay, (1 + n) / (10 + n))``, so that it soon forgets the random start. Parameters and
    floating-point buffers are averaged; other buffers (counters) are taken as they are.

    Args:
        model: the model that is trained, not wrapped for distributed training.
        decay: share of the old average that an update keeps in the long run, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        require(0 <= decay < 1, "SOLVER.EMA.DECAY", decay, "in [0, 1)")
        self.decay = decay
        self.num_updates = 0
        self._model = model
        self._average = _copy(model.state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights into the average."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        state = self._model.state_dict()
        averaged = [name for name, tensor in state.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [self._average[name] for name in averaged], [state[name] for name in averaged], 1 - decay
        )
        for name in state.keys() - averaged:
            self._average[name].copy_(state[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the model has the averaged weights; afterwards its own again, bit for bit."""
        raw = _copy(self._model.state_dict())
        _assign(self._model.state_dict(), self._average)
        try:
            yield
        finally:
            _assign(self._model.state_dict(), raw)

    def average(self) -> dict[str, Tensor]:
        """The averaged weights, under the names of the model's state dict."""
        return dict(self._average)

    def state_dict(self) -> dict[str, Any]:
        """The number of updates and the *raw* weights: a checkpoint has the average as its ``model``."""
        return {"num_updates": self.num_updates, "raw_model": dict(self._model.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`, after the checkpoint's ``model`` was loaded into the model.

        What the model holds becomes the average, and the raw weights go into the model.

        Raises:
            KeyError: a raw weight is missing.
        """
        self.restart()
        self.num_updates = state["num_updates"]
        _assign(self._model.state_dict(), state["raw_model"])

    def restart(self) -> None:
        """Begin again with the model's present weights, as after loading pre-trained ones."""
        self.num_updates = 0
        _assign(self._average, self._model.state_dict())


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}


@torch.no_grad()
def _assign(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
