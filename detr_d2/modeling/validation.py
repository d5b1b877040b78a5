"""The loss of a whole data set, to be held against that of training."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.utils import comm

from .criterion import CLASS_TERM
from .detr import Detr
from .normalizers import LossNormalizers


class ValidationLoss:
    """Sums up the losses of a model's predictions, without auxiliary supervision.

    The sums over all images of all processes are divided by the counts of all of them, as the sums over a
    batch are in training. So it does not matter how images are spread over batches and processes, but for
    the padding that they have in a batch.

    Args:
        model: in evaluation mode when :meth:`add` is called.
    """

    def __init__(self, model: Detr):
        self._model = model
        self._sums: dict[str, float] = {}
        self._counts: list[int] = []

    @torch.no_grad()
    def add(self, batched_inputs: list[dict[str, Any]]) -> None:
        """Add a batch, as it is in training.

        Raises:
            DataError: objects that the model does not know; names the image.
        """
        model = self._model
        images = model.preprocess(batched_inputs)
        targets = model.targets(batched_inputs, images)
        _, predictions, masks = model.decode(images, None)
        one = torch.ones((), device=images.tensor.device)
        losses, _ = model.all_losses(predictions, masks, targets, images, LossNormalizers(one, one))
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(loss)
        self._counts += targets.counts

    def result(self) -> dict[str, float]:
        """The losses of the last decoder layer by name, and ``total_loss``, the sum over all layers; {}
        where no process has an image. Every process calls it and gets the same."""
        gathered = comm.all_gather((self._sums, self._counts))
        counts = [count for _, own in gathered for count in own]
        criterion = self._model.criterion
        no_object = criterion.class_loss.no_object_weight
        normalizers = LossNormalizers.from_counts(
            counts, criterion.num_queries, no_object, torch.device("cpu")
        ).clamped()
        of_classes = float(criterion.class_loss.divisor(normalizers))
        of_boxes = float(normalizers.num_boxes)
        losses: dict[str, float] = {}
        for sums, _ in gathered:
            for name, value in sums.items():
                divisor = of_classes if name.startswith(CLASS_TERM) else of_boxes
                losses[name] = losses.get(name, 0.0) + value / divisor
        if not losses:
            return {}
        last = {name: value for name, value in losses.items() if not name[-1].isdigit()}
        return {**last, "total_loss": sum(losses.values())}
