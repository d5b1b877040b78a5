"""Objects as the library ``supervision`` has them, and back; what is installed as an extra."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from ..errors import UserError

if TYPE_CHECKING:
    from supervision import Detections


def of_extra(module: str, extra: str) -> Any:
    """A module of a package that is installed with an extra of detr_d2.

    Raises:
        UserError: it is missing; says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        if not (error.name or "").startswith(module):  # it is there, and something of its own is not
            raise
        raise UserError(
            f"the package {module} is missing: pip install '{module}', or detr_d2 with its extra {extra!r}"
        ) from error


def supervision_detections(instances: Instances, class_names: Sequence[str] = ()) -> Detections:
    """A model's objects as ``supervision.Detections``.

    Args:
        instances: of N objects: ``pred_boxes``, ``scores``, ``pred_classes``; ``pred_masks`` (N, H, W) and
            ``track_ids``, where they are there.
        class_names: by class number, for ``data["class_name"]``; those without a name are "class N".

    Raises:
        UserError: the package supervision is missing.
    """
    classes = instances.pred_classes.numpy(force=True).astype(int)
    names = [class_names[n] if n < len(class_names) else f"class {n}" for n in classes.tolist()]
    detections: Detections = of_extra("supervision", "tiles").Detections(
        xyxy=instances.pred_boxes.tensor.numpy(force=True),
        mask=instances.pred_masks.numpy(force=True) if instances.has("pred_masks") else None,
        confidence=instances.scores.numpy(force=True),
        class_id=classes,
        tracker_id=instances.track_ids.numpy(force=True) if instances.has("track_ids") else None,
        data={"class_name": np.array(names, dtype=str)},
    )
    return detections


class CompactMasks:
    """N masks (H, W) of which only one at a time is made, in ``pred_masks``: all might not find room.

    An integer gives a mask, bool; anything else that takes some of an array's rows gives ``CompactMasks``.

    Args:
        masks: ``supervision``'s.
    """

    def __init__(self, masks: Any) -> None:
        self._masks = masks

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, int | np.integer):
            return self._masks[int(item)]
        rows = np.arange(len(self))
        return CompactMasks(self._masks[rows[item if isinstance(item, slice) else np.asarray(item)]])


def instances_of(detections: Detections, image_size: tuple[int, int], masks: bool) -> Instances:
    """The way back, best first.

    Args:
        detections: with confidence and class numbers, if there are any; masks are compact ones.
        image_size: (H, W).
        masks: whether there are to be ``pred_masks``, which are :class:`CompactMasks`.
    """
    found, none = Instances(image_size), not len(detections)
    scores = np.zeros(0) if none else np.asarray(detections.confidence)
    order = np.argsort(-scores, kind="stable")
    boxes = np.asarray(detections.xyxy, np.float32).reshape(-1, 4)
    classes = np.zeros(0) if none else np.asarray(detections.class_id)
    found.pred_boxes = Boxes(torch.from_numpy(boxes[order]))
    found.scores = torch.from_numpy(scores[order].astype(np.float32))
    found.pred_classes = torch.from_numpy(classes[order].astype(np.int64))
    if masks:
        found.pred_masks = [] if none else CompactMasks(detections.mask)[order]
    return found
