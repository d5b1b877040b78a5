"""Checkpoint files: written atomically, read in safe mode, ImageNet backbones renamed on the way."""

from .checkpointer import DetrCheckpointer
from .imagenet import warn_of_random_frozen_backbone

__all__ = ["DetrCheckpointer", "warn_of_random_frozen_backbone"]
