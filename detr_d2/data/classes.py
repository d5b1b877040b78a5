"""Classes of a model and of a data set, brought together by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..errors import DataError

_SHOWN = 40  # names of a list in a message


def match_classes(
    model: Sequence[str],
    dataset: Sequence[str],
    wanted: Iterable[int] | None = None,
    what: str = "the data set",
) -> dict[int, int]:
    """Which class of a data set each class of a model is, by name.

    Upper and lower case, and blanks at the ends, are the same. Where both lists are equal, classes are
    matched by their positions, so that names may occur twice.

    Args:
        model: names of the model's classes, by their numbers.
        dataset: names of the data set's classes, by their numbers.
        wanted: numbers of the data set's classes that need a class of the model; None: all of them.
        what: the data set, for messages.

    Returns:
        from the model's numbers to the data set's, of the wanted classes alone. What the data set has not
        is not among the keys.

    Raises:
        DataError: a wanted class has no class of its name in the model, or more than one; shows both lists.
    """
    numbers = list(range(len(dataset)) if wanted is None else wanted)
    ours, theirs = ([str(name).strip().casefold() for name in names] for names in (model, dataset))
    if ours == theirs:
        return {number: number for number in numbers}
    lists = f"The model has {_listed(model)}; {what} has {_listed([dataset[n] for n in numbers])}."
    absent = [dataset[n] for n in numbers if theirs[n] not in ours]
    if absent:
        raise DataError(
            f"{what} has {_listed(absent)}, of which the model has no class of that name. {lists} Rename the "
            "classes or take these out of the annotations, or name weights that were trained on them."
        )
    counts = Counter(ours) | Counter(theirs[n] for n in numbers)
    repeated = [dataset[n] for n in numbers if counts[theirs[n]] > 1]
    if repeated:
        raise DataError(
            f"{_listed(repeated[:1])} is the name of more than one class, so that the classes of {what} and "
            f"of the model cannot be matched by name. {lists} Give each class a name of its own."
        )
    return {ours.index(theirs[n]): n for n in numbers}


def _listed(names: Sequence[str]) -> str:
    """How many classes, and their names."""
    more = ", ..." if len(names) > _SHOWN else ""
    count = "1 class" if len(names) == 1 else f"{len(names)} classes"
    return f"{count} ({', '.join(map(str, names[:_SHOWN]))}{more})"
