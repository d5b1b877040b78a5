"""The sample data set "shapes": writing it in COCO's file formats.

Below the folder::

    train/000000000001.jpg            images
    panoptic_train/000000000001.png   segment ids as colors: R + 256 G + 256^2 B
    annotations/instances_train.json  things: visible masks (RLE), boxes (XYWH), crowds
    annotations/panoptic_train.json   things and stuff
    ... and the same for val
    shapes.json                       the arguments that all this was made with
"""

import json
import multiprocessing
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_util

from ..data.segment_map import write_segment_ids
from ..errors import UserError
from ..progress import progress
from .drawing import SPLITS, STUFF_CLASSES, THING_CLASSES, Segment, ShapesConfig, draw

# Higher than this the files grow and nothing is gained: the drawn noise is coarser than the loss.
JPEG_QUALITY = 95
ARGUMENTS_FILE = "shapes.json"
# Part of the stored arguments: to be raised when the same arguments give other images.
FORMAT_VERSION = 1

CATEGORIES: tuple[dict[str, Any], ...] = tuple(
    {"id": number, "name": name, "supercategory": "thing" if thing else "stuff", "isthing": int(thing)}
    for number, (name, thing) in enumerate(
        [(name, True) for name in THING_CLASSES] + [(name, False) for name in STUFF_CLASSES], start=1
    )
)
_CATEGORY_IDS = {category["name"]: category["id"] for category in CATEGORIES}


@dataclass(frozen=True)
class ShapesSize:
    """Number of images of each split."""

    train: int = 8000
    val: int = 400


def write_shapes(
    root: str | os.PathLike[str], config: ShapesConfig, size: ShapesSize, processes: int = 1
) -> bool:
    """Write the data set, unless it is there already and was made with the same arguments.

    The files are written beside ``root`` and moved there when they are complete, so an interrupted run
    leaves nothing that looks like a data set.

    Args:
        root: folder of the data set, e.g. "datasets/shapes". A data set of other arguments is replaced.
        config: content of the images.
        size: number of images.
        processes: how many processes draw; the result does not depend on it.

    Returns:
        Whether anything was written.

    Raises:
        UserError: a split without images, or ``root`` holds something that this function did not write.
    """
    if min(size.train, size.val) < 1:
        raise UserError(f"shapes: each split needs at least one image, got {size.train} and {size.val}")
    root = Path(root)
    arguments = {"format_version": FORMAT_VERSION, **asdict(config), **asdict(size)}
    if read_arguments(root) == arguments:
        return False
    if root.is_dir() and any(root.iterdir()) and not (root / ARGUMENTS_FILE).is_file():
        raise UserError(
            f"{root} is not empty and holds no {ARGUMENTS_FILE}, so it was not written by this command. "
            "Move it away, or choose another folder."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    partial_root = Path(tempfile.mkdtemp(prefix=f"{root.name}.", suffix=".part", dir=root.parent))
    try:
        partial_root.chmod(0o755)
        for split in SPLITS:
            _write_split(partial_root, split, config, getattr(size, split), processes)
        (partial_root / ARGUMENTS_FILE).write_text(json.dumps(arguments, indent=2) + "\n")
        if root.exists():
            shutil.rmtree(root)
        partial_root.rename(root)
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)
    return True


def read_arguments(root: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The arguments that the data set in ``root`` was made with, or None where there is none."""
    try:
        return dict(json.loads((Path(root) / ARGUMENTS_FILE).read_text()))
    except (OSError, ValueError):
        return None


def _write_split(root: Path, split: str, config: ShapesConfig, count: int, processes: int) -> None:
    """Write the images, panoptic maps and both json files of one split."""
    for folder in (split, f"panoptic_{split}", "annotations"):
        (root / folder).mkdir(exist_ok=True)
    write = partial(_write_image, str(root), split, config)
    if processes > 1:
        # Forked children need not import everything again; they only draw and write files.
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
        with multiprocessing.get_context(method).Pool(processes) as pool:
            drawn = pool.imap(write, range(count), chunksize=64)
            segments = list(progress(drawn, f"Drawing {split} images", count))
    else:
        segments = [write(index) for index in progress(range(count), f"Drawing {split} images")]

    size = {"height": config.height, "width": config.width}
    images = [{"id": index + 1, "file_name": f"{_stem(index)}.jpg", **size} for index in range(count)]
    info = {"description": f"shapes, {split}: generated images, see ../{ARGUMENTS_FILE}"}
    instances: list[dict[str, Any]] = []
    panoptic: list[dict[str, Any]] = []
    for index, image_segments in enumerate(segments):
        for segment in image_segments:
            rle = segment.pop("rle")
            if CATEGORIES[segment["category_id"] - 1]["isthing"]:
                entries = {"id": len(instances) + 1, "image_id": index + 1, "segmentation": rle}
                instances.append({**segment, **entries})
        panoptic.append(
            {"image_id": index + 1, "file_name": f"{_stem(index)}.png", "segments_info": image_segments}
        )
    things = [category for category in CATEGORIES if category["isthing"]]
    for kind, annotations, categories in (
        ("instances", instances, things),
        ("panoptic", panoptic, list(CATEGORIES)),
    ):
        content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content))


def _stem(index: int) -> str:
    """File name, without suffix, of image ``index``: its image id in COCO's twelve digits."""
    return f"{index + 1:012d}"


def _write_image(root: str, split: str, config: ShapesConfig, index: int) -> list[dict[str, Any]]:
    """Draw and write one image and its panoptic map.

    Returns:
        One record per segment, with COCO's keys id, category_id, iscrowd, area, bbox, and "rle".
    """
    image, segments = draw(config, split, index)
    Image.fromarray(image).save(os.path.join(root, split, f"{_stem(index)}.jpg"), quality=JPEG_QUALITY)
    ids = np.zeros((config.height, config.width), dtype=np.uint32)
    records = []
    for number, segment in enumerate(segments, start=1):
        # Any distinct numbers would do; these are far apart, so that the map can be looked at.
        segment_id = (number * 0x6B4A2F) % 256**3
        ids[segment.mask] = segment_id
        records.append(_record(segment, segment_id))
    map_file = os.path.join(root, f"panoptic_{split}", f"{_stem(index)}.png")
    write_segment_ids(map_file, ids)
    return records


def _record(segment: Segment, segment_id: int) -> dict[str, Any]:
    """COCO's description of a segment; area in pixels, box as (x, y, width, height) in pixels."""
    rle = mask_util.encode(np.asfortranarray(segment.mask.astype(np.uint8)))
    return {
        "id": segment_id,
        "category_id": _CATEGORY_IDS[segment.class_name],
        "iscrowd": int(segment.iscrowd),
        "area": int(mask_util.area(rle)),
        "bbox": [int(value) for value in mask_util.toBbox(rle)],
        "rle": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
    }
