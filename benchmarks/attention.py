"""How much of its attention a trained model gives its boxes: ``python -m benchmarks.attention``.

For the surest detections of a data set: the mean weight of a cell inside the box
over that of a cell outside, in each layer of the decoder. Cells are upsampled to pixels, as in the pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from detr_d2.data import load_dataset
from detr_d2.errors import UserError
from detr_d2.predict import ImagePredictor, inference_config
from detr_d2.tools.command import run_command
from detr_d2.visualization import watch_attention


def inside_over_outside(weights: Tensor, box: Tensor, size: tuple[int, int]) -> float:
    """The mean of a map inside a box over that outside.

    Args:
        weights: (h, w), of an image without padding.
        box: (x0, y0, x1, y1) in pixels.
        size: (height, width) of the image in pixels.

    Returns:
        the ratio; NaN where the box has no pixel, or has all.
    """
    pixels = F.interpolate(weights[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    x0, y0, x1, y1 = (round(value) for value in box.tolist())
    inside = torch.zeros(size, dtype=torch.bool)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return float(pixels[inside].mean() / pixels[~inside].mean())


def measure(args: argparse.Namespace) -> None:
    """Print the table.

    Raises:
        UserError: the model, or the data set, cannot be used, or nothing is found.
    """
    cfg = inference_config(args.config_file, args.opts, args.weights, "cpu")
    predict = ImagePredictor(cfg)
    ratios: list[list[float]] = []
    sums: list[float] = []
    for record in load_dataset(args.dataset or cfg.DATASETS.TEST[0]):
        with watch_attention(predict.model) as watched:
            predict(record)
        attention = watched.image(0)
        sure = int((attention.scores >= args.score).sum())
        maps = [attention.of_detections(range(sure), layer) for layer in range(len(attention.decoder))]
        for place in range(sure):
            sums += [float(layer[place].sum()) for layer in maps]
            of_layers = [inside_over_outside(m[place], attention.boxes[place], attention.size) for m in maps]
            ratios.append(of_layers)
        if len(ratios) >= args.detections:
            break
    if not ratios:
        raise UserError(f"nothing has a score of at least {args.score:g}")
    table = np.array(ratios[: args.detections])
    rows = [
        [f"layer {layer + 1}", np.nanmean(column), np.nanmedian(column), (column > 1).mean()]
        for layer, column in enumerate(table.T)
    ]
    print(tabulate(rows, ["", "mean", "median", "share above 1"], floatfmt=".2f"))
    farthest = np.abs(np.array(sums) - 1).max()
    print(f"{len(table)} detections; sums of the maps differ from 1 by at most {farthest:.1e}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--dataset", help="default: the first of DATASETS.TEST")
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--score", type=float, default=0.5, help="lowest score (default: %(default)s)")
    parser.add_argument("opts", nargs="*")
    return run_command(parser, measure, argv)


if __name__ == "__main__":
    sys.exit(main())
