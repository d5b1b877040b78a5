"""Ground truth of a batch, padded to one tensor for each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.structures import Instances
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .boxes import xyxy_to_cxcywh


@dataclass(frozen=True)
class Targets:
    """Objects of B images, padded to T, the largest object count of the batch.

    Padding is at the end of each row and has label 0 and box 0; ``counts`` tells where it starts.

    Attributes:
        labels: (B, T) int64, contiguous class ids.
        boxes: (B, T, 4) float32, (cx, cy, w, h) as a share of the image without its padding.
        counts: objects of each image, kept on the host so that reading them never waits for a device.
    """

    labels: Tensor
    boxes: Tensor
    counts: tuple[int, ...]

    def repeated(self, times: int) -> Targets:
        """Each image's objects ``times`` times in a row: (B·times, T)."""
        if times == 1:
            return self
        return Targets(
            self.labels.repeat_interleave(times, dim=0),
            self.boxes.repeat_interleave(times, dim=0),
            tuple(count for count in self.counts for _ in range(times)),
        )

    def every(self, step: int) -> Targets:
        """The first of each ``step`` images in a row, which undoes :meth:`repeated`."""
        return Targets(self.labels[::step], self.boxes[::step], self.counts[::step])

    @classmethod
    def from_instances(cls, instances: Sequence[Instances], device: torch.device) -> Targets:
        """Collect ``gt_classes`` and ``gt_boxes`` of each image.

        Args:
            instances: one for each image; boxes absolute (x0, y0, x1, y1) in pixels of ``image_size``.
            device: where the padded tensors go, in one copy each.
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
        )
