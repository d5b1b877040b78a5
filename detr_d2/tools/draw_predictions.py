"""Draw ground truth beside predictions: ``detr-d2 draw --help``."""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import Metadata, MetadataCatalog
from PIL import Image

from ..classes import match_classes
from ..data import load_dataset
from ..data.masks import rasterize
from ..data.segment_map import read_listed_ids
from ..errors import UserError
from ..evaluation.panoptic_quality import PanopticQuality
from ..modeling.class_loss import CLASS_LOSSES
from ..predict import ImagePredictor, inference_config
from ..progress import progress
from ..visualization import (
    PanelSample,
    PanopticSample,
    detections_from_instances,
    detections_from_record,
    draw_panel,
    summarize,
    write_picture,
)
from .command import CommandParser, model_parser, run_command

Record = dict[str, Any]


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = model_parser(
        "draw",
        "Write one picture of images of a data set: ground truth beside a model's predictions; segments of a "
        "panoptic model on a panoptic data set, otherwise objects.",
        [
            "--config-file Shapes-Detection/detr_tiny.yaml --weights output/model_final.pth "
            "--dataset shapes_val --output predictions.png"
        ],
    )
    parser.add_argument("--dataset", metavar="NAME", help="data set (default: the first of DATASETS.TEST)")
    parser.add_argument("--num-images", type=int, default=8, metavar="N", help="images (default: 8)")
    defaults = ", ".join(f"{kind.sure:g} with {name}" for name, kind in CLASS_LOSSES.items())
    score = f"lowest score of objects (default: {defaults}); segments have that of MODEL.DETR.TEST"
    parser.add_argument("--score-threshold", type=float, metavar="S", help=score)
    parser.add_argument("--seed", type=int, default=0, help="another seed, other images (default: 0)")
    size = "longer side of each image (default: 400)"
    parser.add_argument("--image-size", type=int, default=400, metavar="PIXELS", help=size)
    parser.add_argument("--output", default="predictions.png", metavar="FILE", help="picture to write")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the config")
    return parser


def choose_records(records: Sequence[Record], number: int, seed: int) -> list[Record]:
    """Draw ``number`` different records (all, if there are fewer) in the data set's order."""
    indices = random.Random(seed).sample(range(len(records)), min(number, len(records)))
    return [records[index] for index in sorted(indices)]


def draw(args: argparse.Namespace) -> None:
    """Write the picture and say so.

    Args:
        args: what :func:`build_parser` parses.

    Raises:
        UserError: an argument cannot be used.
        DataError: the data set or one of its images cannot be read.
    """
    if args.num_images < 1:
        raise UserError(f"--num-images must be at least 1, not {args.num_images}")
    if args.score_threshold is not None and not 0 <= args.score_threshold <= 1:
        raise UserError(f"--score-threshold must be from 0 to 1, not {args.score_threshold}")
    if Path(args.output).suffix.lower() not in Image.registered_extensions():
        raise UserError(f"--output must end in the name of an image format, such as .png: {args.output}")
    cfg = inference_config(args.config_file, args.opts, args.weights, args.device)
    name = args.dataset or next(iter(cfg.DATASETS.TEST), "")
    if not name:
        raise UserError("no data set: name one with --dataset (DATASETS.TEST is empty)")
    records = load_dataset(name)
    panoptic = cfg.MODEL.DETR.TEST.PANOPTIC_ON and "pan_seg_file_name" in records[0]
    if not panoptic and not cfg.MODEL.DETR.TEST.INSTANCE_ON:
        raise UserError(
            f"the model gives panoptic segmentations alone, and {name} has none to draw beside them: name a "
            "panoptic data set with --dataset, or add MODEL.DETR.TEST.INSTANCE_ON True"
        )
    predict = ImagePredictor(cfg)
    class_loss = CLASS_LOSSES[cfg.MODEL.DETR.CLASS_LOSS]
    least = class_loss.sure if args.score_threshold is None else args.score_threshold
    sample_of = panoptic_sample if panoptic else partial(detection_sample, least)
    metadata, samples = MetadataCatalog.get(name), []
    chosen = choose_records(records, args.num_images, args.seed)
    for record in progress(chosen, "Images"):
        result = in_numbers_of(metadata, predict(record), predict.class_names, f"data set {name!r}")
        samples.append(sample_of(record, predict.read_image(record["file_name"]), result))
    shown = f"predictions with a score of at least {least:g}"
    if panoptic:
        shown = f"queries with a score above {cfg.MODEL.DETR.TEST[class_loss.panoptic_threshold]:g}"
    drawn = f"{len(chosen)} of {len(records)} images, drawn with seed {args.seed}"
    subtitle = f"{os.path.basename(cfg.MODEL.WEIGHTS)} · {shown} · {drawn}"
    title = f"{name}: ground truth beside predictions"
    picture = draw_panel(samples, metadata, title, subtitle, args.image_size)
    write_picture(picture, args.output)
    print(f"Wrote {args.output} ({picture.shape[1]} x {picture.shape[0]} pixels).")


def detection_sample(
    score_threshold: float, record: Record, image: np.ndarray, result: dict[str, Any]
) -> PanelSample:
    """A record's boxes beside a model's on its RGB image; with masks on both sides where both have them."""
    predictions = detections_from_instances(result["instances"], score_threshold)
    masks = None
    if predictions.masks is not None:
        size = record["height"], record["width"]
        with suppress(ValueError):  # there are no annotations, or one has no mask
            masks = np.stack([rasterize(a.get("segmentation"), *size) for a in record.get("annotations", ())])
    truth = detections_from_record(record, masks)
    return PanelSample(image, os.path.basename(record["file_name"]), truth, predictions)


def panoptic_sample(record: Record, image: np.ndarray, result: dict[str, Any]) -> PanopticSample:
    """A record's segments beside a model's, which are counted as panoptic quality counts them.

    Raises:
        DataError: an image or map cannot be read, or the map does not fit its segments; names the file.
    """
    file, segments = record["pan_seg_file_name"], record["segments_info"]
    listed = [segment["id"] for segment in segments]
    truth = read_listed_ids(file, listed, *image.shape[:2]).astype(np.int64), segments
    prediction = result["panoptic_seg"][0].numpy(), result["panoptic_seg"][1]
    quality = PanopticQuality({s["category_id"]: s["isthing"] for s in (*segments, *prediction[1])})
    quality.add(*truth, *prediction)
    found, missed, wrong = (int(counts.sum()) for counts in (quality.tp, quality.fn, quality.fp))
    summary = summarize("segment", found, found + missed, wrong)
    return PanopticSample(image, os.path.basename(record["file_name"]), truth, prediction, summary)


def in_numbers_of(
    metadata: Metadata, result: dict[str, Any], class_names: Sequence[str], what: str
) -> dict[str, Any]:
    """A result with the class numbers of a data set, which are found by name.

    Args:
        metadata: of the data set.
        result: of :class:`~detr_d2.predict.ImagePredictor`. What is of a class that the data set has not is
            left out.
        class_names: of the model, by its numbers; where they or those of the data set are not known the
            numbers stay.
        what: the data set, for messages.

    Raises:
        DataError: the model lacks a class of the data set.
    """
    names = metadata.get("thing_classes", None)
    if not class_names or names is None:
        return result
    things = metadata.get("thing_dataset_id_to_contiguous_id", None)
    wanted = None if things is None or "panoptic_seg" in result else things.values()
    numbers = match_classes(class_names, names, wanted, what)
    renumbered = dict(result)
    if "instances" in result:
        instances = result["instances"]
        known = torch.tensor([n in numbers for n in instances.pred_classes.tolist()], dtype=torch.bool)
        renumbered["instances"] = instances[known]
        classes = [numbers[n] for n in renumbered["instances"].pred_classes.tolist()]
        renumbered["instances"].pred_classes = torch.tensor(classes, dtype=torch.int64)
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        kept = [
            {**s, "category_id": numbers[s["category_id"]]} for s in segments if s["category_id"] in numbers
        ]
        void = ~torch.isin(ids, torch.tensor([s["id"] for s in kept], dtype=ids.dtype))
        renumbered["panoptic_seg"] = ids.masked_fill(void, 0), kept
    return renumbered


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), draw, argv)


if __name__ == "__main__":
    sys.exit(main())
