"""A model with its weights, asked for what it finds: ``ImagePredictor`` gives Detectron2's results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from torch import nn

from ..checkpoint import DetrCheckpointer
from ..checkpoint.class_rows import CATEGORY_IDS
from ..classes import category_numbers, thing_classes
from ..config_file import read_config
from ..data.augmentation import build_augmentation
from ..data.dataset_mapper import build_mapper
from ..data.images import image_header, read_image, reading_options
from ..engine.setup import check_device, make_ready
from ..errors import UserError
from ..modeling.build import check_mask_config
from ..modeling.fast import fast
from ..visualization import Picture

# An image file, or pixels (H, W, 3) uint8 RGB.
ImageLike = str | Path | Picture

# So many images of one size go through a model together.
BATCH = 8


def inference_config(
    config_file: str, opts: Sequence[str] = (), weights: str | None = None, device: str | None = None
) -> CfgNode:
    """Read a config for inference and register its data sets.

    Args:
        config_file: YAML file, with ``_BASE_`` inheritance.
        opts: KEY VALUE pairs that change it.
        weights: replaces ``MODEL.WEIGHTS``.
        device: replaces ``MODEL.DEVICE``.

    Returns:
        The frozen config.

    Raises:
        UserError: a file, key, value or device does not exist, or there are no weights.
    """
    cfg = read_config(config_file, opts)
    if weights is not None:
        cfg.MODEL.WEIGHTS = weights
    if device is not None:
        cfg.MODEL.DEVICE = device
    if not cfg.MODEL.WEIGHTS:
        raise UserError("no weights: name a checkpoint with --weights (or MODEL.WEIGHTS)")
    if "://" not in cfg.MODEL.WEIGHTS and not PathManager.exists(cfg.MODEL.WEIGHTS):
        raise UserError(
            f"the checkpoint {cfg.MODEL.WEIGHTS} does not exist: train first, or correct --weights"
        )
    check_device(cfg)
    make_ready(cfg)
    return cfg


class ImagePredictor:
    """Called with a data-set record, returns what the model finds in its image.

    The record needs ``file_name``, ``height`` and ``width`` (pixels), or is what :meth:`sample` makes. The
    image is read and resized as in evaluation. The result is the model's, on the CPU and at the original
    image's size: ``instances`` (``Instances``) and ``panoptic_seg`` (ids and a list of segments), as far as
    the config asks for them.

    Attributes:
        model: in evaluation mode, on ``MODEL.DEVICE``.
        class_names: of the data set that the weights were trained on, things and stuff in one list, as the
            checkpoint file tells; empty where it does not.
        stuff_names: the names of the same numbers where they are stuff; empty where there is none.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Build the config's model with the weights ``MODEL.WEIGHTS``.

        Where no data set of the config tells things from stuff, the checkpoint file does.

        Raises:
            ConfigError: neither tells things from stuff, which panoptic segmentation needs.
            MissingFileError: there is no such file.
            UserError: it is damaged, cannot be read safely, or is of no known layout or another model.
        """
        test = cfg.MODEL.DETR.TEST
        from_weights = test.PANOPTIC_ON and cfg.MODEL.MASK_ON and thing_classes(cfg) is None
        self.model: nn.Module = build_model(_with_instances_alone(cfg) if from_weights else cfg)
        rows, datasets = cfg.MODEL.DETR.CLASS_ROWS, (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
        numbers = partial(category_numbers, datasets, load=rows == CATEGORY_IDS)
        checkpointer = DetrCheckpointer(self.model, class_rows=rows, category_ids=numbers)
        metadata = checkpointer.load(cfg.MODEL.WEIGHTS).get("metadata", {})
        if from_weights:
            if "things" not in metadata:
                check_mask_config(cfg)  # says what is missing
            asked = {"instances_on": test.INSTANCE_ON, "panoptic_on": True, "things": metadata["things"]}
            self.model.inference = replace(self.model.inference, **asked)
        self._detect = fast(cfg, self.model.eval())
        self.class_names: list[str] = list(metadata.get("thing_classes", ()))
        self.stuff_names: list[str] = list(metadata.get("stuff_classes", ()))
        self._mapper = build_mapper(cfg, is_train=False)
        self._augmentations = T.AugmentationList(build_augmentation(cfg, is_train=False))
        self._is_bgr = cfg.INPUT.FORMAT == "BGR"
        self._reading_options = reading_options(cfg)

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        return self.batch([record])[0]

    def batch(self, records: Sequence[dict[str, Any]], at_once: int = BATCH) -> list[dict[str, Any]]:
        """Results of several records. Images of one size after resizing go through the model together.

        Args:
            records: as of a call.
            at_once: largest number of images that do.
        """
        samples = [record if "image" in record else self._mapper(dict(record)) for record in records]
        of_size: dict[tuple[int, ...], list[int]] = {}
        for place, sample in enumerate(samples):
            of_size.setdefault(tuple(sample["image"].shape), []).append(place)
        results: list[dict[str, Any]] = [{} for _ in samples]
        for places in of_size.values():
            for start in range(0, len(places), at_once):
                some = places[start : start + at_once]
                with torch.inference_mode():
                    found = self._detect([samples[place] for place in some])
                for place, result in zip(some, found, strict=True):
                    results[place] = _on_cpu(result)
        return results

    def sample(self, image: ImageLike) -> dict[str, Any]:
        """What the model is given of an image: its pixels after resizing, and its size before.

        Raises:
            MissingFileError, DataError: as :func:`~detr_d2.data.images.read_image`.
            UserError: an array that is no image.
        """
        if not isinstance(image, np.ndarray):
            size = image_header(str(image), self._reading_options["max_pixels"], "Image file")
            record = {"file_name": str(image), "height": size.height, "width": size.width, "image_id": 0}
            return dict(self._mapper(record))
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UserError(f"an image must be (H, W, 3) uint8 in RGB, not {image.shape} {image.dtype}")
        augmented = T.AugInput(image[..., ::-1] if self._is_bgr else image)
        self._augmentations(augmented)
        pixels = torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1)))
        return {"image": pixels, "height": image.shape[0], "width": image.shape[1]}

    def read_image(self, file_name: str) -> Picture:
        """The image to draw on, (H, W, 3) RGB: what the model sees before it is resized.

        Raises:
            MissingFileError, DataError: as :func:`~detr_d2.data.images.read_image`.
        """
        return read_image(file_name, "RGB", **self._reading_options)


def _on_cpu(result: dict[str, Any]) -> dict[str, Any]:
    if "instances" in result:
        result["instances"] = result["instances"].to("cpu")
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        result["panoptic_seg"] = ids.cpu(), segments
    return result


def _with_instances_alone(cfg: CfgNode) -> CfgNode:
    """A config whose model can be built without knowing what is stuff."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DETR.TEST.INSTANCE_ON, cfg.MODEL.DETR.TEST.PANOPTIC_ON = True, False
    return cfg
