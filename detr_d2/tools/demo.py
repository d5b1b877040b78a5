"""Detect objects in images and videos: ``detr-d2 predict``, and what the top-level ``demo.py`` runs."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from detectron2.data import Metadata

from ..errors import UserError, message
from ..modeling.class_losses import CLASS_LOSSES
from ..predict import Tiles, Tracks, category_ids, inference_config
from ..predict.coco_results import CocoResults, ImageIds, ObjectResults, SegmentResults
from ..predict.finder import Finder
from ..predict.sources import Source, find_sources, plan_outputs
from ..predict.work import Work
from ..progress import say
from ..visualization import ImageAttention, Picture, draw_attention
from .command import CommandParser, model_parser, run_command

# How many detections --attention shows.
_LOOKS = 5


def build_parser() -> CommandParser:
    """The command's arguments, named as in Detectron2's own demo."""
    parser = model_parser(
        "predict",
        "Write images and videos with what a model finds in them: objects or, of a panoptic model, segments.",
        [
            "--config-file COCO-Detection/detr_R_50.yaml --weights detr://detr_R_50 --device cpu "
            "--input a.jpg photos/ clip.mp4 --output out --json out/objects.json",
            "--config-file Shapes-Detection/detr_tiny.yaml --weights output/demo/model_final.pth "
            "--input photo.jpg --output looked.png --attention",
        ],
    )
    inputs = parser.add_mutually_exclusive_group(required=True)
    names = (
        "image and video files, patterns such as 'photos/*.jpg', folders (their image files), addresses of "
        "http or https"
    )
    inputs.add_argument("--input", nargs="+", metavar="PATH", help=names)
    camera = "number of a camera: its frames are written as a video, until Ctrl-C or --frames"
    inputs.add_argument("--webcam", type=int, metavar="N", help=camera)
    output = "folder to write to; or, for one input, an image or video file"
    parser.add_argument("--output", metavar="PATH", help=output)
    results = (
        "write what is found in COCO's result format, too: objects in a list; segments with a map for each "
        "image, in a folder named as the file without .json"
    )
    parser.add_argument("--json", metavar="FILE", help=results)
    ids = "with --json: a json of COCO's whose images have the ids to write (default: 1, 2, … as given)"
    parser.add_argument("--image-ids", metavar="FILE", help=ids)
    defaults = ", ".join(f"{kind.likely:g} with {name}" for name, kind in CLASS_LOSSES.items())
    score = f"lowest score of objects (default: {defaults}); segments have that of MODEL.DETR.TEST"
    names_of_score = "--confidence", "--confidence-threshold"
    parser.add_argument(*names_of_score, type=float, metavar="S", help=score)
    batch = "images of one size, or slices, that go through the model together (default: 1)"
    parser.add_argument("--batch", type=int, default=1, metavar="N", help=batch)
    tile = "look for objects in overlapping square slices of so many pixels, and merge them (extra: tiles)"
    parser.add_argument("--tile", type=int, metavar="PIXELS", help=tile)
    overlap = "with --tile: pixels that neighbors share, at least an object's size (default: a quarter)"
    parser.add_argument("--overlap", type=int, metavar="PIXELS", help=overlap)
    track = "of videos: follow each object from frame to frame and number it (extra: track)"
    parser.add_argument("--track", action="store_true", help=track)
    frames = "of videos: stop after so many frames"
    parser.add_argument("--frames", type=int, metavar="N", help=frames)
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


def predict(args: argparse.Namespace) -> None:
    """Find, draw and write; print one line for each input.

    Raises:
        UserError: an argument cannot be used; or, when all else is done, inputs cannot be used.
    """
    _check(args)
    sources, failures = _sources(args)
    total = len(sources) + len(failures)
    if not sources:
        raise _all_in_one(failures, total)
    cfg = inference_config(args.config_file, args.opts, args.weights, args.device)
    confidence = args.confidence
    if confidence is None:
        confidence = CLASS_LOSSES[cfg.MODEL.DETR.CLASS_LOSS].likely
    tiles = None if args.tile is None else Tiles(args.tile, args.overlap)
    if args.track:
        Tracks(1.0, confidence)  # says what is missing before anything else is done
    finder = Finder(cfg, confidence, args.batch, tiles, ids=args.json is not None)
    if finder.panoptic and (args.track or tiles is not None):
        raise UserError(
            f"{'--track' if args.track else '--tile'} is for objects, and the model gives segments: add "
            "--opts MODEL.DETR.TEST.PANOPTIC_ON False MODEL.DETR.TEST.INSTANCE_ON True"
        )
    results: CocoResults | None = None
    if args.json is not None:
        _keep_inputs(args, maps=finder.panoptic)
        kind = SegmentResults if finder.panoptic else ObjectResults
        results = kind(args.json, category_ids(finder.metadata, cfg.MODEL.DETR.NUM_CLASSES), finder.metadata)
    draw = None
    if args.attention is not None:
        draw = partial(draw_looks, metadata=finder.metadata, confidence=confidence, args=args)
    with tempfile.TemporaryDirectory(prefix="detr_d2-") as downloads:
        work = Work(finder, results, failures, Path(downloads), total)
        work.images([source for source in sources if not source.is_video], draw)
        for source in sources:
            if source.is_video:
                work.video(source, args.webcam, confidence if args.track else None, args.frames)
    if results is not None:
        results.write()
        say(f"Wrote {args.json}.")
    if failures:
        raise _all_in_one(failures, total)


def _check(args: argparse.Namespace) -> None:
    """
    Raises:
        UserError: an argument, or two together, cannot be used.
    """
    if args.output is None and args.json is None:
        raise UserError("name what to write: --output is required, or --json")
    if args.confidence is not None and not 0 <= args.confidence <= 1:
        raise UserError(f"--confidence must be from 0 to 1, not {args.confidence}")
    for name in ("batch", "frames"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, not {value}")
    if args.json is not None and (Path(args.json).suffix.lower() != ".json" or Path(args.json).is_dir()):
        raise UserError(f"--json must name a file that ends in .json, not {args.json}")
    if args.json is not None:
        _keep_inputs(args, maps=False)
    for name, other in (("image_ids", "json"), ("overlap", "tile")):
        if getattr(args, name) is not None and getattr(args, other) is None:
            raise UserError(f"--{name.replace('_', '-')} is of use with --{other} alone")
    if args.attention is not None:
        for name in ("tile", "webcam"):
            if getattr(args, name) is not None:
                raise UserError(f"--attention draws whole images: leave out --{name}")
        if args.output is None:
            raise UserError("--attention draws pictures: name a folder with --output")


def _keep_inputs(args: argparse.Namespace, maps: bool) -> None:
    """Refuse a json, or a folder of maps beside it, that would replace what is read or drawn.

    Args:
        args: as :func:`build_parser` parses them.
        maps: a panoptic model writes them to the folder of the json's name.

    Raises:
        UserError: it would.
    """
    json_file = Path(args.json).resolve()
    read = [Path(name).resolve() for name in (args.image_ids, args.config_file, *(args.input or ())) if name]
    if json_file in read:
        raise UserError(f"--json {args.json} is read, and would be overwritten: name another file")
    taken = [*read, *(path.parent for path in read)]
    if args.output is not None:
        taken.append(Path(args.output).resolve())
    if maps and json_file.with_suffix("") in taken:
        raise UserError(
            f"--json {args.json}: the maps of segments go to a folder of its name, which has other images: "
            "name another file"
        )


def _sources(args: argparse.Namespace) -> tuple[list[Source], list[UserError]]:
    """The inputs with what is written of them, and what is wrong with the other ones."""
    if args.webcam is not None:
        sources, failures = [Source(f"webcam-{args.webcam}", is_video=True)], list[UserError]()
    else:
        sources, failures = find_sources(args.input)
    videos = [source for source in sources if source.is_video]
    if videos and (args.attention is not None or args.image_ids is not None):
        used = "--attention" if args.attention is not None else "--image-ids"
        raise UserError(f"{used} is for images, and {videos[0].name} is a video")
    if args.track and not videos:
        raise UserError("--track is for videos, and there is none among the inputs")
    if args.image_ids is not None:
        ids, known = ImageIds(args.image_ids), []
        for source in sources:
            try:
                known.append(replace(source, image_id=ids[source.name]))
            except UserError as error:
                failures.append(error)
        sources = known
    return sources if args.output is None else plan_outputs(sources, args.output), failures


def _all_in_one(failures: Sequence[UserError], total: int) -> UserError:
    """One error of several; a single input's is its own."""
    if total == 1:
        return failures[0]
    texts = " | ".join(map(message, failures))
    return UserError(f"{len(failures)} of {total} inputs could not be used: {texts}")


def draw_looks(
    image: Picture,
    attention: ImageAttention,
    metadata: Metadata,
    confidence: float,
    args: argparse.Namespace,
) -> tuple[Picture, str]:
    """Draw where the model looked.

    Args:
        image: (H, W, 3) RGB.
        attention: of the image.
        metadata: names and colors of the classes.
        confidence: lowest score of the objects that are shown where none are asked for.
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
    return run_command(build_parser(), predict, argv)


if __name__ == "__main__":
    sys.exit(main())
