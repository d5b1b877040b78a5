"""One picture of several images with their panoptic ground truth and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.data import Metadata

from .grid import Cell, check_layout, draw_grid
from .labels import Picture, fit_image
from .segments import IdMap, Segment, class_of_segment, draw_segments

_NOTE = "shades of a colour: things of one class; dark: no segment; found: same class and IoU above 0.5"


@dataclass(frozen=True)
class PanopticSample:
    """One image of the picture.

    Attributes:
        image: (H, W, 3) RGB.
        name: shown above the image, usually its file name.
        truth: ids (H, W), 0 for no segment, and Detectron2's list of segments.
        prediction: the same of the model.
        summary: shown above the prediction.
    """

    image: Picture
    name: str
    truth: tuple[IdMap, Sequence[Segment]]
    prediction: tuple[IdMap, Sequence[Segment]]
    summary: str = ""


def draw_panoptic_panel(
    samples: Sequence[PanopticSample],
    metadata: Metadata | None = None,
    title: str = "Panoptic ground truth beside predictions",
    subtitle: str = "",
    image_size: int = 400,
    images_per_row: int | None = None,
) -> Picture:
    """Draw image, ground truth and prediction side by side for every sample.

    Args:
        samples: at least one.
        metadata: names and colours of the data set's classes.
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
    groups = [
        [
            Cell(sample.name, fit_image(sample.image, image_size)[0]),
            Cell("", draw_segments(sample.image, *sample.truth, metadata, image_size)),
            Cell(sample.summary, draw_segments(sample.image, *sample.prediction, metadata, image_size)),
        ]
        for sample in samples
    ]
    shown = {
        (not segment["isthing"], segment["category_id"]): class_of_segment(segment, metadata)
        for sample in samples
        for _, segments in (sample.truth, sample.prediction)
        for segment in segments
    }
    legend = [shown[key] for key in sorted(shown)]
    headings = ("Image", "Ground truth", "Prediction")
    return draw_grid(groups, headings, title, subtitle, legend, _NOTE, images_per_row)
