"""One look at every data set of a config, before anything is loaded or trained."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from ...detectron2_keys import detections_limit
from ...errors import EXIT_STATUS, DataError, UserError
from ..image_file import MAX_PIXELS
from ..json_file import read_json, without_garbage_collection
from ..records import Records, annotation_file, check_name, load_records, missing_annotations
from .classes import compare_classes
from .columns import Columns, look_at_boxes, look_at_counts, look_at_repeated_files
from .files import look_at_images
from .findings import Report, Severity, stop_at_errors
from .instances import look_at_instances
from .objects import forget_sound_polygons
from .panoptic import look_at_panoptic
from .records import look_at_records

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Needs:
    """What a model asks of a data set; None asks nothing.

    Attributes:
        num_classes: MODEL.DETR.NUM_CLASSES, of data sets that are trained on. Others are compared by name.
        num_queries: MODEL.DETR.NUM_OBJECT_QUERIES.
        num_detections: TEST.DETECTIONS_PER_IMAGE, of data sets whose instances are evaluated.
        masks: the annotated masks are trained on.
        panoptic: segments of things and stuff are trained on or evaluated.
        max_pixels: INPUT.MAX_IMAGE_PIXELS.
    """

    num_classes: int | None = None
    num_queries: int | None = None
    num_detections: int | None = None
    masks: bool = False
    panoptic: bool = False
    max_pixels: int = MAX_PIXELS

    @classmethod
    def of(cls, cfg: CfgNode, training: bool) -> Needs:
        """What a config asks of a data set of DATASETS.TRAIN, or of DATASETS.TEST.

        Raises:
            ConfigError: TEST.DETECTIONS_PER_IMAGE is not positive.
        """
        limit = detections_limit(cfg)
        return cls(
            num_classes=cfg.MODEL.DETR.NUM_CLASSES if training else None,
            num_queries=cfg.MODEL.DETR.NUM_OBJECT_QUERIES,
            num_detections=limit if cfg.MODEL.DETR.TEST.INSTANCE_ON and not training else None,
            masks=training and cfg.MODEL.MASK_ON,
            panoptic=cfg.MODEL.DETR.TEST.PANOPTIC_ON
            or cfg.INPUT.DATASET_MAPPER_NAME == "DetrPanopticDatasetMapper",
            max_pixels=cfg.INPUT.MAX_IMAGE_PIXELS,
        )


# What was looked at: a stamp of what it was then, and the report, None where another process looked.
_EXAMINED: dict[tuple[str, Needs], tuple[Any, Report | None]] = {}


def preflight(cfg: CfgNode, train: Sequence[str] | None = None, test: Sequence[str] | None = None) -> None:
    """Look at the data sets of a config, say all that is found, and stop at errors.

    Every process calls it; the main one looks, and the others wait. A data set that was looked at before
    and has not changed since is not looked at again.

    Args:
        cfg: with detr_d2's keys.
        train: data sets that are trained on; None takes DATASETS.TRAIN.
        test: data sets that are evaluated on; None takes DATASETS.TEST.

    Raises:
        DataError: in the main process, the first error. The other processes end.
    """
    trained = [(name, Needs.of(cfg, True)) for name in (cfg.DATASETS.TRAIN if train is None else train)]
    tested = [(name, Needs.of(cfg, False)) for name in (cfg.DATASETS.TEST if test is None else test)]
    error: DataError | None = None
    if comm.is_main_process():
        reports = [_examined(name, needs) for name, needs in (*trained, *tested)]
        if trained:
            compare_classes(reports[0], reports[1:])
        try:
            _say(reports)
        except DataError as found:
            error = found
    if any(comm.all_gather(error is not None)):
        if error is not None:
            raise error
        raise SystemExit(EXIT_STATUS)  # the main process says why
    for name, needs in (*trained, *tested):
        _EXAMINED.setdefault((name, needs), (_stamp(name), None))


def examined_images(cfg: CfgNode, name: str) -> int:
    """Images of a data set of DATASETS.TRAIN that :func:`preflight` looked at, in the main process."""
    return _examined(name, Needs.of(cfg, True)).images


def ensure_examined(name: str, needs: Needs) -> None:
    """Look at one data set in this process alone, unless it was looked at and has not changed since.

    Raises:
        DataError: it has errors.
    """
    if _EXAMINED.get((name, needs)) != (_stamp(name), None):  # or another process found no error
        _say([_examined(name, needs)])


def load_dataset(name: str) -> Records:
    """The records of a registered data set, in Detectron2's format, after a look at what they come from.

    Those of panoptic data sets get ``width`` and ``height`` too.

    Raises:
        DataError: there is no such data set, or it has errors.
    """
    needs = next((needs for known, needs in _EXAMINED if known == name), Needs())
    ensure_examined(name, needs)
    return load_records(name)


def _examined(name: str, needs: Needs) -> Report:
    """The report of a data set, a new one where it may have changed."""
    stamp = _stamp(name)
    before, report = _EXAMINED.get((name, needs), (None, None))
    if report is None or before != stamp:
        report = examine(name, needs)
        _EXAMINED[name, needs] = stamp, report
    return report


def _say(reports: Sequence[Report]) -> None:
    """Log what was found, once for each report, and stop at errors."""
    for report in reports:
        if not report.said:
            report.said = True
            grave = any(finding.severity is not Severity.NOTE for finding in report.findings)
            (_LOGGER.warning if grave else _LOGGER.info)("%s", report.table())
    stop_at_errors(reports)


def _stamp(name: str) -> Any:
    """What is another thing where a data set may have changed: its file's time and size, or its function."""
    if name not in DatasetCatalog.list():
        return None
    file = annotation_file(name)
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return DatasetCatalog[name]
    return file, status.st_mtime_ns, status.st_size


def examine(name: str, needs: Needs) -> Report:
    """Look at a registered data set; what is parsed for it is freed again."""
    report = Report("registered in Python", name)
    try:
        check_name(name)
    except DataError as error:
        report.source = "unknown"
        report.add("unknown-data-set", str(error))
        return report
    metadata = MetadataCatalog.get(name)
    report.source = annotation_file(name) or report.source
    image_root = metadata.get("image_root", None) or ""
    json_file, kind = (metadata.get(key, None) for key in ("json_file", "evaluator_type"))
    evaluated = needs.num_detections is not None
    if metadata.get("panoptic_json", None) and (needs.panoptic or not _numbers_apart(metadata)):
        check_panoptic(report, image_root, metadata.panoptic_root, needs)
    elif json_file and kind == "coco":
        check_instances(report, image_root, needs)
    else:
        report.classes = list(metadata.get("thing_classes", None) or ())
        columns = look_at_records(report, load_records(name), needs.masks, evaluated)
        _finish(report, columns, needs, image_root)
    if json_file and kind == "coco_panoptic_seg" and evaluated:  # what its things are scored with
        beside = Report(json_file)
        content = _content(beside, forget_sound_polygons())
        columns = None if beside.errors else look_at_instances(beside, content, "", masks=False)
        if columns is not None:
            look_at_counts(beside, columns, None, needs.num_detections)
        report.include(beside)
    return report


def _numbers_apart(metadata: Any) -> bool:
    """Whether things and stuff are numbered apart, as in Detectron2's "separated" panoptic data sets, whose
    instances detectors can use."""
    things, stuff = (metadata.get(f"{kind}_dataset_id_to_contiguous_id", {}) for kind in ("thing", "stuff"))
    return bool(set(things.values()) & set(stuff.values()))


@without_garbage_collection()
def check_instances(report: Report, image_root: str, needs: Needs, content: Any = None) -> Report:
    """Look at COCO's instance annotations in ``report.source``, or at what was read from there."""
    content = _content(report, forget_sound_polygons()) if content is None else content
    if not report.errors:
        _finish(report, look_at_instances(report, content, image_root, needs.masks), needs, image_root)
    return report


@without_garbage_collection()
def check_panoptic(
    report: Report, image_root: str, panoptic_root: str, needs: Needs, content: Any = None
) -> Report:
    """Look at COCO's panoptic annotations in ``report.source``, or at what was read from there, and at the
    maps in ``panoptic_root``."""
    content = _content(report) if content is None else content
    if not report.errors:
        metadata = MetadataCatalog.get(report.name).as_dict() if report.name else {}
        columns = look_at_panoptic(report, content, image_root, panoptic_root, metadata)
        _finish(report, columns, needs, image_root)
    return report


def read_instances(name: str, json_file: str) -> Any:
    """What a file holds that the instances of a data set are scored with.

    Its form is looked at where the data set was not looked at for that, or has changed since.

    Raises:
        MissingFileError, DataError: there is no such file, or it has errors.
    """
    content, stamp = read_json(json_file), _stamp(name)
    looks = [look for (known, needs), look in _EXAMINED.items() if known == name and needs.num_detections]
    if not any(before == stamp for before, _ in looks):
        report = Report(json_file)
        look_at_instances(report, content, "", masks=False)
        stop_at_errors([report])
    return content


def _content(report: Report, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    try:
        return read_json(report.source, object_hook)
    except FileNotFoundError:
        first = f"{report.source} does not exist"
        report.add("no-annotation-file", first, remedy=missing_annotations(report.source, report.name))
    except UserError as error:
        report.add("no-annotation-file", str(error), remedy="")
    return None


def _finish(report: Report, columns: Columns | None, needs: Needs, image_root: str) -> None:
    """What is the same for all kinds of data sets."""
    if columns is not None:
        look_at_counts(report, columns, needs.num_queries, needs.num_detections)
        look_at_boxes(report, columns)
        look_at_repeated_files(report, columns.files)
        look_at_images(report, columns.files, columns.sizes, needs.max_pixels, image_root)
    if needs.num_classes is None:
        return
    need, first = len(report.classes), ", ".join(report.classes[:10])
    if columns is not None and columns.classes.max(initial=-1) >= need:
        position = int(columns.classes.argmax())
        need = int(columns.classes[position]) + 1
        first = f"{columns.where(position)} has the class {need - 1}"
    if need > needs.num_classes:
        empty = report.found("class-without-objects")
        text = f" ({empty.first} has no object: take it out of the file if it is none)" if empty else ""
        report.add("too-many-classes", first, need, have=needs.num_classes, need=need, empty=text)
