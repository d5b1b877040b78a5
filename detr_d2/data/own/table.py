"""What was found in a data set, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from ..formats import DataSet, Split
from ..formats.coco_classes import labelled
from ..preflight import Finding, Report
from ..preflight.findings import folded

# So many classes are listed, in the order of their numbers.
_MOST_CLASSES = 100


def table(data: DataSet, between: Report) -> str:
    """All findings in one table, those between the splits last.

    Args:
        data: with reports.
        between: of what :func:`~.look.look_at_data_set` gives.
    """
    reports = [*((split.name, split.report) for split in data.splits), ("between", between)]
    rows = [_row(where, finding) for where, report in reports for finding in report.findings]
    heading = f"{data.path} ({data.format})"
    if not rows:
        return f"{heading}: nothing was found that could be wrong"
    headers = ["", "split", "count", "what is wrong, and what to do", "the first one"]
    return f"{heading}\n{tabulate(rows, headers, tablefmt='simple')}"


def _row(where: str, finding: Finding) -> list[str]:
    text = folded(f"{finding.what}. {finding.remedy}".rstrip())
    return [finding.severity.value, where, f"{finding.count:,}", text, finding.first]


def statistics(splits: Sequence[Split]) -> str:
    """Images and objects of each split, in all and of each class."""
    read = [split for split in splits if split.report.images]
    if not read:
        return "no split could be read"
    counts = [_per_class(split) for split in read]
    names = list(dict.fromkeys(name for count in counts for name in count))
    used = [name for name in names if any(count[name] for count in counts)]
    rows = [["images", *(f"{split.report.images:,}" for split in read)]]
    rows.append(["objects", *(f"{split.report.objects:,}" for split in read)])
    rows += [[name, *(f"{count[name]:,}" for count in counts)] for name in used[:_MOST_CLASSES]]
    if len(used) > _MOST_CLASSES:
        rows.append([f"and {len(used) - _MOST_CLASSES} more classes", *("" for _ in read)])
    if len(used) < len(names):
        rows.append([f"and {len(names) - len(used)} classes without objects", *("" for _ in read)])
    align = ["left", *("right" for _ in read)]
    return tabulate(
        rows, ["", *(split.name for split in read)], tablefmt="simple", colalign=align, disable_numparse=True
    )


def _per_class(split: Split) -> Counter[str]:
    """Objects by the names of their classes, in the order of these."""
    names = {category["id"]: str(category["name"]) for category in split.content["categories"]}
    counts = Counter(dict.fromkeys(names.values(), 0))
    for entry in labelled(split.content):
        if isinstance(entry.get("category_id"), int | str) and entry["category_id"] in names:
            counts[names[entry["category_id"]]] += 1
    return counts
