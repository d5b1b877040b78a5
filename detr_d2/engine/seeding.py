"""Random numbers of training as a function of seed, process and iteration.

A run that was stopped and resumed then draws what it would have drawn, and no random state is stored.
"""

from __future__ import annotations

import random

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
