"""The segmentation maps of a panoptic data set: are they there, and do they hold the listed segments?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import UserError
from ..segment_map import read_listed_ids, segment_map_size
from .files import MOST_HEADERS, in_threads, present_files, spread
from .findings import Report

# Of so many maps the pixels are compared with the listed segments: enough to find, in a second, what is
# wrong with all maps of a data set. The others are compared when the mapper reads them.
MOST_MAPS = 100
# Each thread holds a decoded map.
_PIXEL_THREADS = 4


def look_at_maps(
    report: Report,
    files: Sequence[str],
    sizes: np.ndarray,
    ids_of: Callable[[int], Sequence[int]],
    root: str,
) -> None:
    """Existence of all maps; the header of as many local ones as of images; the pixels of :data:`MOST_MAPS`.

    Args:
        report: gets the findings.
        files: with their folder.
        sizes: (M, 2) annotated width and height of the images.
        ids_of: the ids of the listed segments, by the position of the map.
        root: what to call the folder.
    """
    local = present_files(report, files, "missing-map", root)
    chosen = [local[position] for position in spread(len(local), MOST_HEADERS)]
    headers = in_threads(segment_map_size, [files[position] for position in chosen])
    sound = []
    for position, header in zip(chosen, headers, strict=True):
        width, height = sizes[position].tolist()
        if isinstance(header, UserError):
            report.add("bad-map", str(header).rstrip("."))
        elif header != (width, height):
            report.add(
                "map-size",
                f"{files[position]} is {header[0]} x {header[1]} pixels, its image is annotated as "
                f"{width:g} x {height:g}",
            )
        else:
            sound.append(position)
    read = [sound[position] for position in spread(len(sound), MOST_MAPS)]

    def compare(position: int) -> None:
        width, height = sizes[position].astype(int).tolist()
        read_listed_ids(files[position], ids_of(position), height, width)

    for problem in in_threads(compare, read, _PIXEL_THREADS):
        if problem is not None:
            report.add("map-ids", str(problem).rstrip("."))
    if 0 < len(read) < len(files):
        report.add("maps-sampled", f"{len(read)} of {len(files)}", len(read))
