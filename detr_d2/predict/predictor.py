"""``Predictor``: what a trained model finds in images, in three lines of Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from PIL import Image

from .. import model_zoo
from ..config_file import read_config
from ..errors import UserError
from ..modeling.class_losses import CLASS_LOSSES
from ..visualization import Picture, draw_result
from .classes import class_metadata
from .interchange import supervision_detections
from .model import ImageLike, ImagePredictor, inference_config

if TYPE_CHECKING:
    from supervision import Detections

Several = list[str] | list[Path] | list[Picture]

# So many images are in memory.
_AT_ONCE = 64


class Predictor:
    """Finds with a trained model: objects, or the segments of a panoptic model.

    ::

        predictor = Predictor("COCO-Detection/detr_R_50.yaml")
        predictor.draw("photo.jpg").save("found.jpg")
        instances = predictor("photo.jpg")["instances"]

    :meth:`detections` gives the same as ``supervision.Detections``.

    Attributes:
        class_names: by the numbers of ``pred_classes``; empty where neither weights nor a data set tell.
    """

    def __init__(self, config: str, weights: str | None = None, device: str | None = None) -> None:
        """Build the model and load its weights.

        Args:
            config: a YAML file, or the name of a config that comes with detr_d2.
            weights: checkpoint or address. None takes those of the file or, of a config that comes with
                detr_d2, the published ones.
            device: None takes the config's, or the CPU where PyTorch sees no GPU.

        Raises:
            UserError: a file or device is not there, there are no weights, or they do not fit.
        """
        file = config
        if not Path(config).is_file():
            file = model_zoo.get_config_file(config)
            weights = weights or model_zoo.get_checkpoint_url(config)
        wanted = device or read_config(file).MODEL.DEVICE
        if device is None and not torch.cuda.is_available():
            wanted = "cpu"
        cfg = inference_config(file, weights=weights, device=wanted)
        self._predict = ImagePredictor(cfg)
        self._likely = CLASS_LOSSES[cfg.MODEL.DETR.CLASS_LOSS].likely
        self._metadata = class_metadata(cfg, self._predict.class_names, self._predict.stuff_names)
        self.class_names: list[str] = list(self._metadata.get("thing_classes", ()))

    @overload
    def __call__(self, images: ImageLike) -> dict[str, Any]: ...

    @overload
    def __call__(self, images: Several) -> list[dict[str, Any]]: ...

    def __call__(self, images: ImageLike | Several) -> dict[str, Any] | list[dict[str, Any]]:
        """What is found, as Detectron2's models give it, on the CPU.

        Args:
            images: one or several; those of one size after resizing go through the model together.

        Returns:
            for one image ``instances`` (``Instances`` with ``pred_boxes`` in its pixels, ``scores``,
            ``pred_classes`` and, of models with masks, ``pred_masks``) and ``panoptic_seg``, as far as the
            config asks for them; for several images a list.

        Raises:
            MissingFileError, DataError: an image is not there, or cannot be read.
        """
        if isinstance(images, str | Path | np.ndarray):
            return self._predict(self._predict.sample(images))
        chunks = (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))
        batches = (self._predict.batch([self._predict.sample(x) for x in chunk]) for chunk in chunks)
        return [result for batch in batches for result in batch]

    @overload
    def detections(self, images: ImageLike, confidence: float | None = None) -> Detections: ...

    @overload
    def detections(self, images: Several, confidence: float | None = None) -> list[Detections]: ...

    def detections(
        self, images: ImageLike | Several, confidence: float | None = None
    ) -> Detections | list[Detections]:
        """What is found as ``supervision.Detections``, with class names in their ``data["class_name"]``.

        Args:
            images: as of a call.
            confidence: lowest score; None takes that of the model's kind of class loss.

        Raises:
            UserError: the package supervision is missing, ``confidence`` is not from 0 to 1, or the model
                gives no objects.
            MissingFileError, DataError: an image is not there, or cannot be read.
        """
        if isinstance(images, str | Path | np.ndarray):
            return self._detections(self(images), self._least(confidence))
        return [self._detections(found, self._least(confidence)) for found in self(images)]

    def _detections(self, found: dict[str, Any], confidence: float) -> Detections:
        if "instances" not in found:
            raise UserError("the model gives segments alone: switch MODEL.DETR.TEST.INSTANCE_ON on")
        instances = found["instances"]
        return supervision_detections(instances[instances.scores >= confidence], self.class_names)

    def _least(self, confidence: float | None) -> float:
        """The lowest score that counts."""
        if confidence is None:
            return self._likely
        if not 0 <= confidence <= 1:
            raise UserError(f"confidence must be from 0 to 1, not {confidence}")
        return confidence

    def draw(self, image: ImageLike, confidence: float | None = None) -> Image.Image:
        """A picture of an image with what the model finds in it.

        Args:
            image: any file that training could read, or pixels.
            confidence: lowest score of the objects that are drawn; None takes that of the model's kind of
                class loss. Segments of a panoptic model have a key of ``MODEL.DETR.TEST`` for it.

        Raises:
            UserError: ``confidence`` is not from 0 to 1.
            MissingFileError, DataError: the image is not there, or cannot be read.
        """
        confidence = self._least(confidence)
        pixels = image if isinstance(image, np.ndarray) else self._predict.read_image(str(image))
        return Image.fromarray(draw_result(pixels, self(image), self._metadata, confidence))
