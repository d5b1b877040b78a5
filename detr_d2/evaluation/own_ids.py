"""From the numbers that models and loaders give to a data set's own ids."""

from __future__ import annotations

import logging
from collections.abc import Container, Hashable, Mapping, Sequence

from ..classes import comparable, match_classes
from ..errors import DataError

_LOGGER = logging.getLogger(__name__)


def category_ids_of_model(
    category_ids: Mapping[int, Hashable],
    names: Sequence[str] | None,
    model_classes: Sequence[str] | None,
    dataset_name: str,
    with_objects: Container[int] | None = None,
) -> dict[int, Hashable]:
    """From a model's class numbers to the category ids of a data set.

    Args:
        category_ids: of the data set, by its class numbers.
        names: of the data set's classes, by its class numbers, where known.
        model_classes: names of the model's classes, where known. Without both the numbers are the same.
        dataset_name: for messages.
        with_objects: the data set's class numbers that have objects. The model may lack the others, such as
            the root of all classes that some tools write. None: it may lack none.

    Returns:
        None for classes of the model that the data set does not have.

    Raises:
        DataError: the model has no class of the name of one of these.
    """
    if names is None or model_classes is None:
        return dict(category_ids)
    known, theirs = comparable(model_classes), comparable(names)
    wanted = [
        number
        for number in category_ids
        if with_objects is None or number in with_objects or theirs[number] in known
    ]
    numbers = match_classes(model_classes, names, wanted, f"data set {dataset_name!r}")
    moved = [f"{names[i]}: {n} -> {category_ids[i]!r}" for n, i in numbers.items() if n != i]
    if moved:
        _LOGGER.info(
            "Classes of the model are category ids of %s by name: %s", dataset_name, ", ".join(moved)
        )
    left_out: dict[int, Hashable] = dict.fromkeys(range(len(model_classes)))
    return left_out | {ours: category_ids[theirs] for ours, theirs in numbers.items()}


def own_category(category_ids: Mapping[int, Hashable], number: int, dataset_name: str) -> Hashable:
    """The category id of a predicted class; None where the data set does not have it.

    Args:
        category_ids: of :func:`category_ids_of_model`.
        number: of the class, by the model.
        dataset_name: for messages.

    Raises:
        DataError: there is no such number.
    """
    if number not in category_ids:
        raise DataError(
            f"The model predicted class {number}, which the metadata of data set {dataset_name!r} "
            f"do not have: was it trained on other classes than these {len(category_ids)} (numbers "
            f"{', '.join(map(str, category_ids))})?"
        )
    return category_ids[number]


def own_image(image_ids: Container[Hashable], image_id: Hashable, source: str) -> Hashable:
    """The data set's id of an image that is evaluated; Detectron2's panoptic loader makes numbers of texts.

    Args:
        image_ids: of the data set.
        image_id: of the record.
        source: the file or data set, for messages.

    Raises:
        DataError: there is no such image.
    """
    for own in (image_id, str(image_id)):
        if own in image_ids:
            return own
    raise DataError(f"{source} has no annotations for image {image_id!r}, of which there are predictions")
