"""A look at all splits of a data set together."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ..formats import DataSet, Split
from ..formats.coco_files import file_names
from ..preflight import Needs, Report, check_instances, check_panoptic
from ..preflight.files import MOST_HEADERS
from .content import copies, near_pairs


def look_at_data_set(data: DataSet, needs: Needs) -> Report:
    """The preflight of every split, and what only shows when they are looked at together.

    Args:
        data: each split's report gets what is found in it.
        needs: what a model asks of each split.

    Returns:
        what is between the splits: images that several of them have.
    """
    for split in data.splits:
        _look_at_split(split, needs)
    report = Report(data.path)
    _look_at_content(report, data.splits, needs.max_pixels)
    return report


def _look_at_split(split: Split, needs: Needs) -> None:
    if split.content is None:
        return
    look = Report(split.report.source)
    if split.is_panoptic:
        check_panoptic(look, split.image_root, split.maps_root, needs, split.content)
    else:
        check_instances(look, split.image_root, needs, split.content)
    look.take(split.report)
    split.report = look


def _look_at_content(report: Report, splits: Sequence[Split], max_pixels: int) -> None:
    """Image files of the same content, or nearly, in several splits or in one."""
    files: list[str] = []
    owners: list[int] = []
    for number, split in enumerate(splits):
        names = file_names(split.content, "images")
        paths = dict.fromkeys(os.path.join(split.image_root, name) for name in names)
        files += paths
        owners += [number] * len(paths)
    owner = np.array(owners, dtype=np.int64)
    names_of = [f"{file} ({splits[number].name})" for file, number in zip(files, owners, strict=True)]
    group_of = np.arange(len(files))
    for group in copies(files):
        group_of[group] = group[0]
        for position in group[1:]:
            kind = "copied-image" if owner[position] == owner[group[0]] else "shared-image"
            report.add(kind, f"{names_of[group[0]]} and {names_of[position]}")
    if len(files) > MOST_HEADERS:
        report.add("not-compared", f"at most {MOST_HEADERS:,} are", len(files))
        return
    seen: dict[str, set[int]] = {"shared-like-image": set(), "like-image": set()}
    for pairs in near_pairs(files, max_pixels):
        pairs = pairs[group_of[pairs[:, 0]] != group_of[pairs[:, 1]]]
        shared = owner[pairs[:, 0]] != owner[pairs[:, 1]]
        for kind, some in (("shared-like-image", pairs[shared]), ("like-image", pairs[~shared])):
            new = set(some[:, 1].tolist()) - seen[kind]
            if new:
                first, second = (names_of[position] for position in some[0].tolist())
                report.add(kind, f"{first} and {second}", len(new))
                seen[kind] |= new
