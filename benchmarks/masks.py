"""Times panoptic inference, and its mask head alone, against the published implementation.

    python -m benchmarks.masks --published FOLDER

FOLDER is a clone of github.com/facebookresearch/detr. Both sides have a ResNet-50, the same random weights
and a class head that lets 20 of the 100 queries through. They turn the same image into a map of segments in
one process and take turns. Printed are the median times and the median, least and largest ratio of a turn.
The peak memory of each side is that of a fresh process, as Linux counts it.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.modeling import build_model
from PIL import Image
from torch import Tensor

from detr_d2.checkpoint.class_rows import ModelClasses
from detr_d2.checkpoint.convert import convert
from detr_d2.model_zoo import get_config
from detr_d2.modeling.fast import FastInference
from detr_d2.tools.command import run_command

from . import timing
from .published_detr import (
    add_arguments,
    build_published_merging,
    build_published_panoptic,
    distinguish_queries,
    import_published,
)

CONFIG = "COCO-PanopticSegmentation/detr_panoptic_R_50.yaml"
CLASSES, THINGS = 133, range(80)
# The classes of the queries that are kept: things, and stuff of which no two are the same.
KEPT = (*range(12), *range(80, 88))
IMAGE_SIZE, OUTPUT_SIZE = (800, 1066), (480, 640)

Run = Callable[[Tensor], Tensor]  # image (3, H, W) uint8 -> segment ids (H, W), from 1
Weights = dict[str, Tensor]


def published_side(folder: str, weights: Weights | None = None) -> tuple[Any, Run]:
    """The published model, and what runs it from an image to a map of segments."""
    model = build_published_panoptic(folder, CLASSES)
    if weights is not None:
        model.load_state_dict(weights)
    merge = build_published_merging(folder, THINGS, CLASSES)
    id_of = import_published(folder, "models.segmentation").rgb2id

    @torch.no_grad()
    def run(image: Tensor) -> Tensor:
        outputs = model([normalized(image)])
        result = merge(outputs, [IMAGE_SIZE], [OUTPUT_SIZE])[0]
        with Image.open(io.BytesIO(result["png_string"])) as colors:
            return torch.from_numpy(id_of(np.asarray(colors))) + 1

    return model, run


def normalized(image: Tensor) -> Tensor:
    """(3, H, W), 0 to 255, as the published model takes it."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (image / 255 - mean) / std


def our_side(weights: Weights) -> tuple[Any, Run]:
    """The config's model with the published model's weights, as a user has it."""
    cfg = get_config(CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.DETR.TEST.INSTANCE_ON = False
    cfg.MODEL.DETR.TEST.PANOPTIC_ON = True
    model = build_model(cfg).eval()
    classes = ModelClasses(is_coco=lambda: True)
    model.load_state_dict(convert({"model": weights}, "the published model", classes).weights)

    fast = FastInference(model)

    def run(image: Tensor) -> Tensor:
        height, width = OUTPUT_SIZE
        ids, _ = fast([{"image": image, "height": height, "width": width}])[0]["panoptic_seg"]
        return ids

    return model, run


SIDES: dict[str, Callable[[str, Weights], tuple[Any, Run]]] = {
    "published": published_side,
    "detr_d2": lambda _, weights: our_side(weights),
}


def compare(args: argparse.Namespace) -> None:
    """Build both sides, measure them and print the figures.

    Raises:
        MissingFileError: ``args.published`` is no clone.
    """
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, *IMAGE_SIZE), dtype=torch.uint8)
    model, run = published_side(args.published)
    distinguish_queries(model, [normalized(image)], logits_of_kept_queries()[None])
    weights = model.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.pth"
        torch.save(weights, file)
        memory = {
            side: timing.cost_alone(prepare, side, args.published, file, args.threads).mebibytes
            for side in SIDES
        }

    models: dict[str, Any] = {"published": model}
    runs: dict[str, Run] = {"published": run}
    models["detr_d2"], runs["detr_d2"] = our_side(weights)
    heads, maps = {}, {}
    for side in SIDES:
        heads[side], maps[side] = record_head(models[side], runs[side], image)
    differing = float((maps["published"] != maps["detr_d2"]).float().mean())
    print(
        f"ResNet-50, {IMAGE_SIZE[0]} x {IMAGE_SIZE[1]}, {len(KEPT)} of 100 queries kept, "
        f"{args.threads} threads; {len(maps['detr_d2'].unique())} segments, "
        f"{differing:.1e} of the pixels differ"
    )
    whole = {side: partial(runs[side], image) for side in SIDES}
    print(timing.report("image to segments", timing.take_turns(whole, args.repeats)))
    print(timing.report("mask head alone", timing.take_turns(heads, args.repeats)))
    print(
        f"peak memory above the model's: published {memory['published']:.0f} MiB, "
        f"detr_d2 {memory['detr_d2']:.0f} MiB, {memory['detr_d2'] / memory['published']:.2f} of it"
    )


def prepare(side: str, folder: str, weights: Path, threads: int) -> Callable[[], Tensor]:
    """A pass of a side, in a process of its own."""
    torch.set_num_threads(threads)
    image = torch.randint(0, 256, (3, *IMAGE_SIZE), dtype=torch.uint8)
    _, run = SIDES[side](folder, torch.load(weights))
    return partial(run, image)


def logits_of_kept_queries() -> Tensor:
    """(100, C + 1) logits, one query for each of ``KEPT``'s classes and no-object for the others."""
    logits = torch.full((100, CLASSES + 1), -5.0)
    chosen = torch.randperm(len(logits))[: len(KEPT)]
    logits[:, CLASSES] = 5.0
    logits[chosen, CLASSES] = -5.0
    logits[chosen, torch.tensor(KEPT)] = 5.0
    return logits


def record_head(model: Any, run: Run, image: Tensor) -> tuple[Callable[[], None], Tensor]:
    """Run once; return what repeats the calls of the attention maps and the mask head, and the result."""
    calls = []
    handles = [
        part.register_forward_pre_hook(
            lambda part, args, kwargs: calls.append((part, args, kwargs)), with_kwargs=True
        )
        for part in (model.bbox_attention, model.mask_head)
    ]
    result = run(image)
    for handle in handles:
        handle.remove()

    @torch.no_grad()
    def repeat() -> None:
        for part, args, kwargs in calls:
            part(*args, **kwargs)

    return repeat, result


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = timing.build_parser(
        "masks", "Time panoptic inference and the mask head against the published DETR.", 5
    )
    add_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
