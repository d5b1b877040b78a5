"""Checkpoint files: written whole, read without running what is in them, converted from known layouts."""

from .checkpointer import DetrCheckpointer
from .imagenet import warn_of_random_frozen_backbone

__all__ = ["DetrCheckpointer", "warn_of_random_frozen_backbone"]
