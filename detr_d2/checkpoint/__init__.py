"""Checkpoint files: written whole, read without running what is in them, converted from known layouts."""

from .backbone import warn_of_random_frozen_backbone
from .checkpointer import DetrCheckpointer

__all__ = ["DetrCheckpointer", "warn_of_random_frozen_backbone"]
