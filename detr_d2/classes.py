"""Names and numbers of classes: a data set's, a config's, a file of weights', and which are the same.

Everything is read from what Detectron2 knows of data sets, their metadata. Files of weights hold the same
under ``metadata``, as :func:`class_names` gives it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from .errors import DataError, named

_NAMES = ("thing_classes", "stuff_classes")
_NUMBERS = ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id")
_SHOWN = 40  # names of a list in a message


def class_names(datasets: Sequence[str]) -> dict[str, list[Any]]:
    """Names of the things and stuff of the first of some data sets.

    They are stored beside a model's weights, and tell which rows of other weights' class head it can use.
    ``things`` has the numbers of the things where stuff shares their numbering.

    Args:
        datasets: the others need not exist.

    Raises:
        UserError: the data set's json, which has the names, cannot be read.
    """
    metadata = _metadata(datasets, _NAMES[0])
    names: dict[str, list[Any]] = {key: list(metadata[key]) for key in _NAMES if key in metadata}
    things = thing_numbers(metadata)
    return names if things is None else {**names, "things": things}


def category_numbers(datasets: Sequence[str], load: bool = True) -> dict[int, int]:
    """Class numbers by category ids of the first of some data sets.

    They tell which row of a class head is which class, where another program numbered the rows by them.

    Args:
        datasets: the others need not exist.
        load: read the data set where its ids are not known yet.

    Returns:
        of things, and of stuff where both are in one numbering; empty where unknown, or no numbers.

    Raises:
        UserError: the data set's json, which has the ids, cannot be read.
    """
    metadata = _metadata(datasets, _NUMBERS[0], load)
    things, stuff = (metadata.get(key) or {} for key in _NUMBERS)
    both = {**things, **stuff}
    numbers = both if len(set(both.values())) == len(things) + len(stuff) else dict(things)
    return numbers if all(isinstance(category, int) for category in numbers) else {}


def thing_classes(cfg: CfgNode) -> list[int] | None:
    """The classes that are things, by the first of DATASETS.TRAIN and DATASETS.TEST that tells things and
    stuff apart in one numbering; it may have things alone or stuff alone.

    None where no data set does: all classes are things, as far as the model knows.
    """
    datasets = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    found = (thing_numbers(MetadataCatalog.get(name).as_dict()) for name in datasets)
    return next((things for things in found if things is not None), None)


def thing_numbers(metadata: Mapping[str, Any]) -> list[int] | None:
    """The numbers of the things in the one numbering of things and stuff, or None where there is no such."""
    if not all(key in metadata for key in _NUMBERS):
        return None
    things, stuff = (set(metadata[key].values()) for key in _NUMBERS)
    return sorted(things) if things | stuff and not things & stuff else None


def class_list(metadata: Mapping[str, Any], num_classes: int) -> list[str] | None:
    """The names of a head's classes in the order of its rows, or None where metadata has no such list."""
    lists = (metadata.get(key) for key in _NAMES)
    things, stuff = (list(names) if isinstance(names, (list, tuple)) else [] for names in lists)
    for names in (things, stuff, things + stuff):
        if names and len(names) == num_classes:
            return [str(name) for name in names]
    return None


def comparable(names: Iterable[object]) -> list[str]:
    """Names as they are compared: upper and lower case, and blanks at the ends, are the same."""
    return [str(name).strip().casefold() for name in names]


def match_classes(
    model: Sequence[str],
    dataset: Sequence[str],
    wanted: Iterable[int] | None = None,
    what: str = "the data set",
) -> dict[int, int]:
    """Which class of a data set each class of a model is, by name.

    Names are compared as :func:`comparable` has them. Where both lists are equal, classes are matched by
    their positions, so that names may occur twice.

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
    ours, theirs = comparable(model), comparable(dataset)
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


def _metadata(datasets: Sequence[str], key: str, load: bool = True) -> dict[str, Any]:
    """The metadata of the first data set with ``key`` among them, as far as it has any; {} without one."""
    if not datasets:
        return {}
    metadata = MetadataCatalog.get(datasets[0])
    # A data set in COCO's json format has its classes in that file, which is read where it was not yet.
    if load and "json_file" in metadata.as_dict() and key not in metadata.as_dict():
        with named(f"data set {datasets[0]!r}", (OSError, LookupError, TypeError, ValueError)):
            DatasetCatalog.get(datasets[0])
    known: dict[str, Any] = MetadataCatalog.get(datasets[0]).as_dict()
    return known
