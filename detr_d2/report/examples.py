"""The worst images of each kind of error, ground truth beside predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog

from ..data import load_dataset
from ..data.images import read_image, reading_options
from ..evaluation.error_kinds import ERROR_KINDS
from ..evaluation.matching import NONE
from ..evaluation.own_ids import own_image
from ..visualization import Detections, PanelSample
from .blocks import Album, Example, Section
from .boxes import Found

_PER_KIND = 2
_SIZE = 360  # pixels of the longer side
_NAMED = 3  # errors that are told one by one


@dataclass(frozen=True)
class Worst:
    """An image with errors of one kind.

    Attributes:
        kind: of ``ERROR_KINDS``.
        image: its number.
        errors: indices of the predictions, best first; of the objects where they are missed.
    """

    kind: str
    image: int
    errors: Sequence[int]


def worst_images(found: Found, per_kind: int = _PER_KIND) -> list[Worst]:
    """The images with most errors of each kind, by the sum of their scores; missed objects count 1 each.

    Only predictions that are shown, from the threshold on, are looked at. An image that is shown for one
    kind gives way to others.
    """
    matching, analysis = found.matching, found.errors
    shown = matching.scores >= found.threshold[0]
    chosen: list[Worst] = []
    for place, kind in enumerate(ERROR_KINDS):
        weighed = []
        for image in matching.images:
            if kind == "missed":
                errors = image.objects[analysis.missed[image.objects]]
                weight = float(len(errors))
            else:
                own = image.predictions
                errors = own[(analysis.kinds[own] == place) & shown[own]]
                weight = float(matching.scores[errors].sum())
            if len(errors):
                seen = any(x.image == image.image for x in chosen)
                weighed.append((seen, -weight, image.image, errors.tolist()))
        chosen += [Worst(kind, image, errors) for _, _, image, errors in sorted(weighed)[:per_kind]]
    return chosen


def example_section(cfg: CfgNode, dataset: str, found: Found, album: Album) -> Section:
    """Draw them.

    Raises:
        DataError: an image cannot be read; names the file.
    """
    metadata = MetadataCatalog.get(dataset)
    numbers = found.truth.image_numbers
    files = {
        numbers[own_image(numbers, x["image_id"], found.truth.source)]: x["file_name"]
        for x in load_dataset(dataset)
    }
    options = reading_options(cfg)
    examples = []
    for worst in worst_images(found):
        picture = read_image(files[worst.image], "RGB", **options)
        examples.append(_example(worst, picture, found, metadata, album))
    text = (
        f"Predictions with a score of at least {found.threshold[0]:.2f}. Dashed: an object that was not "
        "found, or a prediction that found none (same class, IoU of at least 0.5). Dotted: a crowd."
    )
    return Section("Worst images of each kind", [text], examples=[x for x in examples if x.drawings])


def _example(worst: Worst, picture: np.ndarray, found: Found, metadata: Metadata, album: Album) -> Example:
    truth = [x for x in found.truth.objects if x["image_id"] == worst.image]
    least = found.threshold[0]
    shown = [x for x in found.predictions if x["image_id"] == worst.image and x["score"] >= least]
    shown.sort(key=lambda x: -x["score"])
    file = str(found.truth.images[worst.image - 1]["file_name"])
    sample = PanelSample(picture, file, _detections(found, truth), _detections(found, shown, scored=True))
    drawings = []
    for side, (caption, drawn) in zip(
        ("ground truth", "predictions"), sample.pictures(metadata, _SIZE), strict=True
    ):
        line = side if side == "ground truth" else f"{side}: {caption}"
        drawings += album.photo(drawn, line, f"{side} of {file}")
    told = [_tell(worst.kind, index, found) for index in worst.errors[:_NAMED]]
    more = "" if len(worst.errors) <= _NAMED else f" and {len(worst.errors) - _NAMED} more"
    return Example(f"{worst.kind} · {file}: {', '.join(told)}{more}", drawings)


def _detections(found: Found, records: Sequence[dict[str, Any]], scored: bool = False) -> Detections:
    """With the class numbers of the data set, by which names and colors are known."""
    classes = list(found.truth.category_ids)
    boxes = np.array([x["bbox"] for x in records], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(
        boxes,
        np.array([classes[x["category_id"] - 1] for x in records], dtype=np.int64),
        np.array([bool(x.get("iscrowd", 0)) for x in records], dtype=np.bool_),
        np.array([x["score"] for x in records], dtype=np.float64) if scored else None,
    )


def _tell(kind: str, index: int, found: Found) -> str:
    """An error in a few words."""
    matching = found.matching
    if kind == "missed":
        return found.names[int(matching.object_classes[index]) - 1]
    told = f"{found.names[int(matching.classes[index]) - 1]} {matching.scores[index]:.2f}"
    at = int(found.errors.objects[index])
    if kind == "class" and at != NONE:
        told += f" is {found.names[int(matching.object_classes[at]) - 1]}"
    return told
