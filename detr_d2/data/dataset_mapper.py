"""From a record of a data set to what the model reads."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.logger import log_first_n
from fvcore.common.registry import Registry

from ..errors import ConfigError, DataError
from .augmentation import build_augmentation
from .images import MAX_PIXELS, ReadingOptions, read_image, reading_options
from .masks import rasterize, segmentation_faults, transform_masks
from .pixels import FULL_WHITE
from .records import corners

MAPPER_REGISTRY = Registry("MAPPER")
MAPPER_REGISTRY.__doc__ = """
Mappers by name, for ``INPUT.DATASET_MAPPER_NAME``. Each is called as ``mapper(cfg, is_train)`` and returns
a callable that takes a record of a Detectron2 data set, which it leaves as it is, and returns the model's
input for that image, or None to have a training image replaced by another one.
"""


class Objects(NamedTuple):
    """The objects of an image that a model is trained on, before augmentation.

    Attributes:
        boxes: (N, 4) float, absolute (x0, y0, x1, y1).
        classes: class number of each.
        masks: (N, H, W) bool at the size of the original image, or None.
    """

    boxes: np.ndarray
    classes: list[int]
    masks: np.ndarray | None


@MAPPER_REGISTRY.register()
class DetrDatasetMapper:
    """Read an image, augment it, and make its annotations ``Instances``.

    The result holds the record's other entries and

    - ``image``: (C, H, W) uint8 tensor in ``image_format``;
    - ``height``, ``width``: size of the original image, in pixels;
    - ``instances``, in training: ``gt_boxes`` ((N, 4), absolute (x0, y0, x1, y1) in the augmented image,
      clipped to it), ``gt_classes`` ((N,) int64) and, where masks are asked for, ``gt_masks`` (``BitMasks``
      (N, H, W) of the augmented image). Crowds, objects without area or without pixels (before or after
      augmentation) and, where masks are asked for, those without a usable segmentation are left out; N may
      be 0.

    Args:
        is_train: whether annotations are read.
        augmentations: applied in this order.
        image_format: as Detectron2's ``INPUT.FORMAT``.
        masks: whether the instances have masks. They may be annotated as polygons, RLE or (H, W) arrays.
        max_pixels, white_level: as :func:`~detr_d2.data.images.read_image`.
    """

    @configurable
    def __init__(
        self,
        is_train: bool = True,
        *,
        augmentations: Sequence[T.Augmentation],
        image_format: str,
        masks: bool = False,
        max_pixels: int = MAX_PIXELS,
        white_level: int = FULL_WHITE,
    ) -> None:
        self.is_train = is_train
        self.augmentations = T.AugmentationList(list(augmentations))
        self.image_format = image_format
        self.masks = masks
        self.reading_options = ReadingOptions(max_pixels=max_pixels, white_level=white_level)
        mode = "training" if is_train else "evaluation"
        logging.getLogger(__name__).info("Augmentation in %s: %s", mode, list(augmentations))

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Constructor arguments from a config with detr_d2's keys."""
        return {
            "is_train": is_train,
            "augmentations": build_augmentation(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
            "masks": cfg.MODEL.MASK_ON,
            **reading_options(cfg),
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one record.

        Args:
            dataset_dict: a record in Detectron2's format; it is not changed.

        Raises:
            MissingFileError: the image is not there.
            DataError: it cannot be decoded, or, in training, the annotations are not there or cannot be used.
            SizeMismatchError: the image has another size than the record says.
        """
        sample = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        image = read_image(sample["file_name"], self.image_format, **self.reading_options)
        detection_utils.check_image_size(sample, image)
        objects = self.read_objects(dataset_dict, *image.shape[:2]) if self.is_train else None
        augmented = T.AugInput(image)
        transforms = self.augmentations(augmented)
        image = augmented.image
        # (H, W, C) -> (C, H, W)
        sample["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
        if objects is not None:
            sample["instances"] = augment_objects(objects, transforms, image.shape[:2])
            if not self.masks and sample["instances"].has("gt_masks"):
                sample["instances"].remove("gt_masks")
        return sample

    def read_objects(self, record: dict[str, Any], height: int, width: int) -> Objects:
        """The objects of a record that are trained on.

        Args:
            record: in Detectron2's format.
            height, width: of its image, in pixels.

        Raises:
            DataError: the record has no annotations, or they cannot be used.
        """
        if "annotations" not in record:
            hint = "Name a data set with instances in DATASETS.TRAIN."
            if "segments_info" in record:
                hint = "Set INPUT.DATASET_MAPPER_NAME to DetrPanopticDatasetMapper for panoptic data sets."
            raise DataError(
                f"The record of {record['file_name']} has no 'annotations', which training needs (an image "
                f"without objects has an empty list). {hint}"
            )
        objects = []
        for number, annotation in enumerate(record["annotations"]):
            if not annotation.get("iscrowd", 0):
                x0, y0, x1, y1 = box = corners(annotation)
                if x1 > x0 and y1 > y0:
                    objects.append((number, annotation, box))
        masks = None
        if self.masks:  # those that stay empty leave with their objects
            masks = np.zeros((len(objects), height, width), dtype=bool)
            for mask, (number, annotation, _) in zip(masks, objects, strict=True):
                where = f"Image {record['file_name']}, annotation {number} (counted from 0)"
                mask[:] = _read_mask(annotation.get("segmentation"), height, width, where)
        boxes = np.array([box for _, _, box in objects], dtype=np.float64).reshape(-1, 4)
        return Objects(boxes, [annotation["category_id"] for _, annotation, _ in objects], masks)


def _read_mask(segmentation: Any, height: int, width: int, where: str) -> np.ndarray | bool:
    """The (height, width) bool mask of an annotation, or False where none can be used; says a fault."""
    faults = segmentation_faults(segmentation, height, width)
    mask = False if faults.unusable else rasterize(segmentation, height, width)
    why = faults.why or ("" if np.any(mask) else "its mask covers no pixel")
    if why:
        left_out = "that part of its mask" if np.any(mask) else "the object"
        text = f"{where}: {why}, so {left_out} is left out. Such faults are said once."
        log_first_n(logging.WARNING, text, n=1, name=__name__)
    return mask


def augment_objects(objects: Objects, transforms: T.TransformList, image_size: tuple[int, int]) -> Instances:
    """Targets of an augmented image: boxes are clipped, and what has no area or no pixel is left out.

    Args:
        objects: before augmentation.
        transforms: what was done to the image.
        image_size: (height, width) of the augmented image.

    Returns:
        Instances with ``gt_boxes``, ``gt_classes`` and, where the objects have masks, ``gt_masks``.
    """
    height, width = image_size
    instances = Instances((height, width))
    boxes = transforms.apply_box(objects.boxes)
    instances.gt_boxes = Boxes(torch.as_tensor(boxes.clip(0, [width, height, width, height])))
    instances.gt_classes = torch.tensor(objects.classes, dtype=torch.int64)
    if objects.masks is not None:
        masks = np.zeros((0, height, width), dtype=bool)
        if len(objects.masks):
            masks = transform_masks(objects.masks, transforms)
        instances.gt_masks = BitMasks(torch.from_numpy(masks))
    return detection_utils.filter_empty_instances(instances)


def build_mapper(cfg: CfgNode, is_train: bool) -> Any:
    """The mapper that ``INPUT.DATASET_MAPPER_NAME`` names.

    Raises:
        ConfigError: no mapper has that name.
    """
    name = cfg.INPUT.DATASET_MAPPER_NAME
    if name not in MAPPER_REGISTRY:
        known = ", ".join(sorted(known_name for known_name, _ in MAPPER_REGISTRY))
        raise ConfigError(f"INPUT.DATASET_MAPPER_NAME: there is no mapper {name!r}; there are: {known}")
    return MAPPER_REGISTRY.get(name)(cfg, is_train)
