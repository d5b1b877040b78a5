"""detrex's detectors with random weights.

``PUBLISHED_DETREX`` names a folder that holds a clone of github.com/IDEA-Research/detrex (e244e6c). None of
it is part of this project, so these tests are skipped without it, and say so. Its compiled operators are not
used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from .isolated import packages
from .variants import CLASSES, DIM, FEEDFORWARD, GROUPS, HEADS, LAYERS, QUERIES, denoised, randomize

FOLDER = os.environ.get("PUBLISHED_DETREX", "")
PROJECTS = {
    "conditional": (
        "conditional_detr",
        "conditional_detr.ConditionalDETR",
        "conditional_transformer.ConditionalDetr",
    ),
    "dab": ("dab_detr", "dab_detr.DABDETR", "dab_transformer.DabDetr"),
    "dn": ("dn_detr", "dn_detr.DNDETR", "dn_transformers.DNDetr"),
}

requires_detrex = pytest.mark.skipif(
    not FOLDER, reason="PUBLISHED_DETREX names no clone of github.com/IDEA-Research/detrex"
)


@contextmanager
def importing() -> Iterator[Any]:
    """A function that imports a module of detrex or its projects, without its data and training."""
    projects = (*(project for project, _, _ in PROJECTS.values()), "group_detr")
    inner = [f"projects.{name}{part}" for name in projects for part in ("", ".modeling")]
    with packages(FOLDER, ["detrex", "projects", *inner], {"wandb": {}}) as load:
        yield load


class Recorder(nn.Module):
    """In the place of their criterion."""

    weight_dict: dict[str, float] = {}

    def forward(self, outputs: dict[str, Any], targets: object) -> dict[str, Tensor]:
        self.outputs = outputs
        return {}


class Backbone(nn.Module):
    """Ours as theirs."""

    def __init__(self, own: nn.Module):
        super().__init__()
        self.own = own

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"last": self.own(images)["res4"]}


class HandedOn:
    """Gives their decoder the padding that their encoder gets: it would read the padding of small images."""

    def __init__(self, transformer: nn.Module):
        self._handles = [
            transformer.encoder.register_forward_pre_hook(self._note, with_kwargs=True),
            transformer.decoder.register_forward_pre_hook(self._add, with_kwargs=True),
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._padding = kwargs["query_key_padding_mask"]

    def _add(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "key_padding_mask": self._padding}


def build(kind: str, backbone: nn.Module, channels: int, mean: list[float], std: list[float]) -> nn.Module:
    """One of PROJECTS with random weights, in training mode; it keeps what it predicts in ``criterion``.

    Args:
        kind: of PROJECTS.
        backbone: takes images and gives {"res4": features}; it is not among the model's weights.
        channels: of the features.
        mean, std: of pixels.
    """
    project, model, transformer = PROJECTS[kind]
    with importing() as load:
        layers = load("detrex.layers")

        def find(path: str) -> Any:
            module, name = path.split(".")
            return getattr(load(f"projects.{project}.modeling.{module}"), name)

        widths = {
            "embed_dim": DIM,
            "num_heads": HEADS,
            "attn_dropout": 0.0,
            "feedforward_dim": FEEDFORWARD,
            "ffn_dropout": 0.0,
            "activation": nn.ReLU() if kind == "conditional" else nn.PReLU(),
        }
        encoder = find(f"{transformer}TransformerEncoder")(num_layers=2, **widths)
        decoder = find(f"{transformer}TransformerDecoder")(num_layers=LAYERS, **widths)
        theirs: nn.Module = find(model)(
            backbone=nn.Identity(),
            in_features=["last"],
            in_channels=channels,
            position_embedding=layers.PositionEmbeddingSine(DIM // 2, temperature=20, normalize=True),
            transformer=find(f"{transformer}Transformer")(encoder, decoder),
            embed_dim=DIM,
            num_classes=CLASSES,
            num_queries=QUERIES,
            criterion=Recorder(),
            pixel_mean=mean,
            pixel_std=std,
            device="cpu",
            **({"denoising_groups": GROUPS} if kind == "dn" else {}),
        )
        if kind == "dn":
            noise = load("detrex.layers.denoising")
            noise.apply_label_noise = lambda labels, *_: denoised(labels, torch.zeros(len(labels), 4))[0]
            noise.apply_box_noise = lambda boxes, *_: denoised(torch.zeros(len(boxes)).long(), boxes)[1]
    randomize(theirs)
    # A module attribute would bring its weights along.
    object.__setattr__(theirs, "backbone", Backbone(backbone))
    theirs._modules.pop("backbone")
    return theirs.train()
