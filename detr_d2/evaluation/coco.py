"""Average precision of boxes and masks: Detectron2's COCOEvaluator, on the things of any data set."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Container, Hashable, Mapping, Sequence
from typing import Any

import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator, coco_evaluation
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n
from pycocotools.cocoeval import COCOeval

from ..compat import has_compiled_ops
from ..data.classes import match_classes
from ..errors import DataError
from .average_precision import evaluate_coco, summary
from .ground_truth import load_ground_truth

try:
    from faster_coco_eval import COCOeval_faster  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    COCOeval_faster = None

_LOGGER = logging.getLogger(__name__)

Entry = dict[str, Any]

# What COCOEvaluator gives for boxes and masks.
_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_NAN = float("nan")


class ThingsEvaluator(COCOEvaluator):
    """COCOEvaluator for the things of any data set, on ground truth that is put in order first.

    ``pred_classes`` are class numbers: of the data set's whole list of things and stuff, or of the model's
    own list, whose names tell which of the data set's they are. Ids may be any numbers or texts, and areas
    need not be there (:func:`~.ground_truth.load_ground_truth`). The precision is computed by
    faster-coco-eval where it is installed, else by Detectron2's compiled operators or by pycocotools; the
    numbers are equal.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str],
        output_folder: str | None = None,
        max_dets: int = 100,
        model_classes: Sequence[str] | None = None,
    ):
        """
        Args:
            dataset_name: registered.
            tasks: "bbox" and "segm".
            output_folder: for ``coco_instances_results.json``, with the data set's own ids; None: no files.
            max_dets: how many predictions of one class in an image count.
            model_classes: names of the model's classes, by their numbers. None: they are numbered as those
                of the data set.

        Raises:
            DataError: the ground truth cannot be used, or the model lacks a class of it; names which.
        """
        # COCOEvaluator's own constructor reads the json file as it is, and keeps converted records in a file
        # that later runs with other records would read. Its methods need this much:
        self._logger = _LOGGER
        self._distributed = True
        self._output_dir = output_folder
        self._cpu_device = torch.device("cpu")
        self._tasks = tuple(tasks)

        self._dataset_name = dataset_name
        self._max_dets = max_dets
        self._truth = load_ground_truth(dataset_name, MetadataCatalog.get(dataset_name), "segm" in tasks)
        self._by_name = model_classes is not None and self._truth.names is not None
        numbers, places = list(self._truth.category_ids), {x["category_id"] for x in self._truth.objects}
        self._category_ids = category_ids_of_model(
            self._truth.category_ids,
            self._truth.names,
            model_classes,
            dataset_name,
            {numbers[place - 1] for place in places},
        )
        self.reset()

    def evaluate(self, img_ids: Sequence[Any] | None = None) -> dict[str, dict[str, float]]:
        """Join the processes, write the predictions and log the precision.

        Args:
            img_ids: the data set's ids of the images that are compared; None: all.

        Returns:
            ``{"bbox": {"AP", "AP50", ..., "AP-NAME", ...}, "segm": ...}`` in percent, in the main process;
            NaN where there is nothing to score.

        Raises:
            DataError: a prediction is of an image or a class that the data set does not have.
        """
        results: dict[str, dict[str, float]] = super().evaluate(img_ids)
        return results if results or not comm.is_main_process() else self._no_results()

    def _no_results(self) -> dict[str, dict[str, float]]:
        return {task: dict.fromkeys(_METRICS, _NAN) for task in self._tasks}

    def _eval_predictions(self, predictions: Sequence[Entry], img_ids: Sequence[Any] | None = None) -> None:
        """What COCOEvaluator does with the predictions of all processes; fills ``_results``."""
        found = self._with_own_ids([entry for x in predictions for entry in x["instances"]])
        if self._output_dir:
            path = os.path.join(self._output_dir, "coco_instances_results.json")
            with PathManager.open(path, "w") as file:
                file.write(json.dumps(found, default=lambda number: number.item()))  # NumPy's numbers
            _LOGGER.info("Wrote predictions: %s", path)
        truth = self._truth
        self._results = self._no_results()
        if all(entry["iscrowd"] for entry in truth.objects):
            _LOGGER.warning("%s: there is no object to score predictions with", truth.source)
            return
        self._warn_of_limits()
        if not found:
            _LOGGER.warning("%s: there is no prediction to score", truth.source)
            return
        categories = truth.category_numbers
        for entry in found:
            entry["image_id"] = truth.image_numbers[entry["image_id"]]
            entry["category_id"] = categories[entry["category_id"]]
        images = None if img_ids is None else [truth.image_numbers[self._own_image(x)] for x in img_ids]
        implementation = _implementation()
        for task in self._tasks:
            evaluation = evaluate_coco(
                implementation,
                truth.images,
                len(categories),
                truth.annotations(task),
                found,
                task,
                self._max_dets,
                images,
            )
            rows = "\n".join(f" {name} = {value:.3f}" for name, value in summary(evaluation))
            _LOGGER.info("COCO's summary of %s:\n%s", task, rows)
            self._results[task] = self._derive_coco_results(evaluation, task, truth.class_names)

    def _with_own_ids(self, entries: Sequence[Entry]) -> list[Entry]:
        """Predictions with the data set's own ids of images and categories, of its classes alone."""
        found, left_out = [], Counter[int]()
        for entry in entries:
            number = entry["category_id"]
            if number in self._category_ids:
                image, category = self._own_image(entry["image_id"]), self._category_ids[number]
                found.append({**entry, "image_id": image, "category_id": category})
            elif self._by_name:
                left_out[number] += 1
            else:
                raise DataError(
                    f"The model predicted class {number}, so that it has at least {number + 1} classes, but "
                    f"data set {self._dataset_name!r} has {len(self._category_ids)} to be found (numbers "
                    f"{', '.join(map(str, self._category_ids))}): was it trained on other classes?"
                )
        if left_out:
            _LOGGER.info(
                "%d predictions of %d classes that data set %r does not have are left out",
                left_out.total(),
                len(left_out),
                self._dataset_name,
            )
        return found

    def _own_image(self, image_id: Hashable) -> Hashable:
        """The id of an image in the ground truth; Detectron2's panoptic loader makes numbers of texts."""
        for own in (image_id, str(image_id)):
            if own in self._truth.image_numbers:
                return own
        raise DataError(f"{self._truth.source} has no image {image_id!r}, of which there are predictions")

    def _warn_of_limits(self) -> None:
        """Say where objects cannot count."""
        truth = self._truth
        counts = Counter((x["image_id"], x["category_id"]) for x in truth.objects if not x["iscrowd"])
        cut = sorted({image for (image, _), count in counts.items() if count > self._max_dets})
        if cut:
            _warn_once(
                "%s: %d of %d images have more than %d objects of one class (up to %d), and no more "
                "predictions of a class count in an image: raise TEST.DETECTIONS_PER_IMAGE to reach all. The "
                "first one is %s",
                truth.source,
                len(cut),
                len(truth.images),
                self._max_dets,
                max(counts.values()),
                truth.images[cut[0] - 1]["file_name"],
            )
        if "segm" in self._tasks:
            without = [x for x in truth.objects if x["segmentation"] is None and not x["iscrowd"]]
            if without:
                _warn_once(
                    "%s: %d of %d objects have no mask that can be used, so the precision of masks passes "
                    "over their boxes; the first one is in %s",
                    truth.source,
                    len(without),
                    len(truth.objects),
                    truth.images[without[0]["image_id"] - 1]["file_name"],
                )


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

    Raises:
        DataError: the model has no class of the name of one of these.
    """
    if names is None or model_classes is None:
        return dict(category_ids)
    known = {name.strip().casefold() for name in model_classes}
    wanted = [
        number
        for number in category_ids
        if with_objects is None or number in with_objects or names[number].strip().casefold() in known
    ]
    numbers = match_classes(model_classes, names, wanted, f"data set {dataset_name!r}")
    moved = [f"{names[i]}: {n} -> {category_ids[i]!r}" for n, i in numbers.items() if n != i]
    if moved:
        _LOGGER.info(
            "Classes of the model are category ids of %s by name: %s", dataset_name, ", ".join(moved)
        )
    return {ours: category_ids[theirs] for ours, theirs in numbers.items()}


def _implementation() -> type:
    """What computes average precision fastest here."""
    if COCOeval_faster is not None:
        _LOGGER.info("Average precision is computed by faster-coco-eval")
        return COCOeval_faster
    return coco_evaluation.COCOeval_opt if has_compiled_ops() else COCOeval


def _warn_once(text: str, *values: object) -> None:
    """Log what is the same in every evaluation of a training at the first one."""
    log_first_n(logging.WARNING, text % values, n=1, key="message", name=__name__)
