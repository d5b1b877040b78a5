"""What ``demo.py`` does, from Python: a model that draws what it finds in an image file."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from . import model_zoo
from .config_file import read_config
from .errors import UserError
from .modeling.class_loss import CLASS_LOSSES
from .tools.demo import draw_result
from .tools.predictor import ImagePredictor, class_metadata, inference_config


class Predictor:
    """Draws what a trained model finds: objects, or the segments of a panoptic model.

    ``Predictor("COCO-Detection/detr_R_50.yaml").draw("photo.jpg").save("found.jpg")``
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

    def draw(self, image_file: str, confidence: float | None = None) -> Image.Image:
        """A picture of an image with what the model finds in it.

        Args:
            image_file: any image that training could read.
            confidence: lowest score of the objects that are drawn; None takes that of the model's kind of
                class loss. Segments of a panoptic model have a key of ``MODEL.DETR.TEST`` for it.

        Raises:
            UserError: ``confidence`` is not from 0 to 1.
            MissingFileError, DataError: the image is not there, or cannot be read.
        """
        if confidence is None:
            confidence = self._likely
        if not 0 <= confidence <= 1:
            raise UserError(f"confidence must be from 0 to 1, not {confidence}")
        image = self._predict.read_image(image_file)
        height, width = image.shape[:2]
        result = self._predict({"file_name": image_file, "height": height, "width": width, "image_id": 0})
        return Image.fromarray(draw_result(image, result, self._metadata, confidence)[0])
