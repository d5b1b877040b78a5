"""What the losses of a batch are divided by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.utils import comm
from torch import Tensor


@dataclass(frozen=True)
class LossNormalizers:
    """Divisors of the box losses and of the class loss, scalars on the model's device.

    Both follow from how many objects each image has, before anything is predicted: an image with T
    objects and N queries has min(N, T) matched queries of weight 1, the others weigh as no-object.
    They can therefore be known for a whole batch before its first micro-batch is computed.

    Attributes:
        num_boxes: objects per process.
        label_weight: sum of the cross entropy's weights per process, for one decoder layer.
    """

    num_boxes: Tensor
    label_weight: Tensor

    @classmethod
    def from_counts(
        cls, counts: Sequence[int], num_queries: int, no_object_weight: float, device: torch.device
    ) -> LossNormalizers:
        """Counts of this process's images alone; they can be 0.

        Args:
            counts: objects of each image.
            num_queries: N.
            no_object_weight: weight of the no-object class.
        """
        matched = sum(min(count, num_queries) for count in counts)
        unmatched = len(counts) * num_queries - matched
        local = torch.tensor([sum(counts), matched + no_object_weight * unmatched], dtype=torch.float32)
        return cls(*local.to(device, non_blocking=True).unbind())

    def averaged(self) -> LossNormalizers:
        """Mean over processes. Gradients are averaged over processes too, so that dividing by this
        on every process equals dividing the sum of all losses by the sum of all counts (at least 1)."""
        world_size = comm.get_world_size()
        if world_size == 1:
            return self.clamped()
        total = torch.stack([self.num_boxes, self.label_weight])
        torch.distributed.all_reduce(total)
        joint = LossNormalizers(*total.unbind()).clamped()
        return LossNormalizers(joint.num_boxes / world_size, joint.label_weight / world_size)

    def clamped(self) -> LossNormalizers:
        """At least 1 box, and no class weight of 0 (no objects, and NO_OBJECT_WEIGHT 0)."""
        return LossNormalizers(self.num_boxes.clamp(min=1), self.label_weight.clamp(min=1e-6))
