"""Boxes, and masks where there are any, with fixed class colors."""

import numpy as np
from detectron2.utils.visualizer import VisImage
from matplotlib.patheffects import withStroke
from scipy.ndimage import binary_erosion

from .colors import Color, class_name_and_color, text_color
from .detections import BoolArray, Detections
from .labels import LabelVisualizer, Picture, fit_map, label_text

_OPACITY = 0.45


def paint_mask(image: Picture, mask: BoolArray, color: Color) -> None:
    """Color the pixels of a mask, and its outline fully, in place.

    Detectron2's way keeps polygons, or a picture for each mask with holes, which are many in a large image.

    Args:
        image: (H, W, 3) RGB.
        mask: (H, W).
        color: RGB in [0, 1].
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, ground, paint = mask[part], image[part], 255 * np.array(color)
    mixed = ground[inside] * (1 - _OPACITY) + paint * _OPACITY
    ground[inside] = mixed.round()
    ground[inside & ~binary_erosion(inside)] = paint.round()


class DetectionVisualizer(LabelVisualizer):
    """Draws :class:`Detections`; class names and colors are the metadata's ``thing_classes`` and
    ``thing_colors``.
    """

    def draw_detections(
        self, detections: Detections, factor: float = 1.0, solid: BoolArray | None = None
    ) -> VisImage:
        """Draw masks, boxes, class names and, where there are any, scores and tracks.

        Args:
            detections: N boxes in pixels of the original image.
            factor: original pixels times this are pixels of this visualizer's image.
            solid: (N,) False draws a dashed outline; None draws every outline solid. Crowd regions
                are dotted.

        Returns:
            The picture so far.
        """
        boxes = detections.boxes * factor
        # Large boxes first, so that small ones and their labels stay on top.
        order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")
        looks = [class_name_and_color(self.metadata, index) for index in detections.classes.tolist()]
        if detections.masks is not None:
            painted = self.img.copy()
            for index in order:
                mask = fit_map(detections.masks[index], self.output.height, self.output.width)
                paint_mask(painted, mask > 0, looks[index][1])
            self.output.reset_image(painted)
        for index in order:
            name, color = looks[index]
            crowd, box = bool(detections.crowd[index]), tuple(boxes[index].tolist())
            style = ":" if crowd else "-" if solid is None or solid[index] else "--"
            self.draw_box(box, alpha=1, edge_color=color, line_style=style)
            # A rim of the other brightness keeps the outline visible on a ground of its color.
            outline = self.output.ax.patches[-1]
            rim = withStroke(linewidth=outline.get_linewidth() + 1.4, foreground=text_color(color), alpha=0.6)
            outline.set_path_effects([rim])
            score = None if detections.scores is None else float(detections.scores[index])
            track = -1 if detections.tracks is None else int(detections.tracks[index])
            self.draw_label(label_text(name, crowd, score, track), box, color)
        return self.output
