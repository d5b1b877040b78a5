"""One picture of several images, ground truth beside predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata

from .colors import Color, class_colors
from .detections import BoolArray, Detections, match_detections
from .grid import Cell, check_layout, draw_grid
from .labels import Picture, class_names_of, fit_image
from .visualizer import DetectionVisualizer

_NOTE = "dashed: object not found, or prediction without an object (same class, IoU of at least 0.5)"


@dataclass(frozen=True)
class PanelSample:
    """One image of the picture.

    Attributes:
        image: (H, W, 3) RGB.
        name: shown above the image, usually its file name.
        truth: annotated objects.
        predictions: the objects to show, best first.
    """

    image: Picture
    name: str
    truth: Detections
    predictions: Detections


def draw_panel(
    samples: Sequence[PanelSample],
    metadata: Metadata | None = None,
    title: str = "Ground truth beside predictions",
    subtitle: str = "",
    image_size: int = 400,
    images_per_row: int | None = None,
) -> Picture:
    """Draw ground truth (left) beside predictions (right) for every sample.

    A dashed outline marks an object that no prediction found, and a prediction that found no object
    (same class, IoU of at least 0.5).

    Args:
        samples: at least one.
        metadata: class names and colours of the data set.
        title: first line of the picture.
        subtitle: second line, smaller; long ones are wrapped.
        image_size: pixels of the longer side of every image in the picture; small images are enlarged.
        images_per_row: by default 2, or 1 where there are fewer than four images.

    Returns:
        (height, width, 3) RGB.

    Raises:
        UserError: there are no samples, or a size is not positive.
    """
    check_layout(len(samples), image_size, images_per_row)
    return draw_grid(
        [_draw_pair(sample, metadata, image_size) for sample in samples],
        ("Ground truth", "Predictions"),
        title,
        subtitle,
        _names_in_legend(samples, metadata),
        _NOTE,
        images_per_row,
    )


def _draw_pair(sample: PanelSample, metadata: Metadata | None, size: int) -> list[Cell]:
    image, factor = fit_image(sample.image, size)
    found, right = match_detections(sample.truth, sample.predictions)

    def draw(detections: Detections, solid: BoolArray) -> Picture:
        visualizer = DetectionVisualizer(image, metadata)
        picture: Picture = visualizer.draw_detections(detections, factor, solid).get_image()
        return picture

    real = ~sample.truth.crowd
    return [
        Cell(sample.name, draw(sample.truth, found)),
        Cell(
            summarise("object", int(found[real].sum()), int(real.sum()), int((~right).sum())),
            draw(sample.predictions, right),
        ),
    ]


def summarise(what: str, found: int, there: int, wrong: int) -> str:
    """Say in a few words how well an image was predicted; ``what`` is in the singular."""
    text = f"found {found} of {there}" if there else f"no {what}s"
    return text + (f", {wrong} wrong" if wrong else "")


def _names_in_legend(samples: Sequence[PanelSample], metadata: Metadata | None) -> list[tuple[str, Color]]:
    """Return names and colours: of all classes where they are few, else of those in the picture."""
    drawn = np.concatenate([d.classes for s in samples for d in (s.truth, s.predictions)])
    names = class_names_of(metadata, int(drawn.max(initial=-1)) + 1)
    colors = class_colors(len(names), metadata.get("thing_colors", None) if metadata is not None else None)
    shown = range(len(names)) if len(names) <= 12 else np.unique(drawn).tolist()
    return [(names[index], colors[index]) for index in shown]
