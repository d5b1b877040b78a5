"""Draw ground truth beside predictions: ``python -m detr_d2.tools.draw_predictions --help``."""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import MetadataCatalog
from PIL import Image

from ..data import load_dataset
from ..data.dataset_mapper import read_image
from ..visualization import PanelSample, detections_from_instances, detections_from_record, draw_panel
from .inference import CommandError, ImagePredictor, Record, load_config


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m detr_d2.tools.draw_predictions",
        description="Write one picture of images of a data set: ground truth beside a model's predictions.",
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
        help="lowest score that is drawn (default: 0.7)",
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


def draw(args: argparse.Namespace) -> tuple[int, int]:
    """Write the picture.

    Args:
        args: what :func:`build_parser` parses.

    Returns:
        Width and height of the picture in pixels.

    Raises:
        CommandError: an argument cannot be used.
        DataError: the data set or one of its images cannot be read.
    """
    if args.num_images < 1:
        raise CommandError(f"--num-images must be at least 1, not {args.num_images}")
    if not 0 <= args.score_threshold <= 1:
        raise CommandError(f"--score-threshold must be from 0 to 1, not {args.score_threshold}")
    if Path(args.output).suffix.lower() not in Image.registered_extensions():
        raise CommandError(f"--output must end in the name of an image format, such as .png: {args.output}")
    cfg = load_config(args.config_file, args.opts, args.weights, args.device)
    name = args.dataset or (cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else None)
    if name is None:
        raise CommandError("no data set: name one with --dataset (DATASETS.TEST is empty)")
    records = load_dataset(name)
    predict = ImagePredictor(cfg)
    samples = [
        PanelSample(
            image=read_image(record["file_name"], "RGB"),
            name=os.path.basename(record["file_name"]),
            truth=detections_from_record(record),
            predictions=detections_from_instances(predict(record), args.score_threshold),
        )
        for record in choose_records(records, args.num_images, args.seed)
    ]
    subtitle = (
        f"{os.path.basename(cfg.MODEL.WEIGHTS)} · predictions with a score of at least "
        f"{args.score_threshold:g} · {len(samples)} of {len(records)} images, drawn with seed {args.seed}"
    )
    picture = draw_panel(
        samples,
        MetadataCatalog.get(name),
        title=f"{name}: ground truth beside predictions",
        subtitle=subtitle,
        image_size=args.image_size,
    )
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(args.output)
    return picture.shape[1], picture.shape[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; None takes the process's own.

    Returns:
        Exit status: 0, or 2 where something cannot be used.
    """
    args = build_parser().parse_args(argv)
    try:
        width, height = draw(args)
    except (CommandError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.output} ({width} x {height} pixels).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
