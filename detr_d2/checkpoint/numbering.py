"""How another program numbered the rows of its class head: by category ids, or contiguously.

The published DETR's code has a row for every category id up to the largest, used or not; Hugging Face's
programs leave it to the user. Files do not tell. A head is therefore COCO's only where that is known, and
everything else is as the user says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import CheckpointError
from .layouts.rows import coco_names, coco_numbers

# What MODEL.DETR.CLASS_ROWS may say.
AUTO, AS_IS, CATEGORY_IDS, COCO = RULES = ("auto", "as_is", "category_ids", "coco")

# What is not a rule: the rows' numbering is not known.
UNKNOWN = "unknown"

# The key, and how to set it.
HOW_TO_SAY = (
    "say how they are numbered with MODEL.DETR.CLASS_ROWS (of the convert command: --class-rows): "
    '"as_is" (row i is class i), "category_ids" (by those of the data set) or "coco"'
)


@dataclass(frozen=True)
class Numbering:
    """What is known of the rows of a foreign file's class head.

    Attributes:
        rule: one of :data:`RULES`, as the user says; "auto" leaves it to the other attributes.
        is_coco: the file is one of those that were published for COCO.
        numbers: from category ids to class numbers, in the data set that the model is for; empty where
            unknown.
        classes: names of the model's classes; empty where unknown.
        num_classes: how many the model has; None where there is no model.
    """

    rule: str = AUTO
    is_coco: bool = False
    numbers: Mapping[int, int] = field(default_factory=dict)
    classes: Sequence[str] = ()
    num_classes: int | None = None


def decide(numbering: Numbering, rows: int, labels: Sequence[str] | None, source: str) -> str:
    """Which of :data:`RULES` the rows of a file follow, but "auto"; or :data:`UNKNOWN`.

    Args:
        numbering: what is known beside the file.
        rows: of the head, no-object counted.
        labels: names of the rows but no-object, where the file has some.
        source: how the user called the file, for messages.

    Raises:
        CheckpointError: the rule does not suit so many rows; or both "as_is" and "category_ids" do, with
            different results.
    """
    rule, numbers = numbering.rule, numbering.numbers
    start = f"checkpoint {source}: MODEL.DETR.CLASS_ROWS is {rule!r}, but "
    if rule not in RULES:
        raise CheckpointError(f"{start}must be one of {', '.join(RULES)}")
    if rule == COCO and not coco_numbers(rows):
        raise CheckpointError(f"{start}a head of COCO's has 92 or 251 rows, and the file's has {rows}")
    if rule == CATEGORY_IDS and not numbers:
        raise CheckpointError(
            f"{start}the data set's category ids are not known: set DATASETS.TRAIN or .TEST"
        )
    by_ids = bool(numbers) and min(numbers) >= 0 and max(numbers) <= rows - 2
    if rule == CATEGORY_IDS and not by_ids:
        raise CheckpointError(
            f"{start}the data set's go from {min(numbers)} to {max(numbers)}, and the file has rows for 0 to "
            f"{rows - 2}"
        )
    if rule != AUTO:
        return rule
    if _is_coco(numbering, rows, labels):
        return COCO
    if labels or numbering.num_classes is None:
        return AS_IS
    if rows != numbering.num_classes + 1:
        return UNKNOWN
    if by_ids and any(number != category for category, number in numbers.items()):
        raise CheckpointError(
            f"checkpoint {source} has a class head of {rows} rows, which may be the model's {rows - 1} "
            f"classes in order, or be numbered by the data set's category ids ({listed(sorted(numbers))}): "
            f"{HOW_TO_SAY}"
        )
    return AS_IS


def _is_coco(numbering: Numbering, rows: int, labels: Sequence[str] | None) -> bool:
    """Whether a head has the size of one for COCO, and something tells that it is."""
    numbers, names = coco_numbers(rows), coco_names(rows)
    if not numbers:
        return False
    labelled = labels is not None and len(labels) > max(numbers)
    return (
        (numbering.is_coco and labels is None)
        or (labels is None and (list(numbering.classes) == names or dict(numbering.numbers) == numbers))
        or (labelled and labels is not None and [labels[category] for category in numbers] == names)
    )


def listed(items: Iterable[object], shown: int = 10) -> str:
    """The first of some items, for a message."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:shown]) + (f", ... ({len(texts)} in all)" if len(texts) > shown else "")
