"""Random numbers of training as a function of seed, process and iteration.

A run that was stopped and resumed then draws what it would have drawn, and no random state is stored.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm


def draw_seed(configured: int) -> int:
    """The run's seed: the configured one, or where that is negative a random one, equal on all processes."""
    return configured if configured >= 0 else int(comm.shared_random_seed())


def seed_iteration(seed: int, iteration: int) -> None:
    """Seed Python, NumPy and PyTorch (all devices) for one iteration of this process."""
    sequence = np.random.SeedSequence([seed, comm.get_rank(), iteration])
    low, high = (int(word) for word in sequence.generate_state(2, np.uint64))
    torch.manual_seed(low)
    np.random.seed(high % 2**32)
    random.seed(high)


def random_state(device: torch.device) -> dict[str, Any]:
    """The random states of Python, NumPy and PyTorch (the CPU, and a GPU where that is the device)."""
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "seed": torch.initial_seed(),
        "cpu": torch.get_rng_state(),
    }
    return {**state, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go back to :func:`random_state`. Another device than it was of is seeded as that one had been."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.manual_seed(state["seed"])
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
