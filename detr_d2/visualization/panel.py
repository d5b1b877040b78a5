"""One picture of several images, ground truth beside predictions: boxes, or panoptic segments."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.data import Metadata

from .colors import class_name_and_color
from .detections import BoolArray, Detections, match_detections
from .labels import Picture, fit_image
from .page import draw_page
from .segments import IdMap, Segment, class_of_segment, draw_segments
from .visualizer import DetectionVisualizer

_DASHED = "dashed: object not found, or prediction without an object (same class, IoU of at least 0.5)"
_SHADES = "shades of a color: things of one class; dark: no segment; found: same class and IoU above 0.5"


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


@dataclass(frozen=True)
class PanopticSample:
    """One image of the panoptic picture.

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
    (same class, IoU of at least 0.5). The legend has all classes where they are few, else those in the
    picture.

    Args:
        samples: at least one.
        metadata: class names and colors of the data set.
        title: first line of the picture.
        subtitle: second line, smaller; long ones are wrapped.
        image_size: pixels of the longer side of every image in the picture; small images are enlarged.
        images_per_row: by default 2, or 1 where there are fewer than four images.

    Returns:
        (height, width, 3) RGB.

    Raises:
        UserError: there are no samples, or a size is not positive.
    """
    number = len(getattr(metadata, "thing_classes", None) or ())
    drawn = [index for s in samples for d in (s.truth, s.predictions) for index in d.classes.tolist()]
    shown = sorted({*drawn, *range(number if number <= 12 else 0)})
    return draw_page(
        [_draw_pair(sample, metadata, image_size) for sample in samples],
        ["Ground truth", "Predictions"],
        title,
        [subtitle, _DASHED],
        [class_name_and_color(metadata, index) for index in shown],
        images_per_row,
    )


def _draw_pair(sample: PanelSample, metadata: Metadata | None, size: int) -> list[tuple[str, Picture]]:
    image, factor = fit_image(sample.image, size)
    found, right = match_detections(sample.truth, sample.predictions)

    def draw(detections: Detections, solid: BoolArray) -> Picture:
        visualizer = DetectionVisualizer(image, metadata)
        picture: Picture = visualizer.draw_detections(detections, factor, solid).get_image()
        return picture

    real = ~sample.truth.crowd
    summary = summarise("object", int(found[real].sum()), int(real.sum()), int((~right).sum()))
    return [(sample.name, draw(sample.truth, found)), (summary, draw(sample.predictions, right))]


def summarise(what: str, found: int, there: int, wrong: int) -> str:
    """Say in a few words how well an image was predicted; ``what`` is in the singular."""
    text = f"found {found} of {there}" if there else f"no {what}s"
    return text + (f", {wrong} wrong" if wrong else "")


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
        metadata, title, subtitle, image_size, images_per_row: as of :func:`draw_panel`.

    Returns:
        (height, width, 3) RGB.

    Raises:
        UserError: there are no samples, or a size is not positive.
    """
    segments = [segment for s in samples for _, side in (s.truth, s.prediction) for segment in side]
    shown = {(not s["isthing"], s["category_id"]): class_of_segment(s, metadata) for s in segments}
    return draw_page(
        [
            [
                (sample.name, fit_image(sample.image, image_size)[0]),
                ("", draw_segments(sample.image, *sample.truth, metadata, image_size)),
                (sample.summary, draw_segments(sample.image, *sample.prediction, metadata, image_size)),
            ]
            for sample in samples
        ],
        ["Image", "Ground truth", "Prediction"],
        title,
        [subtitle, _SHADES],
        [shown[key] for key in sorted(shown)],
        images_per_row,
    )
