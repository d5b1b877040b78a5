"""Pictures: predictions beside ground truth, and the curves of a training run."""

from .colors import class_colors
from .curves import draw_training_curves
from .detections import Detections, detections_from_instances, detections_from_record, match_detections
from .metrics_file import TrainingMetrics, read_metrics
from .panel import PanelSample, draw_panel
from .visualizer import DetectionVisualizer, fit_image

__all__ = [
    "DetectionVisualizer",
    "Detections",
    "PanelSample",
    "TrainingMetrics",
    "class_colors",
    "detections_from_instances",
    "detections_from_record",
    "draw_panel",
    "draw_training_curves",
    "fit_image",
    "match_detections",
    "read_metrics",
]
