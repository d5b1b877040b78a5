"""Decoders; each is one file, and a subclass of the plain one."""

from .conditional import ConditionalDecoder
from .dab import DabDecoder
from .plain import Decoder, DecoderLayer
from .rpb import RpbDecoder

# What MODEL.DETR.DECODER may name. Add your own: DECODERS["mine"] = MyDecoder.
DECODERS: dict[str, type[Decoder]] = {
    "detr": Decoder,
    "conditional": ConditionalDecoder,
    "dab": DabDecoder,
    "rpb": RpbDecoder,
}

__all__ = ["DECODERS", "ConditionalDecoder", "DabDecoder", "Decoder", "DecoderLayer", "RpbDecoder"]
