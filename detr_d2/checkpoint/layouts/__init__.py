"""The layouts of weights that are known, by name; in the order in which files are compared with them."""

from __future__ import annotations

from collections.abc import Iterable

from .huggingface import HUGGING_FACE_RESNET, HUGGING_FACE_TIMM
from .imagenet import DETECTRON2_RESNET, TORCHVISION_RESNET
from .layout import DETECTOR, Conversion, Layout
from .published import DETREX, OURS, PUBLISHED, WRAPPER
from .rows import HEAD, class_list

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        PUBLISHED,
        WRAPPER,
        HUGGING_FACE_TIMM,
        HUGGING_FACE_RESNET,
        DETREX,
        OURS,  # after those whose names are ours with something more
        TORCHVISION_RESNET,
        DETECTRON2_RESNET,
    )
}


def find_layout(names: Iterable[str]) -> Layout | None:
    """The layout that tensors of these names are in, or None."""
    names = list(names)
    return next((layout for layout in LAYOUTS.values() if layout.missing(names) is None), None)


__all__ = ["DETECTOR", "HEAD", "LAYOUTS", "OURS", "Conversion", "Layout", "class_list", "find_layout"]
