"""Small panoptic data sets to change: what is in their json, and their images and maps as bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


@dataclass
class PanopticSet:
    """A data set in memory; files are bytes by their name in their folder."""

    content: dict[str, Any]
    images: dict[str, bytes] = field(default_factory=dict)
    maps: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write panoptic.json, images/ and maps/."""
        for kind in ("images", "maps"):
            (folder / kind).mkdir(parents=True)
            for name, data in getattr(self, kind).items():
                file = folder / kind / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        (folder / "panoptic.json").write_text(json.dumps(self.content))

    def annotation(self, position: int = 0) -> dict[str, Any]:
        return self.content["annotations"][position]

    def change_map(self, position: int, change: Callable[[np.ndarray], Image.Image], **options: Any) -> None:
        """Replace a map by what a function makes of its ids; options are those of Pillow's ``save``."""
        name = self.annotation(position)["file_name"]
        self.maps[name] = encoded(change(ids_of(self.maps[name])), **{"format": "PNG", **options})

    def refresh_map(self, position: int, ids: np.ndarray) -> None:
        self.change_map(position, lambda _: colors(ids))


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def colors(ids: np.ndarray) -> Image.Image:
    """COCO's colors of (H, W) ids."""
    return Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8))


def ids_of(data: bytes) -> np.ndarray:
    red, green, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(data))).astype(np.int64), -1, 0)
    return red + 256 * green + 256**2 * blue


def base_set(rng: np.random.Generator) -> PanopticSet:
    """Four images with segments of two thing and two stuff classes, one of them a crowd, and void pixels."""
    categories = [
        {"id": 3, "name": "cup", "isthing": 1},
        {"id": 5, "name": "jug", "isthing": 1},
        {"id": 8, "name": "table", "isthing": 0},
        {"id": 9, "name": "wall", "isthing": 0},
    ]
    made = PanopticSet({"images": [], "annotations": [], "categories": categories})
    for number, ending in enumerate(("jpg", "png", "webp", "png")):
        image = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        name = f"photo{number}.{ending}"
        made.images[name] = encoded(image, format={"jpg": "JPEG"}.get(ending, ending))
        ids = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        segments = []
        blocks = [(slice(0, 9), slice(0, 14)), (slice(0, 9), slice(16, 32)), (slice(9, 22), slice(0, 32))]
        for position, block in enumerate(blocks):
            segment_id = int(rng.integers(1, 256**3))
            ids[block] = segment_id
            category = (3, 5, 8 + number % 2)[position]
            crowd = int(number == 1 and position == 1)
            area = int((ids == segment_id).sum())
            segments.append({"id": segment_id, "category_id": category, "iscrowd": crowd, "area": area})
        record = {"id": 10 + number, "file_name": name, "height": HEIGHT, "width": WIDTH}
        made.content["images"].append(record)
        made.maps[f"photo{number}.png"] = encoded(colors(ids), format="PNG")
        annotation = {"image_id": 10 + number, "file_name": f"photo{number}.png", "segments_info": segments}
        made.content["annotations"].append(annotation)
    return made
