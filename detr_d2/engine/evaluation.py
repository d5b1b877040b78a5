"""What an evaluation adds to Detectron2's metrics while a training runs: losses, and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import inference_context
from torch import nn

from ..data import load_dataset
from ..data.dataset_mapper import build_mapper
from ..data.images import read_image, reading_options
from ..data.validation import build_validation_loader
from ..errors import ConfigError
from ..modeling import Detr
from ..modeling.class_losses import CLASS_LOSSES
from ..modeling.fast import fast
from ..modeling.validation import ValidationLoss
from ..progress import progress
from ..report.samples import detection_sample, in_numbers_of, panoptic_sample
from ..visualization import Picture

_SIZE = 400  # pixels of a picture's longer side


def validation_losses(cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
    """The losses of the data sets of DATASETS.TEST; every process calls it.

    Args:
        cfg: with detr_d2's keys.
        model: a ``Detr``, not wrapped for distributed training; it stays as it is.

    Returns:
        {"val": {name: value}} as of :class:`~detr_d2.modeling.validation.ValidationLoss`; of several data
        sets by their names, as Detectron2's results are.

    Raises:
        ConfigError: the model is no ``Detr``.
        DataError: a data set has no annotations, or classes that the model has not.
    """
    if not isinstance(model, Detr):
        raise ConfigError(
            f"TEST.LOSS is on, but {type(model).__name__} has no loss that is known: set it to False"
        )
    results: dict[str, Any] = {}
    for name in cfg.DATASETS.TEST:
        loss = ValidationLoss(model)
        loader = build_validation_loader(cfg, name)
        with inference_context(model), torch.no_grad():
            for batch in progress(loader, "Validation loss", len(loader)):
                loss.add(batch)
        results[name] = {"val": loss.result()}
    return results[cfg.DATASETS.TEST[0]] if len(results) == 1 else results


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Nested results of the same data sets."""
    both = dict(one)
    for key, value in other.items():
        both[key] = joined(both[key], value) if key in both else value
    return both


def prediction_pictures(cfg: CfgNode, model: nn.Module) -> Iterator[tuple[str, Picture]]:
    """Annotations beside predictions, of TRACKING.PICTURES images of the first data set of DATASETS.TEST.

    Args:
        cfg: with detr_d2's keys.
        model: in any mode, not wrapped for distributed training; it stays as it is.

    Yields:
        a name, and (H, W, 3) RGB; always of the same images.
    """
    count, names = cfg.TRACKING.PICTURES, cfg.DATASETS.TEST
    if not count or not names:
        return
    records, metadata = load_dataset(names[0]), MetadataCatalog.get(names[0])
    mapper, detect = build_mapper(cfg, is_train=False), fast(cfg, model)
    test, least = cfg.MODEL.DETR.TEST, CLASS_LOSSES[cfg.MODEL.DETR.CLASS_LOSS].likely
    panoptic = test.PANOPTIC_ON and "pan_seg_file_name" in records[0]
    if not panoptic and not test.INSTANCE_ON:
        return
    sample_of = panoptic_sample if panoptic else partial(detection_sample, least)
    known = getattr(model, "class_names", None) or ()
    for place in np.unique(np.linspace(0, len(records) - 1, min(count, len(records)), dtype=int)).tolist():
        record = records[place]
        with inference_context(model), torch.no_grad():
            (result,) = detect([mapper(record)])
        result = in_numbers_of(metadata, _on_cpu(result), known, f"data set {names[0]!r}")
        image = read_image(record["file_name"], "RGB", **reading_options(cfg))
        sample = sample_of(record, image, result)
        sides = [picture for _, picture in sample.pictures(metadata, _SIZE)]
        yield f"predictions/{sample.name}", np.concatenate(sides, axis=1)


def _on_cpu(result: dict[str, Any]) -> dict[str, Any]:
    moved = dict(result)
    if "instances" in result:
        moved["instances"] = result["instances"].to("cpu")
    if "panoptic_seg" in result:
        moved["panoptic_seg"] = (result["panoptic_seg"][0].cpu(), result["panoptic_seg"][1])
    return moved
