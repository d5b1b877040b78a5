"""Pictures: predictions beside ground truth, and the curves of one training run or several."""

from .attention import ImageAttention, watch_attention
from .attention_picture import draw_attention
from .colors import class_colors, instance_color
from .comparison import TIME_NOTE, comparison_table, draw_comparison
from .curves import CurvePanel, draw_training_curves, training_panels
from .detections import Detections, detections_from_instances, detections_from_record, match_detections
from .labels import Picture, fit_image
from .metrics_file import TrainingMetrics, read_metrics
from .panel import PanelSample, PanopticSample, draw_panel, summarize
from .picture_file import write_picture
from .result import describe_result, draw_result
from .runs import Run, read_runs
from .segments import draw_segments, segment_colors
from .visualizer import DetectionVisualizer

__all__ = [
    "CurvePanel",
    "DetectionVisualizer",
    "Detections",
    "ImageAttention",
    "PanelSample",
    "PanopticSample",
    "Picture",
    "Run",
    "TIME_NOTE",
    "TrainingMetrics",
    "class_colors",
    "comparison_table",
    "describe_result",
    "detections_from_instances",
    "detections_from_record",
    "draw_comparison",
    "draw_attention",
    "draw_panel",
    "draw_result",
    "draw_segments",
    "draw_training_curves",
    "fit_image",
    "instance_color",
    "match_detections",
    "read_metrics",
    "read_runs",
    "segment_colors",
    "summarize",
    "training_panels",
    "watch_attention",
    "write_picture",
]
