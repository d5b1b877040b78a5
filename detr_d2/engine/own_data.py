"""Training on a data set of one's own: DATASETS.PATH becomes registered data sets and the model's numbers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from detectron2.config import CfgNode
from detectron2.utils import comm
from tabulate import tabulate

from ..data.formats import TEST, TRAIN, VAL, DataSet, find_format, read_data_set
from ..data.own import VALIDATION_SHARE, cut_validation, look_at_data_set, statistics, table
from ..data.preflight import Needs
from ..data.preflight.findings import stop_at_errors
from ..errors import EXIT_STATUS, ConfigError, DataError, UserError
from ..modeling.class_losses import CLASS_LOSSES
from .own_files import OwnData, read_again, write

_LOGGER = logging.getLogger(__name__)

# Of what is evaluated without the files of its training.
_CUT_ANEW = (
    "{} has no validation split, and {} none that was cut off for a training: a new one was cut off, with "
    "images that the model may have been trained on. Name the training's OUTPUT_DIR, or its config.yaml."
)
# Taken where no config is named, by whether the data set is panoptic.
_CONFIGS = {
    False: "Custom-Detection/own_data.yaml",
    True: "Custom-PanopticSegmentation/detr_small_panoptic.yaml",
}


def default_config(path: str) -> str:
    """The name of the config that a data set is trained with where none is named.

    Raises:
        UserError: there is no such data set.
    """
    return _CONFIGS[find_format(os.path.expanduser(path)).NAME == "COCO panoptic"]


def use_own_data(cfg: CfgNode, keep: bool, testing: bool = False, fixed: Iterable[str] = ()) -> None:
    """Let a config use the data set of its DATASETS.PATH; "" changes nothing.

    Every process calls it; the main one prepares the data set, and the others wait.

    Args:
        cfg: gets the entries to be registered, DATASETS.TRAIN and DATASETS.TEST, and the numbers of classes,
            queries and detections. DATASETS.PATH becomes "": the config then says all by itself.
        keep: take what is in OUTPUT_DIR, where it is there, as it was inferred before.
        testing: evaluate on the test split where there is one. Else it is the validation split.
        fixed: keys that stay as they are.

    Raises:
        ConfigError: OUTPUT_DIR is of another data set, or the model is not of the data set's kind.
        DataError, MissingFileError: in the main process, the data set cannot be used. The others end.
    """
    if not cfg.DATASETS.PATH:
        return
    own: OwnData | None = None
    error: UserError | None = None
    if comm.is_main_process():
        try:
            own = read_again(cfg.OUTPUT_DIR, cfg.DATASETS.PATH) if keep else None
            if own is None:
                own = prepare(cfg, testing)
                if testing and own.cut_seed is not None:
                    _LOGGER.warning("%s", _CUT_ANEW.format(own.path, cfg.OUTPUT_DIR))
        except UserError as found:
            error = found
    owns = comm.all_gather(own)
    if owns[0] is None:
        if error is not None:
            raise error
        raise SystemExit(EXIT_STATUS)  # the main process says why
    _enter(cfg, owns[0], testing, set(fixed))
    _LOGGER.info("%s", _choices(cfg, owns[0]))


def prepare(cfg: CfgNode, testing: bool = False) -> OwnData:
    """Read the data set of DATASETS.PATH, look at it, and write what is inferred to OUTPUT_DIR.

    Nothing is written where it cannot be used.

    Args:
        cfg: names it.
        testing: nothing is trained on, so that a split to evaluate on is enough.

    Raises:
        ConfigError: the model is panoptic and the data set is not, or the reverse.
        DataError, MissingFileError: the data set cannot be used.
    """
    needs = Needs(
        masks=cfg.MODEL.MASK_ON,
        panoptic=Needs.of(cfg, True).panoptic,
        max_pixels=cfg.INPUT.MAX_IMAGE_PIXELS,
    )
    data = read_data_set(cfg.DATASETS.PATH, needs.panoptic)
    _check_kind(data, needs.panoptic)
    between = look_at_data_set(data, needs)
    reports = [*(split.report for split in data.splits), between]
    if any(report.findings for report in reports):
        wrong = any(report.errors for report in reports)
        (_LOGGER.warning if wrong else _LOGGER.info)("%s", table(data, between))
    stop_at_errors(reports)
    splits = {split.name: split for split in data.splits}
    if TRAIN not in splits and not testing:
        there = ", ".join(f"{split.name} ({split.report.source})" for split in data.splits)
        raise DataError(f"{data.path} has nothing to train on: of its splits there is {there} alone.")
    cut = VAL not in splits and TRAIN in splits
    seed = max(cfg.SEED, 0)
    if cut:
        splits[TRAIN], splits[VAL] = cut_validation(splits[TRAIN], seed, max_pixels=needs.max_pixels)
    in_order = [splits[name] for name in (TRAIN, VAL, TEST) if name in splits]
    _LOGGER.info("%s", statistics(in_order))
    return write(cfg.OUTPUT_DIR, data, in_order, seed if cut else None)


def _check_kind(data: DataSet, panoptic: bool) -> None:
    if data.is_panoptic and not panoptic:
        raise ConfigError(
            f"{data.path} has panoptic annotations, and the model is none of panoptic segmentation: take "
            f"--config-file {_CONFIGS[True]}, or make boxes of them with 'detr-d2 make-coco'"
        )
    if panoptic and not data.is_panoptic:
        raise ConfigError(
            f"{data.path} has no panoptic annotations ({data.format}), which the model needs: take another "
            f"--config-file, such as {_CONFIGS[False]}"
        )


def _enter(cfg: CfgNode, own: OwnData, testing: bool, fixed: set[str]) -> None:
    key = "COCO_PANOPTIC" if own.is_panoptic else "COCO_JSON"
    names = {part.name for part in own.parts}
    others = [entry for entry in cfg.DATASETS[key] if entry[0] not in names]
    entries = [
        [part.name, part.json_file, part.image_root, *([part.maps_root] if own.is_panoptic else [])]
        for part in own.parts
    ]
    cfg.DATASETS[key] = [*others, *entries]
    train, val, test = (own.part(split) for split in (TRAIN, VAL, TEST))
    evaluated = test if test and (testing or not val) else val
    for split, part in (("TRAIN", train), ("TEST", evaluated)):
        if part and f"DATASETS.{split}" not in fixed:
            cfg.DATASETS[split] = (part.name,)
    detr = cfg.MODEL.DETR
    # What a model is only evaluated on may lack some of its classes.
    if train and "MODEL.DETR.NUM_CLASSES" not in fixed:
        detr.NUM_CLASSES = len(own.classes)
    if "MODEL.DETR.NUM_OBJECT_QUERIES" not in fixed:
        detr.NUM_OBJECT_QUERIES = max(detr.NUM_OBJECT_QUERIES, _queries(own.most_objects))
    if "TEST.DETECTIONS_PER_IMAGE" not in fixed:
        # AP counts detections of each class by itself; some class losses give so many of all together.
        kind = CLASS_LOSSES.get(detr.CLASS_LOSS)  # another is refused when the model is built
        most = own.most_objects if kind and kind.shares_limit else own.most_of_a_class
        cfg.TEST.DETECTIONS_PER_IMAGE = max(cfg.TEST.DETECTIONS_PER_IMAGE, most)
    cfg.DATASETS.PATH = ""


def _queries(most_objects: int) -> int:
    """Queries for images with so many objects: a fifth more, because new images may be fuller."""
    return -(-most_objects * 12 // 100) * 10


def _choices(cfg: CfgNode, own: OwnData) -> str:
    """What was inferred, for people."""
    names = ", ".join(own.classes[:20]) + (", ..." if len(own.classes) > 20 else "")
    rows = [("data set", f"{own.path} ({own.format})"), ("classes", f"{len(own.classes)}: {names}")]
    for part in own.parts:
        text = f"{part.images:,} images, {part.objects:,} objects: {part.json_file}"
        if part.split == VAL and own.cut_seed is not None:
            text += f" (cut off: {VALIDATION_SHARE:.0%}, like images kept together, seed {own.cut_seed})"
        rows.append((f"{part.split} ({part.name})", text))
    if not own.is_panoptic:
        objects = sum(part.objects for part in own.parts)
        text = f"{own.masks:,} of {objects:,} objects have one; MODEL.MASK_ON {cfg.MODEL.MASK_ON}"
        rows.append(("masks", text))
    queries = cfg.MODEL.DETR.NUM_OBJECT_QUERIES
    rows.append(("queries", f"{queries}; the fullest image has {own.most_objects} objects"))
    start = cfg.MODEL.WEIGHTS or "none: from scratch, which needs far more iterations than with weights"
    rows.append(("weights", start))
    return f"DATASETS.PATH:\n{tabulate(rows, tablefmt='plain')}"
