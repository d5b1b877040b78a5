"""What a model found in an image, drawn on it."""

from typing import Any

from detectron2.data import Metadata

from .detections import detections_from_instances
from .labels import Picture, fit_image
from .segments import draw_segments
from .visualizer import DetectionVisualizer


def draw_result(
    image: Picture, result: dict[str, Any], metadata: Metadata, confidence: float
) -> tuple[Picture, str]:
    """Draw what a model found: the segments of a panoptic model, otherwise the objects.

    Args:
        image: (H, W, 3) RGB. Small images are enlarged, because labels need room.
        result: of :class:`~detr_d2.predict.ImagePredictor`.
        metadata: names and colors of the classes.
        confidence: lowest score of the objects.

    Returns:
        The picture, (h, w, 3) RGB, and how much was found, in words.
    """
    size = max(*image.shape[:2], 640)
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        picture = draw_segments(image, ids.numpy(), segments, metadata, size)
        return picture, f"{len(segments)} segments"
    detections = detections_from_instances(result["instances"], confidence)
    canvas, factor = fit_image(image, size)
    visualizer = DetectionVisualizer(canvas, metadata)
    return visualizer.draw_detections(detections, factor).get_image(), f"{len(detections)} objects"
