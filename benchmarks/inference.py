"""Times detection in one image, against the published implementation and Hugging Face's.

    python -m benchmarks.inference --published FOLDER

FOLDER is a clone of github.com/facebookresearch/detr. All sides have a ResNet-50 and random weights, the
published one's and ours are the same. They turn the same image into logits and boxes (ours: into instances)
in one process and take turns. Hugging Face's side is there where ``transformers`` is installed. Printed are,
for each side, the median time and the median, least and largest ratio to the published side of a turn; and
how far our logits are from the published ones.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint.class_rows import ModelClasses
from detr_d2.checkpoint.convert import convert
from detr_d2.model_zoo import get_config
from detr_d2.modeling.fast import FastInference
from detr_d2.tools.command import run_command

from . import timing
from .published_detr import add_arguments, build_published_detector, import_published

CONFIG = "COCO-Detection/detr_R_50.yaml"
CLASSES = 80


def build_ours(weights: dict[str, Tensor]) -> Any:
    """The config's model with the published model's weights."""
    cfg = get_config(CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()
    classes = ModelClasses(is_coco=lambda: False)
    model.load_state_dict(convert({"model": weights}, "the published model", classes).weights)
    return model


def build_hugging_face() -> nn.Module:
    """Its DETR of the same size with random weights; nothing is downloaded."""
    transformers: Any = importlib.import_module("transformers")
    backbone = transformers.ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    config = transformers.DetrConfig(backbone_config=backbone, num_labels=CLASSES)
    return transformers.DetrForObjectDetection(config).eval()


def compare(args: argparse.Namespace) -> None:
    """Build the sides, measure them and print the figures.

    Raises:
        MissingFileError: ``args.published`` is no clone.
    """
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, args.height, args.width), dtype=torch.uint8)
    batched_inputs = [{"image": image}]
    published = build_published_detector(args.published, CLASSES)
    ours = build_ours(published.state_dict())
    fast = FastInference(ours)
    normalized = ours.normalize(image)[None]
    nested = import_published(args.published, "util.misc").NestedTensor(
        normalized, torch.zeros(1, args.height, args.width, dtype=torch.bool)
    )
    sides: dict[str, Callable[[], Any]] = {
        "published": partial(published, nested),
        "detr_d2 module": partial(ours, batched_inputs),
        "detr_d2": partial(fast, batched_inputs),
    }
    if importlib.util.find_spec("transformers") is not None:
        sides["Hugging Face"] = partial(build_hugging_face(), normalized)
    logits: list[Tensor] = []
    handle = ours.class_embed.register_forward_hook(lambda *x: logits.append(x[2]))
    with torch.no_grad():
        fast(batched_inputs)
        handle.remove()
        difference = float((logits[0][-1] - published(nested)["pred_logits"]).abs().max())
        print(
            f"ResNet-50, one image of {args.height} x {args.width}, {args.threads} threads; largest "
            f"difference of our logits from the published ones: {difference:.1e}"
        )
        seconds = timing.take_turns(sides, args.repeats)
    for side in list(sides)[1:]:
        pair = {"published": seconds["published"], side: seconds[side]}
        print(timing.report(f"image to detections, {side}", pair))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit status."""
    parser = timing.build_parser("inference", "Detection in one image, beside other implementations.", 7)
    add_arguments(parser)
    parser.add_argument("--height", type=int, default=800, help="of the image, in pixels (default: 800)")
    parser.add_argument("--width", type=int, default=1066, help="of the image, in pixels (default: 1066)")
    return run_command(parser, compare, argv)


if __name__ == "__main__":
    sys.exit(main())
