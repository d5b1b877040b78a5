"""Size of a config's model: ``python -m detr_d2.tools.model_complexity --config-file FILE``.

No image is needed and nothing is computed: PyTorch only propagates shapes.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..engine.setup import load_config
from ..errors import UserError
from ..modeling import Detr
from ..modeling.inference import Sizes
from ..modeling.mask_criterion import MaskPredictor
from .command import run_command

PROGRAM = "python -m detr_d2.tools.model_complexity"

WHAT_COUNTS = """\
Counted are all parameters, frozen ones too (the constants of frozen batch norms are none), and the
multiply-adds of one image's inference in convolutions and matrix products, those inside attention included.
Not counted are normalisation, activations, softmax, resizing and post-processing. A mask head makes the
masks of all queries here."""

# Height and width of the image that DETR's figures are usually given for: 640 x 480, resized.
USUAL_SIZE = (800, 1066)


@dataclass(frozen=True)
class Complexity:
    """What a model costs.

    Attributes:
        parameters: their number.
        multiply_adds: of one image; a multiplication with the addition of its result counts once.
    """

    parameters: int
    multiply_adds: int


def model_complexity(cfg: CfgNode, size: tuple[int, int] = USUAL_SIZE) -> Complexity:
    """Count a model's parameters and its multiply-adds for one image; :data:`WHAT_COUNTS` says which.

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


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Count parameters, and the multiply-adds of one image's inference.",
        epilog=WHAT_COUNTS,
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--size",
        nargs=2,
        type=_pixels,
        default=USUAL_SIZE,
        metavar=("H", "W"),
        help="of the image after resizing, in pixels (default: 800 1066)",
    )
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the config")
    return parser


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 32 pixels")
    return int(text)


def count(args: argparse.Namespace) -> None:
    """Print the figures.

    Raises:
        UserError: the config cannot be used.
    """
    height, width = args.size
    complexity = model_complexity(load_config(args), (height, width))
    print(f"{args.config_file}, an image of {height} x {width} pixels:")
    print(f"parameters     {complexity.parameters / 1e6:10.2f} M  ({complexity.parameters})")
    print(f"multiply-adds  {complexity.multiply_adds / 1e9:10.2f} G  ({complexity.multiply_adds})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), count, argv)


if __name__ == "__main__":
    sys.exit(main())
