"""From the predictions of a batch to what Detectron2's tools read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.structures import ImageList
from torch import Tensor

from .class_losses import ClassLoss
from .mask_criterion import MaskPredictor
from .panoptic import merge_panoptic, panoptic_queries
from .postprocessing import detections, instance_masks


@dataclass(frozen=True)
class Sizes:
    """What a batch's sizes are: (height, width) in pixels.

    Attributes:
        padded: of the batch.
        images: of each image in it, without padding.
        outputs: of each image's result.
    """

    padded: tuple[int, int]
    images: Sequence[tuple[int, int]]
    outputs: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, batched_inputs: Sequence[dict[str, Any]], images: ImageList) -> Sizes:
        """Sizes of a batch; a result has its input's ``height`` and ``width``, or else the image's."""
        outputs = [
            (x.get("height", height), x.get("width", width))
            for x, (height, width) in zip(batched_inputs, images.image_sizes, strict=True)
        ]
        return cls((images.tensor.shape[-2], images.tensor.shape[-1]), images.image_sizes, outputs)


@dataclass(frozen=True)
class Inference:
    """What inference gives, and from which queries.

    Attributes:
        instances_on: give ``instances``.
        panoptic_on: give ``panoptic_seg``; needs masks and ``things``.
        things: the classes that are things, of which instances are made; None: all are. Instances and
            segments have the numbers of the whole list of things and stuff, by which Detectron2's
            ``Visualizer`` finds their names.
        score_threshold: instances of a lower score are left out.
        mask_threshold: probability above which a pixel belongs to an instance's mask.
        panoptic_score_threshold: score above which a query takes part in panoptic segmentation.
        panoptic_min_area: pixels up to which a panoptic segment is left out.
        mask_chunk: queries that the mask head takes at a time, all images counted.
        class_loss: how classes are learned.
        limit: instances of an image, where a query may give several.
    """

    instances_on: bool
    panoptic_on: bool
    things: Sequence[int] | None
    score_threshold: float
    mask_threshold: float
    panoptic_score_threshold: float
    panoptic_min_area: int
    mask_chunk: int
    class_loss: ClassLoss
    limit: int

    def __call__(
        self, logits: Tensor, boxes: Tensor, sizes: Sizes, predict_masks: MaskPredictor | None = None
    ) -> list[dict[str, Any]]:
        """Results of a batch. Masks are predicted once, and only of the queries that a result shows.

        Args:
            logits: (B, N, K), see :class:`ClassLoss`.
            boxes: (B, N, 4) normalized (cx, cy, w, h).
            sizes: of the batch.
            predict_masks: gives the masks; None leaves them out.

        Returns:
            for each image ``instances`` and ``panoptic_seg`` as Detectron2 defines them, if asked for.
        """
        best = (self.things, self.score_threshold, self.class_loss, self.limit)
        found = detections(logits, boxes, sizes.outputs, *best)
        results: list[dict[str, Any]] = [{} for _ in found]
        if self.instances_on:
            results = [{"instances": instances} for instances, _ in found]
        if predict_masks is None:
            return results
        none = torch.zeros(0, dtype=torch.int64, device=logits.device)
        shown = [queries if self.instances_on else none for _, queries in found]
        rule = (self.panoptic_score_threshold, self.class_loss)
        merged = [panoptic_queries(x, *rule) if self.panoptic_on else none for x in logits]
        wanted = [torch.cat(both).unique() for both in zip(shown, merged, strict=True)]  # ascending
        for i, masks in enumerate(predict_masks(wanted, self.mask_chunk)):
            size = (sizes.padded, sizes.images[i], sizes.outputs[i])
            if self.instances_on:
                of_instances = masks[torch.searchsorted(wanted[i], shown[i])]
                results[i]["instances"].pred_masks = instance_masks(of_instances, *size, self.mask_threshold)
            if self.panoptic_on:
                scores, classes = self.class_loss.best(logits[i, merged[i]])
                of_segments = masks[torch.searchsorted(wanted[i], merged[i])]
                results[i]["panoptic_seg"] = merge_panoptic(
                    scores, classes, of_segments, *size, self.things or (), self.panoptic_min_area
                )
        return results
