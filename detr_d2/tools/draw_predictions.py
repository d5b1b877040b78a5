"""Draw ground truth beside predictions: ``python -m detr_d2.tools.draw_predictions --help``."""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from PIL import Image

from ..data import load_dataset
from ..data.masks import rasterise, segmentation_faults
from ..data.segment_map import read_segment_ids
from ..errors import DataError, UserError, named
from ..evaluation.panoptic_quality import PanopticQuality, SegmentError
from ..visualization import (
    PanelSample,
    PanopticSample,
    Picture,
    detections_from_instances,
    detections_from_record,
    draw_panel,
    draw_panoptic_panel,
    summarise,
)
from .command import run_command
from .inference import ImagePredictor, Record, in_numbers_of, load_config


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m detr_d2.tools.draw_predictions",
        description="Write one picture of images of a data set: ground truth beside a model's predictions; "
        "segments of a panoptic model on a panoptic data set, otherwise objects.",
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config of the model")
    parser.add_argument("--weights", metavar="FILE", help="checkpoint (default: MODEL.WEIGHTS)")
    parser.add_argument("--dataset", metavar="NAME", help="data set (default: the first of DATASETS.TEST)")
    parser.add_argument("--num-images", type=int, default=8, metavar="N", help="images (default: 8)")
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0.7,
        metavar="S",
        help="lowest score that is drawn (default: 0.7); segments of a panoptic model have "
        "MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other images (default: 0)")
    parser.add_argument(
        "--image-size",
        type=int,
        default=400,
        metavar="PIXELS",
        help="longer side of each image (default: 400)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: MODEL.DEVICE)")
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
    if not 0 <= args.score_threshold <= 1:
        raise UserError(f"--score-threshold must be from 0 to 1, not {args.score_threshold}")
    if Path(args.output).suffix.lower() not in Image.registered_extensions():
        raise UserError(f"--output must end in the name of an image format, such as .png: {args.output}")
    cfg = load_config(args.config_file, args.opts, args.weights, args.device)
    name = args.dataset or (cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else None)
    if name is None:
        raise UserError("no data set: name one with --dataset (DATASETS.TEST is empty)")
    records = load_dataset(name)
    panoptic = cfg.MODEL.DETR.TEST.PANOPTIC_ON and "pan_seg_file_name" in records[0]
    if not panoptic and not cfg.MODEL.DETR.TEST.INSTANCE_ON:
        raise UserError(
            f"the model gives panoptic segmentations alone, and {name} has none to draw beside them: name a "
            "panoptic data set with --dataset, or add MODEL.DETR.TEST.INSTANCE_ON True"
        )
    predict = ImagePredictor(cfg)
    chosen = choose_records(records, args.num_images, args.seed)
    drawn = f"{len(chosen)} of {len(records)} images, drawn with seed {args.seed}"
    weights, metadata = os.path.basename(cfg.MODEL.WEIGHTS), MetadataCatalog.get(name)
    results = [
        in_numbers_of(metadata, predict(record), predict.class_names, f"data set {name!r}")
        for record in chosen
    ]
    if panoptic:
        picture = draw_panoptic_panel(
            [
                panoptic_sample(record, predict.read_image(record["file_name"]), result)
                for record, result in zip(chosen, results, strict=True)
            ],
            metadata,
            title=f"{name}: panoptic ground truth and prediction",
            subtitle=f"{weights} · queries with a score above "
            f"{cfg.MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD:g} · {drawn}",
            image_size=args.image_size,
        )
    else:
        picture = draw_panel(
            [
                detection_sample(
                    record, predict.read_image(record["file_name"]), result, args.score_threshold
                )
                for record, result in zip(chosen, results, strict=True)
            ],
            metadata,
            title=f"{name}: ground truth beside predictions",
            subtitle=f"{weights} · predictions with a score of at least {args.score_threshold:g} · {drawn}",
            image_size=args.image_size,
        )
    with named(f"--output {args.output}"):
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(args.output)
    print(f"Wrote {args.output} ({picture.shape[1]} x {picture.shape[0]} pixels).")


def detection_sample(
    record: Record, image: Picture, result: dict[str, Any], score_threshold: float
) -> PanelSample:
    """A record's boxes beside a model's on its RGB image; with masks on both sides where both have them."""
    predictions = detections_from_instances(result["instances"], score_threshold)
    annotations = record.get("annotations") or ()
    masks = None
    if predictions.masks is not None and annotations:
        size = record["height"], record["width"]
        segmentations = [annotation.get("segmentation") for annotation in annotations]
        if not any(segmentation_faults(segmentation, *size).unusable for segmentation in segmentations):
            masks = np.stack([rasterise(segmentation, *size) for segmentation in segmentations])
    return PanelSample(
        image=image,
        name=os.path.basename(record["file_name"]),
        truth=detections_from_record(record, masks),
        predictions=predictions,
    )


def panoptic_sample(record: Record, image: Picture, result: dict[str, Any]) -> PanopticSample:
    """A record's segments beside a model's, which are counted as panoptic quality counts them.

    Raises:
        DataError: an image or map cannot be read, or the map does not fit its segments; names the file.
    """
    truth = read_segment_ids(record["pan_seg_file_name"]).astype(np.int64), record["segments_info"]
    prediction = result["panoptic_seg"][0].numpy(), result["panoptic_seg"][1]
    classes = {s["category_id"]: s["isthing"] for _, segments in (truth, prediction) for s in segments}
    quality = PanopticQuality(classes)
    try:
        quality.add(*truth, *prediction)
    except SegmentError as error:
        raise DataError(f"Segmentation map {record['pan_seg_file_name']}: {error}") from error
    found, missed, wrong = (int(counts.sum()) for counts in (quality.tp, quality.fn, quality.fp))
    return PanopticSample(
        image=image,
        name=os.path.basename(record["file_name"]),
        truth=truth,
        prediction=prediction,
        summary=summarise("segment", found, found + missed, wrong),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), draw, argv)


if __name__ == "__main__":
    sys.exit(main())
