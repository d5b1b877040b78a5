"""Names inside a ResNet: torchvision's (and timm's) and Hugging Face's, beside Detectron2's."""

from __future__ import annotations

from .names import Names

TORCHVISION: Names = (
    ("conv1", "stem.conv1"),
    ("bn1", "stem.conv1.norm"),
    *((f"layer{stage}.#.conv#", f"res{stage + 1}.#.conv#") for stage in range(1, 5)),
    *((f"layer{stage}.#.bn#", f"res{stage + 1}.#.conv#.norm") for stage in range(1, 5)),
    *((f"layer{stage}.#.downsample.0", f"res{stage + 1}.#.shortcut") for stage in range(1, 5)),
    *((f"layer{stage}.#.downsample.1", f"res{stage + 1}.#.shortcut.norm") for stage in range(1, 5)),
)

DETECTRON2: Names = (
    ("stem", "stem"),
    *((f"res{stage}", f"res{stage}") for stage in range(2, 6)),
)


def _hugging_face() -> Names:
    names = [
        ("embedder.embedder.convolution", "stem.conv1"),
        ("embedder.embedder.normalization", "stem.conv1.norm"),
    ]
    for stage in range(4):
        block, ours = f"encoder.stages.{stage}.layers.#", f"res{stage + 2}.#"
        names += [
            (f"{block}.shortcut.convolution", f"{ours}.shortcut"),
            (f"{block}.shortcut.normalization", f"{ours}.shortcut.norm"),
        ]
        for conv in range(3):
            names += [
                (f"{block}.layer.{conv}.convolution", f"{ours}.conv{conv + 1}"),
                (f"{block}.layer.{conv}.normalization", f"{ours}.conv{conv + 1}.norm"),
            ]
    return tuple(names)


HUGGING_FACE: Names = _hugging_face()
