"""Decoders; each is one file, and a subclass of the plain one."""

from .plain import Decoder, DecoderLayer

# What MODEL.DETR.DECODER may name. Add your own: DECODERS["mine"] = MyDecoder.
DECODERS: dict[str, type[Decoder]] = {"detr": Decoder}

__all__ = ["DECODERS", "Decoder", "DecoderLayer"]
