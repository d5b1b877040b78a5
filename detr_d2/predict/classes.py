"""What the classes of a model are called, and which category ids they have."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from ..data import load_dataset
from ..errors import UserError


def class_metadata(
    cfg: CfgNode, class_names: Sequence[str] = (), stuff_names: Sequence[str] = (), ids: bool = False
) -> Metadata:
    """Return metadata with class names for images that belong to no data set.

    Args:
        cfg: names the data sets whose metadata are looked at: ``DATASETS.TEST``, then ``DATASETS.TRAIN``.
        class_names: those of the checkpoint, which come first; a data set's colors are used where it has
            the same classes.
        stuff_names: the same of stuff.
        ids: category ids are wanted, too; a data set's json may be read for them.

    Returns:
        Metadata without names where neither the checkpoint nor a data set that is there has any; classes
        are then shown as "class N".
    """
    names = {"thing_classes": list(class_names), "stuff_classes": list(stuff_names)}
    names = {key: own for key, own in names.items() if own}
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(dataset)
        unread = metadata.get("thing_classes", None) is None and (ids or not names)
        if unread and dataset in DatasetCatalog.list():
            try:
                load_dataset(dataset)  # COCO's json files are where Detectron2 finds the names
            except UserError:
                continue
        known = {key: list(metadata.get(key, None) or ()) for key in names or ("thing_classes",)}
        if any(known.values()) and known == (names or known):
            return metadata
    return Metadata(**names)


def category_ids(metadata: Metadata, num_classes: int) -> dict[int, Hashable]:
    """The category id of each class number of a model.

    Args:
        metadata: of :func:`class_metadata`.
        num_classes: of the model.

    Returns:
        those of the data set that the metadata are of; the numbers themselves where it has none for one of
        them.
    """
    numbers = (metadata.get(f"{kind}_dataset_id_to_contiguous_id", None) for kind in ("thing", "stuff"))
    things, stuff = ({number: own for own, number in (some or {}).items()} for some in numbers)
    # Detectron2 numbers things and stuff apart or together; a model has numbers of the latter kind.
    known = dict(things) if things.keys() & stuff.keys() else {**things, **stuff}
    return known if known.keys() == set(range(num_classes)) else {n: n for n in range(num_classes)}
