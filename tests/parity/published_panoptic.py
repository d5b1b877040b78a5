"""The published post-processing, as it is and with its errors mended, and inputs for it.

Its source is read from the clone when a test runs; the mended copy, in a temporary folder, differs by the
replacements below.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.published_detr import import_published

from .published import FOLDER, requires_published_detr

PANOPTICAPI = os.environ.get("PANOPTICAPI", "")

requires_published_panoptic = [
    requires_published_detr,
    pytest.mark.skipif(
        not PANOPTICAPI, reason="PANOPTICAPI names no clone of github.com/cocodataset/panopticapi"
    ),
]

CLASSES = 80
THINGS = range(50)
Sizes = list[tuple[int, int]]

# Stuff of one class becomes one mask, its queries' largest logit, before anything else happens.
MERGE_STUFF = """
            for same in stuff_equiv_classes.values():
                cur_masks[same[0]] = cur_masks[same].max(0).values
            duplicates = {k for same in stuff_equiv_classes.values() for k in same[1:]}
            left = [k for k in range(len(cur_classes)) if k not in duplicates]
            cur_scores, cur_classes, cur_masks = cur_scores[left], cur_classes[left], cur_masks[left]
            stuff_equiv_classes.clear()

            def get_ids_area("""
MENDED = {
    "\n            def get_ids_area(": MERGE_STUFF,
    "interpolate(cur_masks[:, None], to_tuple(size), mode=": "interpolate(cur_masks[:, None], padded, mode=",
    "h, w = cur_masks.shape[-2:]\n": (
        "h, w = to_tuple(size)\n            cur_masks = cur_masks[:, :h, :w]\n"
    ),
    "preds = []\n": "preds = []\n        padded = tuple(map(max, zip(*map(tuple, processed_sizes))))\n",
}


def load_published(folder: Path, replacements: dict[str, str] | None = None) -> ModuleType:
    """Import the published models/segmentation.py, after replacements, from a copy in ``folder``."""
    import_published(FOLDER, "models.detr")
    if PANOPTICAPI not in sys.path:
        sys.path.insert(0, PANOPTICAPI)
    source = (Path(FOLDER) / "models" / "segmentation.py").read_text()
    for old, new in (replacements or {}).items():
        assert source.count(old) == 1, f"the published source is another than expected: {old!r}"
        source = source.replace(old, new)
    copy = folder / "published_segmentation.py"
    copy.write_text(source)
    spec = importlib.util.spec_from_file_location(copy.stem, copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_logits(batch: int, surviving: int, duplicates: bool, seed: int = 0) -> Tensor:
    """Logits (B, 100, C + 1) in float64 with which ``surviving`` queries of an image have a high score.

    With duplicates several of them are of the same stuff class; else no two are.
    """
    generator = torch.Generator().manual_seed(seed)
    logits = torch.rand(batch, 100, CLASSES + 1, generator=generator, dtype=torch.float64)
    logits[..., -1] += 8.0
    for image in logits:
        chosen = torch.randperm(100, generator=generator)[:surviving]
        stuff = torch.arange(THINGS.stop, THINGS.stop + 8)
        if duplicates:
            stuff = stuff[:3].repeat_interleave(surviving // 4)
        things = torch.randint(THINGS.stop, (surviving,), generator=generator)
        image[chosen, torch.cat([stuff, things])[:surviving]] += 18.0
    return logits


Panoptic = list[tuple[np.ndarray, list[tuple[int, int]]]]


def published_panoptic(
    module: ModuleType, outputs: dict[str, Tensor], images: Sizes, results: Sizes, last_class: int = CLASSES
) -> Panoptic:
    """Run it; from its map and list make ours: ids from 1, and (class, area) of every segment."""
    processor = module.PostProcessPanoptic({c: c in THINGS for c in range(last_class)}, threshold=0.85)
    answers: Panoptic = []
    for answer in processor(outputs, images, results):
        colors = np.asarray(Image.open(io.BytesIO(answer["png_string"]))).astype(np.int64)
        ids = colors @ [1, 256, 256**2] + (1 if answer["segments_info"] else 0)
        answers.append((ids, [(s["category_id"], s["area"]) for s in answer["segments_info"]]))
    return answers


def assert_equal(ours: Panoptic, published: Panoptic) -> None:
    for (our_ids, our_segments), (ids, segments) in zip(ours, published, strict=True):
        assert our_segments == segments
        assert np.array_equal(our_ids, ids)
