"""Detect objects in image files: ``detr-d2 predict``, and what the top-level ``demo.py`` runs."""

import argparse
import glob
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from detectron2.data import Metadata
from PIL import Image

from ..errors import UserError
from ..modeling.class_loss import CLASS_LOSSES
from ..predict import ImagePredictor, class_metadata, inference_config
from ..visualization import ImageAttention, Picture, draw_attention, draw_result, watch_attention
from .command import CommandParser, model_parser, run_command, write_picture

# How many detections --attention shows.
_LOOKS = 5


def build_parser() -> CommandParser:
    """The command's arguments, named as in Detectron2's own demo."""
    parser = model_parser(
        "predict",
        "Write images with what a model finds in them: objects or, of a panoptic model, segments.",
        [
            "--config-file COCO-Detection/detr_R_50.yaml --weights detr://detr_R_50 --device cpu "
            "--input a.jpg b.jpg --output out",
            "--config-file Shapes-Detection/detr_tiny.yaml --weights output/demo/model_final.pth "
            "--input photo.jpg --output looked.png --attention",
        ],
    )
    images = "image files, or patterns such as 'photos/*.jpg'"
    parser.add_argument("--input", nargs="+", required=True, metavar="IMAGE", help=images)
    output = "folder to write to; or, for one input, an image file"
    parser.add_argument("--output", required=True, metavar="PATH", help=output)
    defaults = ", ".join(f"{kind.likely:g} with {name}" for name, kind in CLASS_LOSSES.items())
    score = f"lowest score of objects (default: {defaults}); segments have that of MODEL.DETR.TEST"
    names = "--confidence", "--confidence-threshold"
    parser.add_argument(*names, type=float, metavar="S", help=score)
    looks = (
        "draw instead where the model looked for its K-th best detections, the best one being 1 (default: "
        f"the {_LOOKS} best of those with the lowest score)"
    )
    parser.add_argument("--attention", nargs="*", type=int, metavar="K", help=looks)
    layer = "with --attention: of decoder and encoder, from 1 on (default: the last ones)"
    parser.add_argument("--layer", type=int, metavar="N", help=layer)
    points = "with --attention: pixels whose encoder attention is drawn (default: the middles of the boxes)"
    parser.add_argument("--points", nargs="+", type=point, metavar="X,Y", help=points)
    opts = "changes to the config; comes last"
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help=opts)
    return parser


def point(text: str) -> tuple[float, float]:
    """Read "X,Y"; a ValueError where it is not of that form."""
    x, y = map(float, text.split(","))
    return x, y


def plan_outputs(inputs: Sequence[str], output: str) -> list[tuple[str, Path]]:
    """Pair every input image with the file to write.

    Args:
        inputs: files and patterns.
        output: a folder, or a file with an image format's ending if there is one input.

    Raises:
        UserError: an input does not exist, a file is given for several inputs, or two inputs would be
            written to one file.
    """
    files: list[str] = []
    for pattern in inputs:
        matches = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(os.path.expanduser(pattern)))
        if not matches:
            raise UserError(f"--input {pattern}: there is no such file")
        files.extend(matches)
    folder = Path(output)
    if folder.suffix.lower() in Image.registered_extensions() and not folder.is_dir():
        if len(files) > 1:
            raise UserError(f"--output {output} is one file for {len(files)} inputs: name a folder")
        return [(files[0], folder)]
    planned = [(file, folder / Path(file).name) for file in files]
    times = Counter(target for _, target in planned)
    for file, target in planned:
        if times[target] > 1:
            raise UserError(f"several inputs would be written to {target}: draw {file} on its own")
        if target.exists() and target.samefile(file):
            raise UserError(f"{file} would be overwritten: name another folder with --output")
    return planned


def draw(args: argparse.Namespace) -> None:
    """Draw every input; print one line for each.

    Raises:
        UserError: an argument cannot be used.
        DataError: an input cannot be read as an image.
    """
    if args.confidence is not None and not 0 <= args.confidence <= 1:
        raise UserError(f"--confidence must be from 0 to 1, not {args.confidence}")
    planned = plan_outputs(args.input, args.output)
    cfg = inference_config(args.config_file, args.opts, args.weights, args.device)
    predict = ImagePredictor(cfg)
    metadata = class_metadata(cfg, predict.class_names, predict.stuff_names)
    confidence = args.confidence
    if confidence is None:
        confidence = CLASS_LOSSES[cfg.MODEL.DETR.CLASS_LOSS].likely
    for number, (file, target) in enumerate(planned, 1):
        start = time.perf_counter()
        image = predict.read_image(file)
        height, width = image.shape[:2]
        watch = nullcontext() if args.attention is None else watch_attention(predict.model)
        with watch as watched:
            result = predict({"file_name": file, "height": height, "width": width, "image_id": 0})
        seconds = time.perf_counter() - start
        if watched is None:
            picture, found = draw_result(image, result, metadata, confidence)
        else:
            picture, found = draw_looks(image, watched.image(), metadata, confidence, args)
        write_picture(picture, target)
        print(f"[{number}/{len(planned)}] {file}: {found} in {seconds:.2f} s, drawn in {target}")


def draw_looks(
    image: Picture,
    attention: ImageAttention,
    metadata: Metadata,
    confidence: float,
    args: argparse.Namespace,
) -> tuple[Picture, str]:
    """Draw where the model looked.

    Args:
        image, metadata, confidence: as of :func:`draw_result`.
        attention: of the image.
        args: ``attention``, ``layer`` and ``points``, as :func:`build_parser` parses them.

    Raises:
        UserError: there is no such detection or layer, or a point lies outside the image.
    """
    sure = int((attention.scores >= confidence).sum())
    chosen = [number - 1 for number in args.attention] or list(range(min(sure, _LOOKS)))
    layer = -1 if args.layer is None else args.layer - 1
    if args.layer is not None and args.layer < 1:
        raise UserError(f"--layer must be at least 1, not {args.layer}")
    size = max(*image.shape[:2], 640)
    picture = draw_attention(image, attention, chosen, args.points, metadata, layer, size)
    return picture, f"attention of {len(chosen)} detections"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), draw, argv)


if __name__ == "__main__":
    sys.exit(main())
