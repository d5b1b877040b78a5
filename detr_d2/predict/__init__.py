"""What a trained model finds: ``Predictor`` for Python; images and videos from anywhere for the commands."""

from .classes import category_ids, class_metadata
from .interchange import supervision_detections
from .model import ImageLike, ImagePredictor, inference_config
from .predictor import Predictor
from .tiles import Tiles
from .tracks import Tracks

__all__ = [
    "ImageLike",
    "ImagePredictor",
    "Predictor",
    "Tiles",
    "Tracks",
    "category_ids",
    "class_metadata",
    "inference_config",
    "supervision_detections",
]
