"""Checkpoint files: written whole, read without running what is in them, converted from known layouts."""

from .checkpointer import DetrCheckpointer
from .convert import from_detr_d2, to_detr_d2
from .imagenet import warn_of_random_frozen_backbone
from .layouts import LAYOUTS

__all__ = [
    "LAYOUTS",
    "DetrCheckpointer",
    "from_detr_d2",
    "to_detr_d2",
    "warn_of_random_frozen_backbone",
]
