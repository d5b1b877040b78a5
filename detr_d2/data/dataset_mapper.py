"""From a record of a data set to what the model reads."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from fvcore.common.registry import Registry

from .augmentation import build_augmentation
from .errors import DataError
from .validation import has_area

MAPPER_REGISTRY = Registry("MAPPER")
MAPPER_REGISTRY.__doc__ = """
Mappers by name, for ``INPUT.DATASET_MAPPER_NAME``. Each is called as ``mapper(cfg, is_train)`` and returns
a callable that takes a record of a Detectron2 data set, which it leaves as it is, and returns the model's
input for that image, or None to have a training image replaced by another one.
"""


@MAPPER_REGISTRY.register()
class DetrDatasetMapper:
    """Read an image, augment it, and make its annotations ``Instances``.

    The result holds the record's other entries and

    - ``image``: (C, H, W) uint8 tensor in ``image_format``;
    - ``height``, ``width``: size of the original image, in pixels;
    - ``instances``, in training: ``gt_boxes`` ((N, 4), absolute (x0, y0, x1, y1) in the augmented image,
      clipped to it) and ``gt_classes`` ((N,) int64). Crowds, and boxes without area (before or after
      augmentation), are left out; N may be 0.

    Args:
        is_train: whether annotations are read.
        augmentations: applied in this order.
        image_format: as Detectron2's ``INPUT.FORMAT``.
    """

    @configurable
    def __init__(
        self, is_train: bool = True, *, augmentations: Sequence[T.Augmentation], image_format: str
    ) -> None:
        self.is_train = is_train
        self.augmentations = T.AugmentationList(list(augmentations))
        self.image_format = image_format
        mode = "training" if is_train else "evaluation"
        logging.getLogger(__name__).info("Augmentation in %s: %s", mode, list(augmentations))

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Constructor arguments from a config with detr_d2's keys."""
        return {
            "is_train": is_train,
            "augmentations": build_augmentation(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one record.

        Args:
            dataset_dict: a record in Detectron2's format; it is not changed.

        Raises:
            DataError: the image is missing or cannot be decoded, or, in training, the record has no
                "annotations" entry.
            SizeMismatchError: the image has another size than the record says.
        """
        if self.is_train and "annotations" not in dataset_dict:
            raise DataError(
                f"The record of {dataset_dict['file_name']} has no 'annotations', which training needs (an "
                "image without objects has an empty list). Name a data set with instances in DATASETS.TRAIN."
            )
        sample = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        image = read_image(sample["file_name"], self.image_format)
        detection_utils.check_image_size(sample, image)
        augmented = T.AugInput(image)
        transforms = self.augmentations(augmented)
        image = augmented.image
        # (H, W, C) -> (C, H, W)
        sample["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
        if self.is_train:
            annotations = [
                detection_utils.transform_instance_annotations(
                    {key: annotation[key] for key in ("bbox", "bbox_mode", "category_id")},
                    transforms,
                    image.shape[:2],
                )
                for annotation in dataset_dict["annotations"]
                if not annotation.get("iscrowd", 0) and has_area(annotation)
            ]
            instances = detection_utils.annotations_to_instances(annotations, image.shape[:2])
            sample["instances"] = detection_utils.filter_empty_instances(instances)
        return sample


def build_mapper(cfg: CfgNode, is_train: bool) -> Any:
    """The mapper that ``INPUT.DATASET_MAPPER_NAME`` names.

    Raises:
        ValueError: no mapper has that name.
    """
    name = cfg.INPUT.DATASET_MAPPER_NAME
    if name not in MAPPER_REGISTRY:
        known = ", ".join(sorted(known_name for known_name, _ in MAPPER_REGISTRY))
        raise ValueError(f"INPUT.DATASET_MAPPER_NAME: there is no mapper {name!r}; there are: {known}")
    return MAPPER_REGISTRY.get(name)(cfg, is_train)


def read_image(file_name: str, image_format: str) -> np.ndarray:
    """Read an image as (H, W, C) uint8, turned as its EXIF entry says.

    Raises:
        DataError: it is missing or cannot be decoded.
    """
    try:
        return detection_utils.read_image(file_name, format=image_format)
    except FileNotFoundError as error:
        raise DataError(f"Image file {file_name} does not exist.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow raises any of these on damaged files, a SyntaxError on some damaged PNG files.
        raise DataError(f"Image file {file_name} cannot be decoded ({error}). Replace it.") from error
