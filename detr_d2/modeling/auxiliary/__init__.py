"""Auxiliary supervision, in training alone; each kind is one file."""

from .auxiliary import Auxiliary
from .denoising import Denoising
from .encoder import EncoderSupervision
from .groups import QueryGroups

# What MODEL.DETR.AUXILIARY may list. Add your own: AUXILIARIES["mine"] = MyAuxiliary.
AUXILIARIES: dict[str, type[Auxiliary]] = {
    "denoising": Denoising,
    "encoder": EncoderSupervision,
    "groups": QueryGroups,
}

__all__ = ["AUXILIARIES", "Auxiliary", "Denoising", "EncoderSupervision", "QueryGroups"]
