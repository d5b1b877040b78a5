"""DN-DETR's own code with random weights, on the CPU.

``PUBLISHED_DN_DETR`` names a folder that holds a clone of github.com/IDEA-Research/DN-DETR (ff3902a). None of
it is part of this project, so these tests are skipped without it, and say so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .isolated import packages
from .variants import DIM, FEEDFORWARD, HEADS, LAYERS, QUERIES, denoised, randomize

FOLDER = os.environ.get("PUBLISHED_DN_DETR", "")

requires_dn_detr = pytest.mark.skipif(
    not FOLDER, reason="PUBLISHED_DN_DETR names no clone of github.com/IDEA-Research/DN-DETR"
)


@contextmanager
def importing() -> Iterator[Any]:
    """A function that imports a module of it, without its deformable models and their compiled operators."""
    nothing = {"DropPath": None, "to_2tuple": None, "trunc_normal_": None}
    stubs = {"timm": {}, "timm.models": {}, "timm.models.layers": nothing}
    with packages(FOLDER, ["models", "models.DN_DAB_DETR", "util"], stubs) as load:
        yield load


@contextmanager
def without_cuda() -> Iterator[None]:
    """Let its ``.cuda()`` and ``.to("cuda")`` leave tensors where they are."""
    cuda, to = Tensor.cuda, Tensor.to
    Tensor.cuda = lambda self, *args, **options: self  # type: ignore[method-assign]
    Tensor.to = lambda self, *args, **options: self if args == ("cuda",) else to(self, *args, **options)  # type: ignore
    try:
        yield
    finally:
        Tensor.cuda, Tensor.to = cuda, to  # type: ignore[method-assign]


class Published:
    """Its model, loss and everything between.

    Args:
        num_classes: C.
        channels: of the features that it is given.
    """

    def __init__(self, num_classes: int, channels: int):
        with importing() as load:
            model = load("models.DN_DAB_DETR.DABDETR")
            transformer = load("models.DN_DAB_DETR.transformer").Transformer(
                DIM, HEADS, QUERIES, 2, LAYERS, FEEDFORWARD, 0.0, "prelu", return_intermediate_dec=True
            )
            position = load("models.DN_DAB_DETR.position_encoding")
            self._nested = load("util.misc").NestedTensor
        self._loss = model.compute_dn_loss
        self._encoding = position.PositionEmbeddingSineHW(DIM // 2, 20, 20, normalize=True)
        self.model = model.DABDETR(Source(self, channels), transformer, num_classes, QUERIES, aux_loss=True)
        randomize(self.model)
        self.model.train()

    def predict(
        self, features: Tensor, padding: Tensor, targets: list[dict[str, Tensor]], groups: int
    ) -> tuple[dict[str, Any], tuple[Tensor, Tensor], dict[str, Tensor]]:
        """What it predicts with the noise of :func:`.variants.denoised`.

        Args:
            features: (B, channels, h, w).
            padding: (B, H, W) bool of the images, True on padding.
            targets: labels and boxes of each image.
            groups: of denoising.

        Returns:
            the outputs of the queries, logits and boxes of those that denoise, and their losses.
        """
        mask = F.interpolate(padding[None].float(), size=features.shape[-2:]).bool()[0]
        nested = self._nested(features, mask)
        self.output = [nested], [self._encoding(nested)]
        noised = []
        for target in targets:
            labels, boxes = denoised(target["labels"], target["boxes"])
            noised.append({"labels": labels, "boxes": boxes})
        with torch.no_grad(), without_cuda():
            outputs, mask_dict = self.model(None, dn_args=(noised, groups, 0.0, 0.0, 0))
            labels, boxes = (torch.cat([t[name] for t in targets]) for name in ("labels", "boxes"))
            mask_dict["known_lbs_bboxes"] = (labels.repeat(groups), boxes.repeat(groups, 1))
            losses = self._loss(mask_dict, True, LAYERS - 1, 0.25)
        return outputs, mask_dict["output_known_lbs_bboxes"], losses


class Source(nn.Module):
    """In the place of its backbone: gives what :meth:`Published.predict` was given."""

    def __init__(self, published: Published, channels: int):
        super().__init__()
        self.num_channels = channels
        self._of = [published]

    def forward(self, samples: object) -> Any:
        return self._of[0].output


def our_weights(published: nn.Module) -> dict[str, Tensor]:
    """Its weights by our names; the last label is what matched queries start from."""
    names = {"refpoint_embed.weight": "query_embed.weight"}
    weights = {}
    for name, value in published.state_dict().items():
        if name.startswith("transformer.decoder.bbox_embed"):
            continue  # the same as bbox_embed
        name = names.get(name, name)
        for theirs, ours in (("sa", "self_attn"), ("ca", "multihead_attn")):
            name = re.sub(rf"\.{theirs}_([qk])(\w+)_proj", rf".{ours}.\1_\2_proj", name)
            name = name.replace(f".{theirs}_v_proj", f".{ours}.v_content_proj")
        weights[name.replace("cross_attn.", "multihead_attn.")] = value
    labels = weights.pop("label_enc.weight")
    return {**weights, "auxiliary.denoising.label.weight": labels[:-1], "query_embed.content": labels[-1]}
