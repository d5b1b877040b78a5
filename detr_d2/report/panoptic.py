"""What a report says of panoptic segmentation: PQ by class."""

from __future__ import annotations

from pathlib import Path

from detectron2.data import MetadataCatalog

from ..data.json_file import read_json
from ..data.segment_map import read_segment_ids
from ..errors import DataError
from ..evaluation.panoptic_files import PanopticGroundTruth
from .blocks import Section, Table, percent

PREDICTIONS = "predictions.json"


def panoptic_section(dataset: str, folder: Path) -> Section:
    """Compare the maps that an evaluation wrote with the ground truth again.

    Raises:
        DataError: a file cannot be used; names it.
    """
    truth = PanopticGroundTruth(dataset, MetadataCatalog.get(dataset))
    quality, file = truth.new_quality(), folder / PREDICTIONS
    content = read_json(str(file))
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise DataError(f"{file} is no list of segments in COCO's form: evaluate the model again")
    for annotation in content["annotations"]:
        ids = read_segment_ids(str(folder / "predictions" / annotation["file_name"]))
        own = truth.annotation(annotation["image_id"])
        truth.compare(quality, own, ids, annotation["segments_info"])
    scores = quality.scores()
    averages = [
        [name, *map(percent, part[:3]), str(part.num_categories)]
        for name, part in (("all", scores.all), ("things", scores.things), ("stuff", scores.stuff))
    ]
    seen = [(n, q) for n, q in scores.per_category.items() if q.tp + q.fp + q.fn]
    rows = [
        [
            str(truth.categories[number].get("name", number)),
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
        ],
    )
