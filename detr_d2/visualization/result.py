"""What a model found in an image, drawn on it."""

from typing import Any

from detectron2.data import Metadata

from .detections import detections_from_instances
from .labels import Picture, fit_image
from .segments import draw_segments
from .visualizer import DetectionVisualizer


def describe_result(result: dict[str, Any], confidence: float = 0.0) -> tuple[int, str]:
    """How much a model found, and what: the segments of a panoptic model, otherwise the objects."""
    if "panoptic_seg" in result:
        return len(result["panoptic_seg"][1]), "segments"
    return int((result["instances"].scores >= confidence).sum()), "objects"


def draw_result(
    image: Picture,
    result: dict[str, Any],
    metadata: Metadata,
    confidence: float = 0.0,
    size: int | None = None,
    detail: int | None = None,
) -> Picture:
    """Draw what a model found: the segments of a panoptic model, otherwise the objects.

    Args:
        image: (H, W, 3) RGB.
        result: of :class:`~detr_d2.predict.ImagePredictor`.
        metadata: names and colors of the classes.
        confidence: lowest score of the objects.
        size: pixels of the picture's longer side. None keeps that of the image, but enlarges small ones,
            because labels need room.
        detail: pixels of a part of the image that is looked at by itself, which labels suit; None: all of it.

    Returns:
        (h, w, 3) RGB.
    """
    size = size or max(*image.shape[:2], 640)
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        return draw_segments(image, ids.numpy(), segments, metadata, size)
    detections = detections_from_instances(result["instances"], confidence)
    canvas, factor = fit_image(image, size)
    visualizer = DetectionVisualizer(canvas, metadata, detail)
    picture: Picture = visualizer.draw_detections(detections, factor).get_image()
    return picture
