"""Boxes, and masks where there are any, with fixed class colours."""

import numpy as np
import numpy.typing as npt
from detectron2.utils.visualizer import VisImage

from .colors import Color, class_colors, text_color
from .detections import BoolArray, Detections
from .labels import LabelVisualizer, class_names_of, fit_map

_OUTLINE = 2.0  # points
_RIM = 1.4  # points, both sides together


class DetectionVisualizer(LabelVisualizer):
    """Draws :class:`Detections`; class names and colours are the metadata's ``thing_classes`` and
    ``thing_colors``.
    """

    def draw_detections(
        self, detections: Detections, factor: float = 1.0, solid: BoolArray | None = None
    ) -> VisImage:
        """Draw masks, boxes, class names and, where there are any, scores.

        Args:
            detections: N boxes in pixels of the original image.
            factor: original pixels times this are pixels of this visualizer's image.
            solid: (N,) False draws a dashed outline; None draws every outline solid. Crowd regions
                are dotted.

        Returns:
            The picture so far.
        """
        num_classes = int(detections.classes.max(initial=-1)) + 1
        names = class_names_of(self.metadata, num_classes)
        colors = class_colors(len(names), self.metadata.get("thing_colors", None))
        boxes = detections.boxes * factor
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        # Large boxes first, so that small ones and their labels stay on top.
        order = np.argsort(-areas, kind="stable")
        if detections.masks is not None:
            for index in order:
                mask = fit_map(detections.masks[index], self.output.height, self.output.width)
                self.draw_binary_mask(
                    mask.astype(np.uint8), colors[detections.classes[index]], alpha=0.45, area_threshold=0
                )
        # Rims of the other brightness, below all outlines, keep those visible on a ground of their colour.
        for rim in (True, False):
            for index in order:
                color = colors[detections.classes[index]]
                style = "-" if solid is None or solid[index] else "--"
                self._outline(boxes[index], color, ":" if detections.crowd[index] else style, rim)
        for index in order:
            label = names[detections.classes[index]]
            if detections.crowd[index]:
                label += " (crowd)"
            if detections.scores is not None:
                label += f" {detections.scores[index]:.2f}"
            self.draw_label(label, tuple(boxes[index].tolist()), colors[detections.classes[index]])
        return self.output

    def _outline(self, box: npt.NDArray[np.float64], color: Color, style: str, rim: bool) -> None:
        edge = text_color(color) if rim else color
        self.draw_box(tuple(box), alpha=0.6 if rim else 1.0, edge_color=edge, line_style=style)
        patch = self.output.ax.patches[-1]
        patch.set_linewidth(_OUTLINE + _RIM if rim else _OUTLINE)
        if style != "-":
            # Dashes are measured in line widths; those of rim and outline must coincide.
            unit = _OUTLINE / patch.get_linewidth()
            dashes = (3.0, 1.6) if style == "--" else (1.0, 1.0)
            patch.set_linestyle((0, tuple(length * unit for length in dashes)))
