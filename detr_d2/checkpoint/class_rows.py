"""The class head between programs that number its rows by category ids and ours, which has no gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import CheckpointError, ConfigError
from .layouts import HEAD, LAYOUTS, Conversion, class_list
from .layouts.rows import COCO_HEADS, coco_metadata, coco_names, coco_numbers, gather_rows, spread_rows
from .numbering import AS_IS, AUTO, CATEGORY_IDS, COCO, HOW_TO_SAY, RULES, UNKNOWN, Numbering, decide, listed


def number_rows(result: Conversion, numbering: Numbering, source: str) -> None:
    """Bring the class head of a conversion to contiguous classes, in place, and note what was done.

    Where the rule that its rows follow is unknown, the class head is left out.

    Raises:
        CheckpointError: the head is no (R, d) and (R,), or as :func:`~.numbering.decide`.
    """
    weights = result.weights
    shapes = [tuple(weights[name].shape) if name in weights else () for name in HEAD]
    if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1] or shapes[0][0] < 2:
        raise incomplete(source, result.source, TypeError(f"a class head of {shapes[0]} and {shapes[1]}"))
    rows = len(weights[HEAD[0]])
    labels = class_list(result.metadata, rows - 1)
    result.rule = rule = decide(numbering, rows, labels, source)
    if rule in (COCO, CATEGORY_IDS):
        numbers = coco_numbers(rows) if rule == COCO else numbering.numbers
        ids = sorted(numbers, key=lambda category: numbers[category])
        if rule == COCO:
            result.metadata = coco_metadata(rows)
        else:
            names = list(numbering.classes)
            result.metadata = {"thing_classes": names} if len(names) == len(ids) else {}
        unused = gather_rows(weights, ids)
        what = f"COCO's {len(ids)} categories" if rule == COCO else f"the category ids {listed(ids, 100)}"
        result.facts.append(
            f"Of the {rows} rows of its class head those of {what} are the classes, in this order; left out "
            f"are the rows {listed(unused, 200) or 'none'}."
        )
    elif rule == UNKNOWN:
        for name in HEAD:
            del weights[name]
        result.notes.append(
            f"Its class head has {rows} rows, and the model {numbering.num_classes} classes: the class head "
            f"is new. To keep it, {HOW_TO_SAY}."
        )
    elif numbering.rule == AUTO and labels is None and not numbering.numbers:
        result.notes.append(
            f"The {rows} rows of its class head are taken as they are, row i as class i. If that is wrong, "
            f"{HOW_TO_SAY}."
        )


def spread(
    weights: dict[str, Tensor], metadata: Mapping[str, Any], rule: str, category_ids: Sequence[int]
) -> int:
    """Number the rows of a class head as another program does, in place; undoes :func:`number_rows`.

    Returns:
        how many rows were added.

    Raises:
        ConfigError: there is no such rule.
        CheckpointError: the classes are not as it says.
    """
    classes = len(weights[HEAD[0]]) - 1
    sizes = {len(categories): rows for rows, categories in COCO_HEADS.items()}
    rows = sizes.get(classes, 0)
    if rule not in RULES:
        raise ConfigError(f"there is no rule {rule!r} for the rows of a class head, but {', '.join(RULES)}")
    if rule == AUTO:
        rule = COCO if rows and class_list(metadata, classes) == coco_names(rows) else AS_IS
    if rule == AS_IS:
        return 0
    if rule == COCO:
        if not rows:
            raise CheckpointError(
                f"the model has {classes} classes, and COCO has {' or '.join(map(str, sizes))}"
            )
        return spread_rows(weights, list(coco_numbers(rows)), rows)
    if len(category_ids) != classes or min(category_ids, default=0) < 0:
        raise CheckpointError(
            f"the model has {classes} classes, and there are {len(category_ids)} category ids for them "
            f"({listed(category_ids)})"
        )
    return spread_rows(weights, category_ids, max(category_ids) + 2)


def incomplete(source: str, layout: str, error: Exception) -> CheckpointError:
    """The error for a file that has a layout's names, and not its tensors."""
    return CheckpointError(
        f"checkpoint {source} has the names of {LAYOUTS[layout].description}, but not all of its tensors, or "
        f"some of other shapes ({type(error).__name__}: {error}): it is incomplete or was changed"
    )
