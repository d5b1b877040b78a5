"""The classes of data sets against those of the one that numbers the model's."""

from __future__ import annotations

from collections.abc import Sequence

from ...classes import comparable, match_classes
from ...errors import DataError
from .findings import Report


def compare_classes(model: Report, reports: Sequence[Report]) -> None:
    """Compare the classes of data sets with the model's, by name; nothing is said where either is unknown.

    Args:
        model: of the data set that numbers the model's classes.
        reports: of the others; get the findings.
    """
    ours = comparable(model.classes)
    for report in reports:
        theirs = comparable(report.classes)
        if not ours or not theirs:
            continue
        wanted = [i for i, name in enumerate(theirs) if i in report.used_classes or name in ours]
        try:
            numbers = match_classes(model.classes, report.classes, wanted)
        except DataError:
            others = [report.classes[i] for i in wanted if theirs[i] not in ours]
            first = ", ".join(others[:5]) or "a name that several classes have"
            listed = {"model": ", ".join(model.classes), "here": ", ".join(report.classes)}
            report.add("other-classes", first, max(1, len(others)), **listed)
            continue
        moved = {there: here for here, there in numbers.items() if here != there}
        if moved:
            mapping = ", ".join(f"{report.classes[i]} {i} -> {moved[i]}" for i in list(moved)[:20])
            report.add("class-order", report.classes[next(iter(moved))], len(moved), mapping=mapping)
        if model.things is not None and report.things is not None:
            turned = [j for i, j in numbers.items() if (i in model.things) != (j in report.things)]
            if turned:
                report.add("other-kind", report.classes[turned[0]], len(turned))
