"""The class head between programs that number its rows by category ids and ours, which has no gaps.

The published DETR's code has a row for every category id up to the largest, used or not; Hugging Face's
programs leave it to the user. Files do not tell. A head is therefore COCO's only where that is known, and
everything else is as the user says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from torch import Tensor

from ..classes import class_list
from ..errors import CheckpointError
from .layout import HEAD, Conversion, Weights

# What MODEL.DETR.CLASS_ROWS may say.
AUTO, AS_IS, CATEGORY_IDS, COCO = RULES = ("auto", "as_is", "category_ids", "coco")

# The key, and how to set it.
_HOW_TO_SAY = (
    "say how they are numbered with MODEL.DETR.CLASS_ROWS (of the convert command: --class-rows): "
    '"as_is" (row i is class i), "category_ids" (by those of the data set) or "coco"'
)

# Rows of a published head, no-object not counted -> names by the category ids that they are numbered by, of
# things alone and with stuff.
_COCO_HEADS: dict[int, dict[int, str]] = {
    rows: {category["id"]: category["name"] for category in COCO_CATEGORIES if category["isthing"] or stuff}
    for rows, stuff in ((91, False), (250, True))
}

# The logit of a class that must never be predicted: its probability is 0, in half precision too.
_NEVER = -1e4


@dataclass(frozen=True)
class ModelClasses:
    """What is known of a model's classes; what takes time to find out is called where it matters.

    Attributes:
        rule: one of :data:`RULES`, how the user says that the rows of other programs' files are numbered;
            "auto" leaves it to the other attributes.
        count: how many the model has; None where there is no model.
        names: of the classes; empty where unknown.
        numbers: of the classes by category ids of the data set that the model is for; empty where unknown.
        is_coco: whether the file is one of those that were published for COCO.
        kept: a file's classes are left as they are where there are as many.
        no_object: whether the model's class head ends in a row for no-object.
    """

    rule: str = AUTO
    count: int | None = None
    names: Callable[[], Sequence[str]] = tuple
    numbers: Callable[[], Mapping[int, int]] = dict
    is_coco: Callable[[], bool] = bool
    kept: bool = False
    no_object: bool = True

    def category_ids(self) -> list[int]:
        """The category ids in the order of the classes; empty where unknown."""
        numbers = self.numbers()
        return sorted(numbers, key=lambda category: numbers[category])


def number_of_rows(weights: Weights, no_object: bool = True) -> int:
    """The C of a class head (R, d) and (R,), without the row for no-object; TypeError where it is none."""
    shapes = [tuple(weights[name].shape) if name in weights else () for name in HEAD]
    if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1] or shapes[0][0] <= no_object:
        raise TypeError(f"a class head of {shapes[0]} and {shapes[1]}")
    return shapes[0][0] - no_object


def number_by_classes(result: Conversion, classes: ModelClasses, source: str) -> None:
    """Bring the class head of a conversion to contiguous classes, in place, and note what was done.

    Where the rule that its rows follow is unknown, the class head is left out.

    Args:
        result: with a class head, and with the names of its rows but no-object where the file has some.
        classes: what is known of the model's.
        source: how the user called the file, for messages.

    Raises:
        CheckpointError: the rule does not suit so many rows; or both "as_is" and "category_ids" do, with
            different results.
    """
    rows = number_of_rows(result.weights, result.no_object)
    total, last = rows + result.no_object, [rows] if result.no_object else []
    labels = class_list(result.metadata, rows)
    rule = _rule(classes, rows, total, labels, source)
    if rule in (COCO, CATEGORY_IDS):
        if rule == COCO:
            ids, names = list(_COCO_HEADS[rows]), list(_COCO_HEADS[rows].values())
            what = f"COCO's {len(ids)} categories"
        else:
            ids, names = classes.category_ids(), list(classes.names())
            what = f"the category ids {listed(ids, 100)}"
        result.metadata = {"thing_classes": names} if len(names) == len(ids) else {}
        if rule == COCO and rows == max(_COCO_HEADS):  # as Detectron2's: with stuff, both lists hold all
            result.metadata["stuff_classes"] = list(names)
        for name in HEAD:
            result.weights[name] = result.weights[name][[*ids, *last]]
        result.first_classes = rule == CATEGORY_IDS
        unused = listed(sorted(set(range(rows)) - set(ids)), 200)
        result.facts.append(
            f"Of the {total} rows of its class head those of {what} are the classes, in this order; left out "
            f"are the rows {unused or 'none'}."
        )
    elif rule is None:
        for name in HEAD:
            del result.weights[name]
        result.notes.append(
            f"Its class head has {total} rows, and the model {classes.count} classes: the class head is new. "
            f"To keep it, {_HOW_TO_SAY}."
        )
    elif classes.rule == AUTO and labels is None and not classes.category_ids():
        result.notes.append(
            f"The {total} rows of its class head are taken as they are, row i as class i. If that is wrong, "
            f"{_HOW_TO_SAY}."
        )


def number_by_ids(
    weights: dict[str, Tensor],
    metadata: Mapping[str, Any],
    rule: str,
    category_ids: Sequence[int],
    no_object: bool = True,
) -> int:
    """Number the rows of a class head as another program does, in place; undoes :func:`number_by_classes`.

    Rows that no category uses get zero weights and a bias of -10,000, so that the softmax over all rows
    is the one over the rows in use, and their sigmoid is 0.

    Returns:
        how many rows were added.

    Raises:
        CheckpointError: the classes are not as the rule says.
    """
    classes = len(weights[HEAD[0]]) - no_object
    size = next((rows for rows, ids in _COCO_HEADS.items() if len(ids) == classes), 0)
    coco = _COCO_HEADS.get(size, {})
    if rule == AUTO:
        rule = COCO if coco and class_list(metadata, classes) == list(coco.values()) else AS_IS
    if rule == AS_IS:
        return 0
    ids = list(coco if rule == COCO else category_ids)
    if len(ids) != classes or min(ids, default=0) < 0:
        known = f"there are {len(ids)} category ids for them ({listed(ids)})"
        if rule == COCO:
            known = f"COCO has {' or '.join(str(len(head)) for head in _COCO_HEADS.values())}"
        raise CheckpointError(f"the model has {classes} classes, and {known}")
    if rule != COCO:
        size = max(ids) + 1
    for name, unused in zip(HEAD, (0.0, _NEVER), strict=True):
        shape = (size + no_object, *weights[name].shape[1:])
        spread = torch.full(shape, unused, dtype=weights[name].dtype)
        spread[[*ids, *([size] if no_object else [])]] = weights[name]
        weights[name] = spread
    return size - classes


def listed(items: Iterable[object], shown: int = 10) -> str:
    """The first of some items, for a message."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:shown]) + (f", ... ({len(texts)} in all)" if len(texts) > shown else "")


def _rule(
    classes: ModelClasses, rows: int, total: int, labels: Sequence[str] | None, source: str
) -> str | None:
    """Which of :data:`RULES` the rows of a file follow, but "auto"; None where that is unknown.

    Args:
        classes: what is known of the model's.
        rows: of the file, without that for no-object.
        total: with it.
        labels: names of the rows, where the file has some.
        source: how the user called the file.
    """
    start = f"checkpoint {source}: MODEL.DETR.CLASS_ROWS is {classes.rule!r}, but "
    if classes.rule not in RULES:
        raise CheckpointError(f"{start}must be one of {', '.join(RULES)}")
    if classes.rule == COCO and rows not in _COCO_HEADS:
        sizes = " or ".join(str(size + total - rows) for size in _COCO_HEADS)
        raise CheckpointError(f"{start}a head of COCO's has {sizes} rows, and the file's has {total}")
    if classes.rule == CATEGORY_IDS:
        ids = classes.category_ids()
        if not ids:
            raise CheckpointError(f"{start}the data set's ids are not known: set DATASETS.TRAIN or .TEST")
        if not _have_rows(ids, rows):
            span = f"from {min(ids)} to {max(ids)}"
            raise CheckpointError(f"{start}the data set's go {span}, the file's rows from 0 to {rows - 1}")
    if classes.rule != AUTO:
        return classes.rule
    if _is_coco(classes, rows, labels):
        return COCO
    if labels or classes.count is None:
        return AS_IS
    if rows != classes.count:
        return None
    ids = classes.category_ids()
    if _have_rows(ids, rows) and ids != list(range(len(ids))):
        raise CheckpointError(
            f"checkpoint {source} has a class head of {total} rows, which may be the model's {rows} "
            f"classes in order, or be numbered by the data set's category ids ({listed(sorted(ids))}): "
            f"{_HOW_TO_SAY}"
        )
    return AS_IS


def _have_rows(ids: Sequence[int], rows: int) -> bool:
    return bool(ids) and min(ids) >= 0 and max(ids) < rows


def _is_coco(classes: ModelClasses, rows: int, labels: Sequence[str] | None) -> bool:
    """Whether a head has the size of one for COCO, and something tells that it is."""
    coco = _COCO_HEADS.get(rows, {})
    ids, names = list(coco), list(coco.values())
    if not coco:
        return False
    if labels is not None:
        return [labels[category] for category in ids] == names
    return classes.is_coco() or list(classes.names()) == names or classes.category_ids() == ids
