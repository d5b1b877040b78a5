"""Draw ground truth beside predictions: ``detr-d2 draw --help``."""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from detectron2.data import MetadataCatalog
from PIL import Image

from ..data import load_dataset
from ..errors import UserError
from ..modeling.class_losses import CLASS_LOSSES
from ..predict import ImagePredictor, inference_config
from ..progress import progress
from ..report.samples import Record, detection_sample, in_numbers_of, panoptic_sample
from ..visualization import draw_panel, write_picture
from .command import CommandParser, model_parser, run_command


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), draw, argv)


if __name__ == "__main__":
    sys.exit(main())
