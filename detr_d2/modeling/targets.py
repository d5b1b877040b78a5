"""Ground truth of a batch: one padded tensor for each field, and masks image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.structures import BitMasks, ImageList, Instances
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import DataError
from .boxes import xyxy_to_cxcywh


@dataclass(frozen=True)
class Targets:
    """Objects of B images, padded to T, the largest object count of the batch.

    Padding is at the end of each row and has label 0 and box 0; ``counts`` tells where it starts. Masks,
    which are large, are not padded.

    Attributes:
        labels: (B, T) int64, contiguous class ids.
        boxes: (B, T, 4) float32, (cx, cy, w, h) as a share of the image without its padding.
        counts: objects of each image, kept on the host so that reading them never waits for a device.
        masks: for each image (count, height, width) bool of its own size; or None.
    """

    labels: Tensor
    boxes: Tensor
    counts: tuple[int, ...]
    masks: tuple[Tensor, ...] | None = None

    def repeated(self, times: int) -> Targets:
        """Each image's objects ``times`` times in a row: (B·times, T). Masks are left out."""
        if times == 1:
            return self
        return Targets(
            self.labels.repeat_interleave(times, dim=0),
            self.boxes.repeat_interleave(times, dim=0),
            tuple(count for count in self.counts for _ in range(times)),
        )

    @classmethod
    def of_batch(
        cls,
        batched_inputs: Sequence[dict[str, Any]],
        images: ImageList,
        num_classes: int,
        with_masks: bool = False,
    ) -> Targets:
        """The ``instances`` of a batch, after a look at whether a model can learn from them.

        Args:
            batched_inputs: Detectron2's dicts.
            images: the batch that was made of them.
            num_classes: of the model.
            with_masks: collect masks.

        Raises:
            DataError: a class that the model does not have, or objects without bitmasks; names the image.
        """
        for x in batched_inputs:
            classes = x["instances"].gt_classes
            if len(classes) and int(classes.max()) >= num_classes:
                raise DataError(
                    f"{image_name(x)} has an object of class {int(classes.max())}, but the model's classes "
                    f"are 0 to {num_classes - 1}: set MODEL.DETR.NUM_CLASSES to the data set's number"
                )
            if with_masks and len(classes) and not x["instances"].has("gt_masks"):
                raise DataError(
                    f"{image_name(x)} has objects without masks: use a data set with segmentations, or set "
                    "MODEL.MASK_ON False"
                )
            if with_masks and len(classes) and not isinstance(x["instances"].gt_masks, BitMasks):
                raise DataError(
                    f"{image_name(x)} has masks as {type(x['instances'].gt_masks).__name__}: set "
                    "INPUT.MASK_FORMAT to 'bitmask', or use DetrDatasetMapper"
                )
        return cls.from_instances([x["instances"] for x in batched_inputs], images.tensor.device, with_masks)

    @classmethod
    def from_instances(
        cls,
        instances: Sequence[Instances],
        device: torch.device,
        with_masks: bool = False,
    ) -> Targets:
        """Collect ``gt_classes`` and ``gt_boxes`` of each image, and ``gt_masks`` where asked for.

        Args:
            instances: one for each image; boxes absolute (x0, y0, x1, y1) in pixels of ``image_size``,
                masks as ``BitMasks`` of that size, which an image without objects need not have.
            device: where the tensors go, in one copy each.
            with_masks: collect masks.
        """
        labels = [image.gt_classes for image in instances]
        boxes = []
        for image in instances:
            height, width = image.image_size
            absolute = image.gt_boxes.tensor
            boxes.append(xyxy_to_cxcywh(absolute) / absolute.new_tensor([width, height, width, height]))
        return cls(
            labels=pad_sequence(labels, batch_first=True).to(device, torch.int64, non_blocking=True),
            boxes=pad_sequence(boxes, batch_first=True).to(device, torch.float32, non_blocking=True),
            counts=tuple(len(image_labels) for image_labels in labels),
            masks=tuple(_masks(image).to(device, non_blocking=True) for image in instances)
            if with_masks
            else None,
        )


def image_name(batched_input: dict[str, Any]) -> str:
    """How to call an input in a message to the user."""
    return str(batched_input.get("file_name") or batched_input.get("image_id") or "an unnamed image")


def _masks(image: Instances) -> Tensor:
    """(n, height, width) bool of an image."""
    if not len(image):
        return torch.zeros(0, *image.image_size, dtype=torch.bool)
    masks: Tensor = image.gt_masks.tensor
    assert masks.shape == (len(image), *image.image_size), f"masks of {tuple(masks.shape)}"
    return masks
