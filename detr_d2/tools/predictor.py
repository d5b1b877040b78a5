"""What the commands that run a trained model on images share: arguments, config, weights, predictions."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from PIL import Image
from torch import nn

from ..checkpoint import DetrCheckpointer
from ..checkpoint.class_rows import CATEGORY_IDS
from ..classes import category_numbers, match_classes, thing_classes
from ..config_file import read_config
from ..data import load_dataset
from ..data.dataset_mapper import build_mapper
from ..data.images import read_image, reading_options
from ..engine.setup import check_device, make_ready
from ..errors import UserError, named
from ..modeling.build import check_mask_config
from .command import CONFIG_HELP, CommandParser

Record = dict[str, Any]


def model_parser(name: str, description: str, examples: Sequence[str]) -> CommandParser:
    """A parser of the arguments that name a model; parameters as of :class:`~.command.CommandParser`."""
    parser = CommandParser(name, description, examples)
    parser.add_argument("--config-file", required=True, metavar="FILE", help=CONFIG_HELP)
    weights = "checkpoint, or detr://NAME of published ones (default: MODEL.WEIGHTS)"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: MODEL.DEVICE)")
    return parser


def write_picture(picture: np.ndarray, file: str | Path) -> None:
    """Write an image file, and the folder that it is in.

    Args:
        picture: (H, W, 3) RGB.
        file: what ``--output`` names.

    Raises:
        UserError: it cannot be written.
    """
    with named(f"--output {file}"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)


def inference_config(
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
    if "://" not in cfg.MODEL.WEIGHTS and not PathManager.exists(cfg.MODEL.WEIGHTS):
        raise UserError(
            f"the checkpoint {cfg.MODEL.WEIGHTS} does not exist: train first, or correct --weights"
        )
    check_device(cfg)
    make_ready(cfg)
    return cfg


class ImagePredictor:
    """Called with a data-set record, returns what the model finds in its image.

    The record needs ``file_name``, ``height`` and ``width`` (pixels). The image is read and resized as in
    evaluation. The result is the model's, on the CPU and at the original image's size: ``instances``
    (``Instances``) and ``panoptic_seg`` (ids and a list of segments), as far as the config asks for them.

    Attributes:
        model: in evaluation mode, on ``MODEL.DEVICE``.
        class_names: of the data set that the weights were trained on, things and stuff in one list, as the
            checkpoint file tells; empty where it does not.
        stuff_names: the names of the same numbers where they are stuff; empty where there is none.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Build the config's model with the weights ``MODEL.WEIGHTS``.

        Where no data set of the config tells things from stuff, the checkpoint file does.

        Raises:
            ConfigError: neither tells things from stuff, which panoptic segmentation needs.
            MissingFileError: there is no such file.
            UserError: it is damaged, cannot be read safely, or is of no known layout or another model.
        """
        test = cfg.MODEL.DETR.TEST
        from_weights = test.PANOPTIC_ON and cfg.MODEL.MASK_ON and thing_classes(cfg) is None
        self.model: nn.Module = build_model(_with_instances_alone(cfg) if from_weights else cfg)
        rows, datasets = cfg.MODEL.DETR.CLASS_ROWS, (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
        numbers = partial(category_numbers, datasets, load=rows == CATEGORY_IDS)
        checkpointer = DetrCheckpointer(self.model, class_rows=rows, category_ids=numbers)
        metadata = checkpointer.load(cfg.MODEL.WEIGHTS).get("metadata", {})
        if from_weights:
            if "things" not in metadata:
                check_mask_config(cfg)  # says what is missing
            asked = {"instances_on": test.INSTANCE_ON, "panoptic_on": True, "things": metadata["things"]}
            self.model.inference = replace(self.model.inference, **asked)
        self.model.eval()
        self.class_names: list[str] = list(metadata.get("thing_classes", ()))
        self.stuff_names: list[str] = list(metadata.get("stuff_classes", ()))
        self._mapper = build_mapper(cfg, is_train=False)
        self._reading_options = reading_options(cfg)

    def __call__(self, record: Record) -> dict[str, Any]:
        with torch.inference_mode():
            result: dict[str, Any] = self.model([self._mapper(dict(record))])[0]
        if "instances" in result:
            result["instances"] = result["instances"].to("cpu")
        if "panoptic_seg" in result:
            ids, segments = result["panoptic_seg"]
            result["panoptic_seg"] = ids.cpu(), segments
        return result

    def read_image(self, file_name: str) -> np.ndarray:
        """The image to draw on, (H, W, 3) RGB: what the model sees before it is resized.

        Raises:
            MissingFileError, DataError: as :func:`~detr_d2.data.images.read_image`.
        """
        return read_image(file_name, "RGB", **self._reading_options)


def _with_instances_alone(cfg: CfgNode) -> CfgNode:
    """A config whose model can be built without knowing what is stuff."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DETR.TEST.INSTANCE_ON, cfg.MODEL.DETR.TEST.PANOPTIC_ON = True, False
    return cfg


def class_metadata(
    cfg: CfgNode, class_names: Sequence[str] = (), stuff_names: Sequence[str] = ()
) -> Metadata:
    """Return metadata with class names for images that belong to no data set.

    Args:
        cfg: names the data sets whose metadata are looked at: ``DATASETS.TEST``, then ``DATASETS.TRAIN``.
        class_names: those of the checkpoint, which come first; a data set's colors are used where it has
            the same classes.
        stuff_names: the same of stuff.

    Returns:
        Metadata without names where neither the checkpoint nor a data set that is there has any; classes
        are then shown as "class N".
    """
    names = {"thing_classes": list(class_names), "stuff_classes": list(stuff_names)}
    names = {key: own for key, own in names.items() if own}
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(dataset)
        if metadata.get("thing_classes", None) is None and dataset in DatasetCatalog.list() and not names:
            try:
                load_dataset(dataset)  # COCO's json files are where Detectron2 finds the names
            except UserError:
                continue
        known = {key: list(metadata.get(key, None) or ()) for key in names or ("thing_classes",)}
        if any(known.values()) and known == (names or known):
            return metadata
    return Metadata(**names)


def in_numbers_of(
    metadata: Metadata, result: dict[str, Any], class_names: Sequence[str], what: str
) -> dict[str, Any]:
    """A result with the class numbers of a data set, which are found by name.

    Args:
        metadata: of the data set.
        result: of :class:`ImagePredictor`. What is of a class that the data set has not is left out.
        class_names: of the model, by its numbers; where they or those of the data set are not known the
            numbers stay.
        what: the data set, for messages.

    Raises:
        DataError: the model lacks a class of the data set.
    """
    names = metadata.get("thing_classes", None)
    if not class_names or names is None:
        return result
    things = metadata.get("thing_dataset_id_to_contiguous_id", None)
    wanted = None if things is None or "panoptic_seg" in result else things.values()
    numbers = match_classes(class_names, names, wanted, what)
    renumbered = dict(result)
    if "instances" in result:
        instances = result["instances"]
        known = torch.tensor([n in numbers for n in instances.pred_classes.tolist()], dtype=torch.bool)
        renumbered["instances"] = instances[known]
        classes = [numbers[n] for n in renumbered["instances"].pred_classes.tolist()]
        renumbered["instances"].pred_classes = torch.tensor(classes, dtype=torch.int64)
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        kept = [
            {**s, "category_id": numbers[s["category_id"]]} for s in segments if s["category_id"] in numbers
        ]
        void = ~torch.isin(ids, torch.tensor([s["id"] for s in kept], dtype=ids.dtype))
        renumbered["panoptic_seg"] = ids.masked_fill(void, 0), kept
    return renumbered
