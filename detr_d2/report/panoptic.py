"""What a report says of panoptic segmentation: PQ by class, and which class is taken for which."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from detectron2.data import MetadataCatalog

from ..data.json_file import read_json
from ..data.segment_map import read_segment_ids
from ..errors import DataError, named
from ..evaluation.panoptic_confusion import Pair, segment_confusions
from ..evaluation.panoptic_files import PanopticGroundTruth
from ..evaluation.panoptic_quality import SegmentError
from .blocks import Section, Table, percent

PREDICTIONS = "predictions.json"
_NOTHING, _MOST_CONFUSIONS = "no segment", 12


def panoptic_section(dataset: str, folder: Path) -> Section:
    """Compare the maps that an evaluation wrote with the ground truth again.

    Raises:
        DataError: a file cannot be used; names it.
    """
    truth = PanopticGroundTruth(dataset, MetadataCatalog.get(dataset))
    quality, file = truth.new_quality(), folder / PREDICTIONS
    confusions: Counter[Pair] = Counter()
    content = read_json(str(file))
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise DataError(f"{file} is no list of segments in COCO's form: evaluate the model again")
    for number, annotation in enumerate(content["annotations"]):
        with named(f"{file}: entry {number}", (LookupError, TypeError, SegmentError), DataError):
            ids = read_segment_ids(str(folder / "predictions" / annotation["file_name"]))
            own = truth.annotation(annotation["image_id"])
            compared = truth.read_map(own), own["segments_info"], ids, annotation["segments_info"]
            quality.add(*compared)
            confusions += segment_confusions(*compared)
    scores = quality.scores()
    names = {number: str(c.get("name", number)) for number, c in truth.categories.items()}
    confused = [
        [names.get(one, _NOTHING), names.get(other, _NOTHING), f"{count:,}"]
        for (one, other), count in confusions.most_common()
        if one != other
    ]
    averages = [
        [name, *map(percent, part[:3]), str(part.num_categories)]
        for name, part in (("all", scores.all), ("things", scores.things), ("stuff", scores.stuff))
    ]
    seen = [(n, q) for n, q in scores.per_category.items() if q.tp + q.fp + q.fn]
    rows = [
        [
            names[number],
            "thing" if truth.categories[number]["isthing"] else "stuff",
            *map(percent, (q.pq, q.sq, q.rq)),
            *(f"{count:,}" for count in (q.tp, q.fp, q.fn)),
        ]
        for number, q in sorted(seen, key=lambda entry: entry[1].pq)
    ]
    return Section(
        "Panoptic quality",
        [f"PQ {percent(scores.all.pq)} = SQ × RQ of each class, then the mean (Kirillov et al., 2019)."],
        tables=[
            Table(["", "PQ", "SQ", "RQ", "classes"], averages),
            Table(["class", "is", "PQ", "SQ", "RQ", "TP", "FP", "FN"], rows, "The lowest first."),
            Table(["annotated", "predicted", "count"], confused[:_MOST_CONFUSIONS]),
        ],
    )
