"""What a model costs: its parameters, and the multiply-adds of one image's inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UserError
from .detr import Detr
from .inference import Sizes
from .mask_criterion import MaskPredictor

# Height and width of the image that DETR's figures are usually given for: 640 x 480, resized.
USUAL_SIZE = (800, 1066)


@dataclass(frozen=True)
class Complexity:
    """What a model costs.

    Attributes:
        parameters: their number, frozen ones too; the constants of frozen batch norms are none.
        multiply_adds: of one image, in convolutions and matrix products, those inside attention included; a
            multiplication with the addition of its result counts once. A mask head makes the masks of all
            queries. Not counted are normalization, activations, softmax, resizing and post-processing.
    """

    parameters: int
    multiply_adds: int


def model_complexity(cfg: CfgNode, size: tuple[int, int] = USUAL_SIZE) -> Complexity:
    """Count a model's parameters and its multiply-adds for one image.

    No image is needed and nothing is computed: PyTorch only propagates shapes.

    Args:
        cfg: of a model of detr_d2; weights are not loaded.
        size: height and width in pixels of the image as the model gets it, that is, resized already.

    Raises:
        UserError: it is another model, or a key has a value that cannot be built.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg).eval().requires_grad_(False)
    if not isinstance(model, Detr):
        raise UserError(f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}, not 'Detr'")
    model.inference = _mask_every_query  # the real one depends on the scores
    image = torch.empty((3, *size), dtype=torch.uint8, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model([{"image": image}])
    # The counter takes multiplication and addition for two.
    return Complexity(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)


def _mask_every_query(
    logits: Tensor, boxes: Tensor, sizes: Sizes, predict_masks: MaskPredictor | None = None
) -> list[dict[str, Any]]:
    """Takes the place of a model's ``inference``."""
    if predict_masks is not None:
        predict_masks([torch.arange(logits.shape[1], device=logits.device)] * len(logits), None)
    return []
