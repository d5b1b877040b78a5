"""The entry of the sample data set in Detectron2's catalogs."""

import os
from pathlib import Path
from typing import Any

from ..data.builtin import datasets_root, register_coco, register_coco_panoptic
from ..data.panoptic_classes import panoptic_classes
from .drawing import SPLITS
from .files import CATEGORIES

GENERATOR = "detr-d2 shapes"

# Circle, square, triangle, sky, grass, water; as (red, green, blue).
_COLORS = ((220, 20, 60), (255, 166, 0), (148, 0, 211), (70, 130, 180), (107, 142, 35), (0, 128, 128))


def shapes_root() -> str:
    """The folder of the sample data set."""
    return os.path.join(datasets_root(), "shapes")


def register_shapes(root: str | os.PathLike[str] | None = None, prefix: str = "shapes") -> None:
    """Register ``{prefix}_{train,val}`` and ``{prefix}_{train,val}_panoptic``; no file is read.

    The metadata follow Detectron2's own for COCO: thing classes only for the first two; for the panoptic
    ones the "standard" form of ``coco_2017_val_panoptic``, where things and stuff share one numbering.

    Args:
        root: folder that ``generate_shapes`` wrote; None means ``shapes_root()``.
        prefix: start of the names.

    Raises:
        ConfigError: one of the names is registered already, with other files.
    """
    root = Path(shapes_root() if root is None else root)
    for split in SPLITS:
        instances_json = str(root / "annotations" / f"instances_{split}.json")
        panoptic_json = str(root / "annotations" / f"panoptic_{split}.json")
        images, maps = str(root / split), str(root / f"panoptic_{split}")
        register_coco(f"{prefix}_{split}", instances_json, images, generated_by=GENERATOR, **_thing_classes())
        register_coco_panoptic(
            f"{prefix}_{split}_panoptic",
            panoptic_json,
            images,
            maps,
            json_file=instances_json,
            generated_by=GENERATOR,
            thing_colors=list(_COLORS),
            stuff_colors=list(_COLORS),
            **panoptic_classes(CATEGORIES),
        )


def _thing_classes() -> dict[str, Any]:
    """Names, colors and numbering of the things."""
    things = [category for category in CATEGORIES if category["isthing"]]
    return {
        "thing_classes": [category["name"] for category in things],
        "thing_colors": [_COLORS[category["id"] - 1] for category in things],
        "thing_dataset_id_to_contiguous_id": {category["id"]: i for i, category in enumerate(things)},
    }
