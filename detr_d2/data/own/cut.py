"""Cutting a validation split off what is trained on."""

from __future__ import annotations

import os
from itertools import chain

import numpy as np

from ...errors import DataError
from ..formats import VAL, Json, Split
from ..formats.coco_classes import labelled
from ..image_file import MAX_PIXELS
from ..preflight import Report
from ..preflight.files import MOST_HEADERS
from .content import copies, groups_of, near_pairs

# Of the images.
VALIDATION_SHARE = 0.2


def cut_validation(
    split: Split, seed: int, share: float = VALIDATION_SHARE, max_pixels: int = MAX_PIXELS
) -> tuple[Split, Split]:
    """Divide a split in two, by images; those that show nearly the same stay together.

    The same images, seed and share give the same two splits. Groups of like images are taken in an order
    drawn by the seed, each one that does not lead beyond the share.

    Of more than 10,000 images only those of the same bytes are known to be alike, as in the preflight.

    Args:
        split: sound; is left as it is.
        seed: of the drawing.
        share: of the images, that the second split shall have.
        max_pixels: INPUT.MAX_IMAGE_PIXELS.

    Returns:
        what is left to train on, and the validation split; each has an image at least.

    Raises:
        DataError: all images show nearly the same, or there is one alone.
    """
    images = split.content["images"]
    files = [os.path.join(split.image_root, image["file_name"]) for image in images]
    same = [np.array([(group[0], other) for other in group]) for group in copies(files)]
    near = near_pairs(files, max_pixels) if len(files) <= MOST_HEADERS else ()  # as in the preflight
    groups = groups_of(len(files), chain(same, near))
    if len(groups) < 2:
        raise DataError(
            f"{split.report.source} has no validation split, and none can be cut off: its {len(images)} "
            "images show nearly the same. Add a split of other images, named val."
        )
    wanted = max(1, round(share * len(images)))
    order = [groups[position] for position in np.random.default_rng(seed).permutation(len(groups))]
    chosen: set[int] = set()
    for group in order:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    if not chosen:  # all groups are large
        _, smallest = min((len(group), number) for number, group in enumerate(order))
        chosen.update(order[smallest])
    ids = {images[position]["id"] for position in chosen}
    return _part(split, split.name, ids, False), _part(split, VAL, ids, True)


def _part(split: Split, name: str, ids: set[object], inside: bool) -> Split:
    """The part of a split whose images' ids are inside, or are not inside, of some."""
    content: Json = dict(split.content)
    content["images"] = [image for image in content["images"] if (image["id"] in ids) == inside]
    annotations = content.get("annotations", [])
    content["annotations"] = [entry for entry in annotations if (entry["image_id"] in ids) == inside]
    objects = sum(1 for _ in labelled(content))
    report = Report(split.report.source, images=len(content["images"]), objects=objects)
    return Split(name, report, content, split.image_root, split.maps_root)
