"""How many objects of what classes and sizes the data sets of a run have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog

from ..data import load_dataset
from ..data.records import corners, objects_of
from ..errors import UserError
from .blocks import Section, Table

# COCO's limits of small and medium, in square pixels.
_SMALL, _MEDIUM = 32**2, 96**2
_MOST_CLASSES = 400


def data_section(datasets: Sequence[str]) -> Section:
    """Tables of the data sets, beside each other; those that cannot be read are named."""
    known: dict[str, list[dict[str, Any]]] = {}
    text = []
    for name in dict.fromkeys(datasets):
        try:
            known[name] = list(load_dataset(name))
        except UserError as error:
            text.append(f"{name} could not be read: {error}")
    if not known:
        return Section("Data", text or ["The config names no data sets."])
    columns = [_facts(records) for records in known.values()]
    facts = Table(["", *known], [[key, *(column[key] for column in columns)] for key in columns[0]])
    counts = [_class_counts(name, records) for name, records in known.items()]
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)  # which keeps zeros
    names = [name for name, _ in total.most_common(_MOST_CLASSES)]
    rows = [[name, *(f"{count[name]:,}" for count in counts)] for name in names]
    return Section("Data", text, tables=[facts, Table(["objects of class", *known], rows)])


def _facts(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What is told of a data set, in words."""
    objects = [x for record in records for x in objects_of(record)]
    real = [x for x in objects if not x.get("iscrowd", 0)]
    per_image = [sum(not x.get("iscrowd", 0) for x in objects_of(record)) for record in records]
    areas = np.array([_area(x) for x in real])
    sizes = [(record["width"], record["height"]) for record in records if record.get("height")]
    shares = [areas < _SMALL, (areas >= _SMALL) & (areas < _MEDIUM), areas >= _MEDIUM]
    return {
        "images": f"{len(records):,}",
        "images without objects": f"{per_image.count(0):,}",
        "objects": f"{len(real):,}",
        "crowds": f"{len(objects) - len(real):,}",
        "objects of an image, mean and most": f"{np.mean(per_image or [0]):.1f}, {max(per_image, default=0)}",
        "small, medium, large": " / ".join(f"{100 * s.mean():.0f} %" for s in shares) if len(areas) else "–",
        "image widths": _span([width for width, _ in sizes]),
        "image heights": _span([height for _, height in sizes]),
    }


def _area(annotation: dict[str, Any]) -> float:
    """In square pixels: what the annotation says, or else of its box."""
    if "bbox_mode" not in annotation:
        return float(annotation.get("area", 0.0))
    x0, y0, x1, y1 = corners(annotation)
    return (x1 - x0) * (y1 - y0)


def _class_counts(name: str, records: Sequence[dict[str, Any]]) -> Counter[str]:
    """Objects by the names of their classes, those without objects too."""
    metadata = MetadataCatalog.get(name)
    segments = any("annotations" not in record for record in records)
    kinds = ("stuff_classes", "thing_classes") if segments else ("thing_classes",)
    names = next(([str(x) for x in metadata.get(kind)] for kind in kinds if metadata.get(kind, None)), [])
    counts: Counter[str] = Counter(dict.fromkeys(names, 0))
    for record in records:
        for x in objects_of(record):
            number = x["category_id"]
            if not x.get("iscrowd", 0):
                counts[names[number] if number < len(names) else f"class {number}"] += 1
    return counts


def _span(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}" if values else "–"
