"""Average precision of boxes and masks: Detectron2's COCOEvaluator, on the things of any data set."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.evaluation import COCOEvaluator, coco_evaluation
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from .average_precision import evaluate_coco
from .ground_truth import load_ground_truth
from .own_ids import category_ids_of_model, own_category, own_image

try:
    from faster_coco_eval import COCOeval_faster  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    COCOeval_faster = None

_LOGGER = logging.getLogger(__name__)

Entry = dict[str, Any]

# What COCOEvaluator gives for boxes and masks.
_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


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
        self._truth = truth = load_ground_truth(dataset_name, "segm" in tasks)
        numbers, places = list(truth.category_ids), {x["category_id"] for x in truth.objects}
        with_objects = {numbers[place - 1] for place in places}
        self._category_ids = category_ids_of_model(
            truth.category_ids, truth.names, model_classes, dataset_name, with_objects
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
        return {task: dict.fromkeys(_METRICS, float("nan")) for task in self._tasks}

    def _eval_predictions(self, predictions: Sequence[Entry], img_ids: Sequence[Any] | None = None) -> None:
        """What COCOEvaluator does with the predictions of all processes; fills ``_results``."""
        truth = self._truth
        found = self._with_own_ids([entry for x in predictions for entry in x["instances"]])
        if self._output_dir:
            path = os.path.join(self._output_dir, "coco_instances_results.json")
            with PathManager.open(path, "w") as file:
                file.write(json.dumps(found, default=lambda number: number.item()))  # NumPy's numbers
            _LOGGER.info("Wrote predictions: %s", path)
        self._results = self._no_results()
        scored = [x for x in truth.objects if not x["iscrowd"]]
        for what, entries in (("object to score predictions with", scored), ("prediction to score", found)):
            if not entries:
                _LOGGER.warning("%s: there is no %s", truth.source, what)
                return
        without = [x for x in scored if "segm" in self._tasks and x["segmentation"] is None]
        if without:  # in every evaluation of a training the same
            text = (
                f"{truth.source}: {len(without)} of {len(truth.objects)} objects have no mask that can be "
                "used, so the precision of masks passes over their boxes; the first one is in "
                f"{truth.images[without[0]['image_id'] - 1]['file_name']}"
            )
            log_first_n(logging.WARNING, text, n=1, key="message", name=__name__)
        numbers, source = truth.image_numbers, truth.source
        places = {own: place for place, own in enumerate(truth.category_ids.values(), start=1)}
        for entry in found:
            entry["image_id"] = numbers[entry["image_id"]]
            entry["category_id"] = places[entry["category_id"]]
        images = None if img_ids is None else [numbers[own_image(numbers, x, source)] for x in img_ids]
        names = None if truth.names is None else [str(truth.names[n]) for n in truth.category_ids]
        for task in self._tasks:
            evaluation, summary = evaluate_coco(implementation(), truth, found, task, self._max_dets, images)
            _LOGGER.info("COCO's summary of %s:\n%s", task, summary)
            self._results[task] = self._derive_coco_results(evaluation, task, names)

    def _with_own_ids(self, entries: Sequence[Entry]) -> list[Entry]:
        """Predictions with the data set's own ids of images and categories, of its classes alone."""
        found = []
        for entry in entries:
            category = own_category(self._category_ids, entry["category_id"], self._dataset_name)
            if category is not None:
                image = own_image(self._truth.image_numbers, entry["image_id"], self._truth.source)
                found.append({**entry, "image_id": image, "category_id": category})
        if len(found) < len(entries):
            count, name = len(entries) - len(found), self._dataset_name
            _LOGGER.info("%d predictions of classes that data set %r does not have are left out", count, name)
        return found


def implementation() -> type:
    """What computes average precision fastest here."""
    if COCOeval_faster is not None:
        _LOGGER.info("Average precision is computed by faster-coco-eval")
        return COCOeval_faster
    return coco_evaluation.COCOeval_opt  # pycocotools' own where there are no compiled operators
