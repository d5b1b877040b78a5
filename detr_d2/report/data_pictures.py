"""A data set to look at: plots of what it is made of, and some of its images with their annotations."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata
from matplotlib.figure import Figure

from ..data.formats import DataSet, Json, Split
from ..data.images import read_image
from ..data.masks import rasterize
from ..data.panoptic_classes import says_isthing
from ..data.segment_map import read_listed_ids
from ..errors import DataError
from ..visualization import Detections, DetectionVisualizer, Picture, draw_segments, fit_image
from ..visualization.colors import class_name_and_color
from ..visualization.data_plots import Contents, draw_statistics
from ..visualization.page import Captioned, draw_page

# Images of a split on the sheet, and pixels of the longer side of each.
_OF_A_SPLIT = 6
_SIZE = 400
_MOST_CLASSES = 40


def statistics_plot(data: DataSet) -> Figure | None:
    """Plots of the splits that have no errors; None where all have.

    Args:
        data: with the reports of :func:`~detr_d2.data.own.look_at_data_set`.
    """
    parts = [_contents(split) for split in _sound(data)]
    return draw_statistics(os.path.basename(data.path), parts) if parts else None


def sample_sheet(data: DataSet, seed: int = 0, number: int = _OF_A_SPLIT) -> Picture | None:
    """Some images of each split that has no errors, with what is annotated; None where all have.

    Args:
        data: with the reports of :func:`~detr_d2.data.own.look_at_data_set`.
        seed: another seed, other images.
        number: images of a split.

    Raises:
        DataError: an image cannot be read; names it.
    """
    splits = _sound(data)
    if not splits:
        return None
    classes = _Classes.of(splits[0])
    cells: list[tuple[Captioned]] = []
    shown: set[tuple[str, int]] = set()
    for split in splits:
        entries = _entries(split)
        for image in choose_images(split, number, seed):
            caption = f"{split.name}: {os.path.basename(image['file_name'])}"
            cells.append(((caption, _drawn(split, image, entries[image["id"]], classes)),))
            shown |= {classes.kind_and_number(x) for x in _objects(entries[image["id"]])}
    legend = [class_name_and_color(classes.metadata, n, kind) for kind, n in sorted(shown)[:_MOST_CLASSES]]
    note = f"{len(cells)} images, drawn with seed {seed}"
    return draw_page(cells, ("",), f"{os.path.basename(data.path)}: annotations", [note], legend)


def choose_images(split: Split, number: int, seed: int) -> list[Json]:
    """So many images of a split (all, if there are fewer), in an order that the seed draws.

    Each next one is that with the most classes which those before do not show.
    """
    entries = _entries(split)
    images = split.content["images"]
    left = [images[position] for position in np.random.default_rng(seed).permutation(len(images))]
    classes = {image["id"]: {x["category_id"] for x in _objects(entries[image["id"]])} for image in left}
    chosen: list[Json] = []
    seen: set[object] = set()
    while left and len(chosen) < number:
        new = [len(classes[image["id"]] - seen) for image in left]
        chosen.append(left.pop(int(np.argmax(new))))
        seen |= classes[chosen[-1]["id"]]
    return chosen


@dataclass(frozen=True)
class _Classes:
    """The classes of a data set, by their ids: numbers from 0 on, and whether they are things."""

    numbers: dict[object, int]
    is_thing: dict[object, bool]
    metadata: Metadata

    @classmethod
    def of(cls, split: Split) -> _Classes:
        categories = sorted(split.content["categories"], key=lambda category: category["id"])
        names = [str(category["name"]) for category in categories]
        return cls(
            {category["id"]: number for number, category in enumerate(categories)},
            {c["id"]: bool(c["isthing"]) if says_isthing(c) else True for c in categories},
            Metadata(thing_classes=names, stuff_classes=names),
        )

    def kind_and_number(self, entry: Json) -> tuple[str, int]:
        category = entry["category_id"]
        return "thing" if self.is_thing[category] else "stuff", self.numbers[category]


def _sound(data: DataSet) -> list[Split]:
    return [split for split in data.splits if not split.report.errors]


def _entries(split: Split) -> dict[object, list[Json]]:
    """The annotations of each image."""
    entries: dict[object, list[Json]] = defaultdict(list)
    for entry in split.content.get("annotations", ()):
        entries[entry["image_id"]].append(entry)
    return entries


def _objects(entries: list[Json]) -> list[Json]:
    """What has a class: annotations, or the segments of panoptic ones."""
    return [x for entry in entries for x in entry.get("segments_info", [entry])]


def _contents(split: Split) -> Contents:
    content, entries = split.content, _entries(split)
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    objects = [_objects(entries[image["id"]]) for image in content["images"]]
    flat = [x for some in objects for x in some]
    boxes = np.array([x["bbox"][2:] for x in flat if len(x.get("bbox") or ()) == 4], dtype=np.float64)
    return Contents(
        split.name,
        np.array([(image["width"], image["height"]) for image in content["images"]], dtype=np.float64),
        np.array([len(some) for some in objects], dtype=np.int64),
        [names[x["category_id"]] for x in flat],
        boxes.reshape(-1, 2).prod(axis=1),
    )


def _drawn(split: Split, image: Json, entries: list[Json], classes: _Classes) -> Picture:
    picture = read_image(os.path.join(split.image_root, image["file_name"]), "RGB")
    if split.is_panoptic:
        return _draw_map(split, image, entries, classes, picture)
    size = image["height"], image["width"]
    masks = None
    with suppress(DataError, ValueError):  # there are no objects, or one has no mask
        masks = np.stack([rasterize(x.get("segmentation"), *size) for x in entries])
    corners = np.array([x["bbox"] for x in entries], dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    detections = Detections(
        corners,
        np.array([classes.numbers[x["category_id"]] for x in entries], dtype=np.int64),
        np.array([bool(x.get("iscrowd", 0)) for x in entries], dtype=np.bool_),
        masks=masks,
    )
    fitted, factor = fit_image(picture, _SIZE)
    drawn: Picture = (
        DetectionVisualizer(fitted, classes.metadata).draw_detections(detections, factor).get_image()
    )
    return drawn


def _draw_map(split: Split, image: Json, entries: list[Json], classes: _Classes, picture: Picture) -> Picture:
    """An image of panoptic annotations; as it is where it has none."""
    if not entries:
        return fit_image(picture, _SIZE)[0]
    (annotation, *_) = entries
    segments = []
    for x in annotation["segments_info"]:
        kind, number = classes.kind_and_number(x)
        segments.append({**x, "category_id": number, "isthing": kind == "thing"})
    file = os.path.join(split.maps_root, annotation["file_name"])
    ids = read_listed_ids(file, [x["id"] for x in segments], image["height"], image["width"])
    return draw_segments(picture, ids.astype(np.int64), segments, classes.metadata, _SIZE)
