"""Large images in overlapping slices, which the library ``supervision`` cuts and merges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from detectron2.structures import Instances

from ..errors import UserError
from ..progress import counting
from ..visualization import Picture
from .interchange import instances_of, of_extra, supervision_detections
from .model import ImagePredictor

# Two boxes of one class that share so much of the smaller one are taken for one object, which lies in two
# slices, and become one box around both: each may be of the part that its slice has.
_SHARED = 0.5


class Tiles:
    """Called with an image, finds objects in square slices of it, each at the size that the model sees.

    An object is seen whole in some slice if it is not larger than the overlap.

    Args:
        size: side of a slice, in pixels of the image. The last ones end at the image's border, so that all
            have the same size where the image is not smaller.
        overlap: pixels that neighbors share; None takes a quarter of the size.

    Raises:
        UserError: slices that do not go on; or the package supervision is missing.
    """

    def __init__(self, size: int, overlap: int | None = None) -> None:
        if size < 16:
            raise UserError(f"slices must have at least 16 pixels a side, not {size}")
        self.size, self.overlap = size, size // 4 if overlap is None else overlap
        if not 0 <= self.overlap < size:
            raise UserError(f"slices of {size} pixels must overlap by 0 to {size - 1}, not {overlap}")
        self._supervision = of_extra("supervision", "tiles")

    def __call__(
        self, predict: ImagePredictor, image: Picture, confidence: float, at_once: int = 1
    ) -> Instances:
        """The objects of all slices, merged and in the image's pixels, best first.

        ``pred_masks`` are :class:`~.interchange.CompactMasks`.

        Args:
            predict: of a model that gives instances.
            image: (H, W, 3) RGB.
            confidence: lowest score; what is below does not take part in the merging.
            at_once: slices that go through the model together.
        """
        masked = False

        def find(tiles: list[Picture], count: Callable[[], object] | None) -> list[Any]:
            nonlocal masked
            samples = [predict.sample(np.ascontiguousarray(tile)) for tile in tiles]
            found = []
            for result in predict.batch(samples, at_once):
                instances = result["instances"]
                masked = masked or instances.has("pred_masks")
                instances = instances[instances.scores >= confidence]
                instances.pred_boxes.clip(instances.image_size)
                found.append(supervision_detections(instances))
                if count is not None:
                    count()
            return found

        with counting("Slices", "slices") as count:
            slicer = self._supervision.InferenceSlicer(
                (lambda tiles: find(tiles, count)) if at_once > 1 else (lambda tile: find([tile], count)[0]),
                slice_wh=self.size,
                overlap_wh=self.overlap,
                overlap_filter="non_max_merge",
                overlap_metric="IOS",
                iou_threshold=_SHARED,
                batch_size=at_once,
                compact_masks=True,
            )
            merged = slicer(image)
        height, width = image.shape[:2]
        return instances_of(merged, (height, width), masked)
