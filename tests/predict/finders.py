"""In place of a model: what finds bright rectangles on black exactly, by SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from scipy import ndimage


class BrightRectangles:
    """The interface of ``ImagePredictor`` that slices need. A rectangle's red is its class times 10 + 100.

    Its score is its area as a share of 10,000 pixels, so that a part has a lower one.
    """

    def __init__(self, masks: bool = False) -> None:
        self.masks = masks
        self.sizes: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def sample(self, image: np.ndarray) -> dict[str, Any]:
        self.shapes.add(image.shape)
        return {"pixels": image}

    def batch(self, samples: Sequence[dict[str, Any]], at_once: int = 1) -> list[dict[str, Any]]:
        self.sizes.append(len(samples))
        return [{"instances": self.find(sample["pixels"])} for sample in samples]

    def find(self, pixels: np.ndarray) -> Instances:
        labels, count = ndimage.label(pixels[..., 0] > 0)
        rows = []
        for number, (y, x) in enumerate(ndimage.find_objects(labels), 1):
            kind = (int(pixels[y.start, x.start, 0]) - 100) // 10
            rows.append((x.start, y.start, x.stop, y.stop, kind, (labels == number)))
        found = Instances(pixels.shape[:2])
        found.pred_boxes = Boxes(torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4))
        found.pred_classes = torch.tensor([row[4] for row in rows], dtype=torch.int64)
        found.scores = torch.tensor([float(row[5].sum()) / 10_000 for row in rows])
        if self.masks:
            masks = [row[5] for row in rows]
            found.pred_masks = torch.from_numpy(np.array(masks, bool).reshape(count, *pixels.shape[:2]))
        return found


def rectangles(
    height: int, width: int, largest: int, number: int, seed: int = 0
) -> tuple[np.ndarray, dict[tuple[int, int, int, int], int]]:
    """An image with rectangles that do not touch, and their boxes with their classes."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    boxes: dict[tuple[int, int, int, int], int] = {}
    while len(boxes) < number:
        h, w = (int(side) for side in rng.integers(8, largest + 1, 2))
        y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        if image[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2].any():
            continue
        kind = int(rng.integers(3))
        image[y : y + h, x : x + w] = 100 + 10 * kind
        boxes[x, y, x + w, y + h] = kind
    return image, boxes
