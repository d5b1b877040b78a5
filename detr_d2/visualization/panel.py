"""One picture of several images, ground truth beside predictions: boxes, or panoptic segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from detectron2.data import Metadata

from ..errors import UserError
from .colors import class_name_and_color
from .detections import BoolArray, Detections, match_detections
from .labels import Picture, fit_image
from .page import Captioned, draw_page
from .segments import IdMap, Segment, draw_segments, kind_of
from .visualizer import DetectionVisualizer

# The legend has all classes of boxes where they are at most so many, else those in the picture.
_FEW = 12


@dataclass(frozen=True)
class PanelSample:
    """One image of the picture, with boxes.

    A dashed outline marks an object that no prediction found, and a prediction that found no object.

    Attributes:
        image: (H, W, 3) RGB.
        name: shown above the image, usually its file name.
        truth: annotated objects.
        predictions: the objects to show, best first.
    """

    headings: ClassVar = ("Ground truth", "Predictions")
    note: ClassVar = "dashed: not found, or prediction without an object (same class, IoU of at least 0.5)"

    image: Picture
    name: str
    truth: Detections
    predictions: Detections

    def pictures(self, metadata: Metadata | None, size: int) -> list[Captioned]:
        """Ground truth and predictions, ``size`` pixels at the longer side."""
        image, factor = fit_image(self.image, size)
        found, right = match_detections(self.truth, self.predictions)

        def draw(detections: Detections, solid: BoolArray) -> Picture:
            return DetectionVisualizer(image, metadata).draw_detections(detections, factor, solid).get_image()

        real = ~self.truth.crowd
        summary = summarize("object", int(found[real].sum()), int(real.sum()), int((~right).sum()))
        return [(self.name, draw(self.truth, found)), (summary, draw(self.predictions, right))]

    def classes(self, metadata: Metadata | None) -> set[tuple[str, int]]:
        """Kind and index of the classes to explain."""
        number = len(getattr(metadata, "thing_classes", None) or ())
        drawn = {*self.truth.classes.tolist(), *self.predictions.classes.tolist()}
        return {("thing", index) for index in drawn.union(range(number if number <= _FEW else 0))}


@dataclass(frozen=True)
class PanopticSample:
    """One image of the picture, with segments.

    Attributes:
        image: (H, W, 3) RGB.
        name: shown above the image, usually its file name.
        truth: ids (H, W), 0 for no segment, and Detectron2's list of segments.
        prediction: the same of the model.
        summary: shown above the prediction.
    """

    headings: ClassVar = ("Image", "Ground truth", "Prediction")
    note: ClassVar = "shades: things of one class; dark: no segment; found: same class, IoU above 0.5"

    image: Picture
    name: str
    truth: tuple[IdMap, Sequence[Segment]]
    prediction: tuple[IdMap, Sequence[Segment]]
    summary: str = ""

    def pictures(self, metadata: Metadata | None, size: int) -> list[Captioned]:
        """Image, ground truth and prediction, ``size`` pixels at the longer side."""
        truth, prediction = (
            draw_segments(self.image, *side, metadata, size) for side in (self.truth, self.prediction)
        )
        return [(self.name, fit_image(self.image, size)[0]), ("", truth), (self.summary, prediction)]

    def classes(self, metadata: Metadata | None) -> set[tuple[str, int]]:
        """Kind and index of the classes to explain."""
        return {(kind_of(s), s["category_id"]) for _, side in (self.truth, self.prediction) for s in side}


def draw_panel(
    samples: Sequence[PanelSample | PanopticSample],
    metadata: Metadata | None = None,
    title: str = "Ground truth beside predictions",
    subtitle: str = "",
    image_size: int = 400,
) -> Picture:
    """Draw ground truth beside predictions for every sample.

    Args:
        samples: at least one, all of one kind.
        metadata: class names and colors of the data set.
        title: first line of the picture.
        subtitle: second line, smaller; long ones are wrapped.
        image_size: pixels of the longer side of every image in the picture; small images are enlarged.

    Returns:
        (height, width, 3) RGB.

    Raises:
        UserError: there are no samples, or the size is too small.
    """
    if not samples:
        raise UserError("there are no images to draw: give at least one sample")
    classes = {entry for sample in samples for entry in sample.classes(metadata)}
    things_first = sorted(classes, key=lambda entry: (entry[0] != "thing", entry[1]))
    return draw_page(
        [sample.pictures(metadata, image_size) for sample in samples],
        samples[0].headings,
        title,
        [subtitle, samples[0].note],
        [class_name_and_color(metadata, index, kind) for kind, index in things_first],
    )


def summarize(what: str, found: int, there: int, wrong: int) -> str:
    """Say in a few words how well an image was predicted; ``what`` is in the singular."""
    text = f"found {found} of {there}" if there else f"no {what}s"
    return text + (f", {wrong} wrong" if wrong else "")
