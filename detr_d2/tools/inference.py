"""What the commands that run a trained model share: configuration, weights, predictions of single images."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from torch import nn

from ..checkpoint import DetrCheckpointer
from ..data import load_dataset, register_coco_json
from ..data.dataset_mapper import build_mapper
from ..engine.setup import check_device, read_config
from ..errors import DataError, UserError

Record = dict[str, Any]


def load_config(
    config_file: str, opts: Sequence[str] = (), weights: str | None = None, device: str | None = None
) -> CfgNode:
    """Read a config for inference and register its data sets.

    Args:
        config_file: YAML file, with ``_BASE_`` inheritance.
        opts: KEY VALUE pairs that change it.
        weights: replaces ``MODEL.WEIGHTS``.
        device: replaces ``MODEL.DEVICE``.

    Returns:
        The frozen config.

    Raises:
        UserError: a file, key, value or device does not exist, or there are no weights.
    """
    cfg = read_config(config_file, opts)
    if weights is not None:
        cfg.MODEL.WEIGHTS = weights
    if device is not None:
        cfg.MODEL.DEVICE = device
    if not cfg.MODEL.WEIGHTS:
        raise UserError("no weights: name a checkpoint with --weights (or MODEL.WEIGHTS)")
    if "://" not in cfg.MODEL.WEIGHTS and not PathManager.isfile(cfg.MODEL.WEIGHTS):
        raise UserError(
            f"the checkpoint {cfg.MODEL.WEIGHTS} does not exist: train first, or correct --weights"
        )
    check_device(cfg)
    register_coco_json(cfg)
    cfg.freeze()
    return cfg


class ImagePredictor:
    """Called with a data-set record, returns what the model finds in its image.

    The record needs ``file_name``, ``height`` and ``width`` (pixels). The image is read and resized as in
    evaluation. The result is the model's, on the CPU and at the original image's size: ``instances``
    (``Instances``) and ``panoptic_seg`` (ids and a list of segments), as far as the config asks for them.

    Attributes:
        model: in evaluation mode, on ``MODEL.DEVICE``.
        class_names: of the data set that the weights were trained on, as the checkpoint file tells;
            empty where it does not.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Build the config's model with the weights ``MODEL.WEIGHTS``.

        Raises:
            MissingFileError: there is no such file.
            UserError: it is damaged, cannot be read safely, or is of no known layout or another model.
        """
        self.model: nn.Module = build_model(cfg)
        extra = DetrCheckpointer(self.model).load(cfg.MODEL.WEIGHTS)
        self.model.eval()
        self.class_names: list[str] = list(extra.get("metadata", {}).get("thing_classes", ()))
        self._mapper = build_mapper(cfg, is_train=False)

    def __call__(self, record: Record) -> dict[str, Any]:
        with torch.inference_mode():
            result: dict[str, Any] = self.model([self._mapper(dict(record))])[0]
        if "instances" in result:
            result["instances"] = result["instances"].to("cpu")
        if "panoptic_seg" in result:
            ids, segments = result["panoptic_seg"]
            result["panoptic_seg"] = ids.cpu(), segments
        return result


def class_metadata(cfg: CfgNode, class_names: Sequence[str] = ()) -> Metadata:
    """Return metadata with class names for images that belong to no data set.

    Args:
        cfg: names the data sets whose metadata are looked at: ``DATASETS.TEST``, then ``DATASETS.TRAIN``.
        class_names: those of the checkpoint, which come first; a data set's colours are used where it has
            the same classes.

    Returns:
        Metadata without names where neither the checkpoint nor a data set that is there has any; classes
        are then shown as "class N".
    """
    names = list(class_names)
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(dataset)
        if metadata.get("thing_classes", None) is None and dataset in DatasetCatalog.list() and not names:
            try:
                load_dataset(dataset)  # COCO's json files are where Detectron2 finds the names
            except DataError:
                continue
        known = list(metadata.get("thing_classes", None) or ())
        if known and known == (names or known):
            return metadata
    return Metadata(thing_classes=names) if names else Metadata()
