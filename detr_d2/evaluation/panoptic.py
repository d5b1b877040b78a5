"""Evaluation of panoptic segmentation while a data set passes through the model."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from tabulate import tabulate

from ..data import load_dataset
from ..errors import DataError
from .own_ids import category_ids_of_model, own_category
from .panoptic_files import PanopticGroundTruth, write_map
from .panoptic_quality import VOID, PanopticScores

_LOGGER = logging.getLogger(__name__)

_NUMBERS = "{}_dataset_id_to_contiguous_id"


class PanopticEvaluator(DatasetEvaluator):
    """Panoptic quality of ``panoptic_seg`` in a model's results, as of Detectron2's COCOPanopticEvaluator.

    Needs no ``panopticapi``. Each image is compared with its ground truth, and its map written, when it
    comes, so that nothing of an image's size is kept. Processes that share a data set each write the maps
    of their images; the main one writes the json file and gives the results.

    Attributes:
        quality: of the images that this process has had.
    """

    def __init__(
        self,
        dataset_name: str,
        output_folder: str | None = None,
        model_classes: Sequence[str] | None = None,
    ):
        """
        Args:
            dataset_name: registered, with ``panoptic_json``, ``panoptic_root`` and
                ``{thing,stuff}_dataset_id_to_contiguous_id`` in its metadata.
            output_folder: for ``predictions.json`` and, in ``predictions/``, the maps, named as those of the
                ground truth. The COCO server takes these, and ``panopticapi`` finds the folder by the json
                file's name. None writes no files.
            model_classes: names of the model's things and stuff, by their numbers. None: they are numbered
                as those of the data set.

        Raises:
            DataError: the metadata or the json file lack something, or the model a class; names what.
            OSError: the json file cannot be opened.
        """
        metadata = MetadataCatalog.get(dataset_name)
        if metadata.get(_NUMBERS.format("thing"), None) is None and metadata.get("panoptic_json", None):
            load_dataset(dataset_name)  # which enters the classes
        self._dataset_name = dataset_name
        self._truth = PanopticGroundTruth(dataset_name, metadata)
        self._maps = None if output_folder is None else os.path.join(output_folder, "predictions")
        names = {kind: metadata.get(f"{kind}_classes", None) for kind in ("thing", "stuff")}
        if None in names.values():
            model_classes = None
        things, stuff = (
            category_ids_of_model(
                {number: own for own, number in metadata.get(_NUMBERS.format(kind), {}).items()},
                names[kind],
                model_classes,
                dataset_name,
            )
            for kind in names
        )
        if model_classes is not None:  # what is a thing for the model may be stuff here
            things = stuff = {n: things[n] if own is None else own for n, own in stuff.items()}
        # By "is it a thing": class numbers to the data set's category ids.
        self._category_ids = {True: things, False: stuff}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.quality = self._truth.new_quality()
        self._records: list[dict[str, Any]] = []
        self._left_out = 0

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Compare some images with their ground truth, and write their maps.

        Args:
            inputs: ``image_id`` and ``file_name`` of each; the latter for messages.
            outputs: ``panoptic_seg`` of each: (H, W) ids at the size of the image file, 0 for void, and a
                list of ``id``, ``isthing`` and contiguous ``category_id`` of each segment.

        Raises:
            DataError: a prediction or its ground truth cannot be used; names the image or file.
        """
        for record, output in zip(inputs, outputs, strict=True):
            if "panoptic_seg" not in output:
                raise DataError(
                    f"The model gave no panoptic segmentation of {record['file_name']}: set "
                    "MODEL.DETR.TEST.PANOPTIC_ON to True."
                )
            ids, segments_info = output["panoptic_seg"]
            ids, segments = self._with_own_categories(ids.cpu().numpy(), segments_info)
            annotation = self._truth.annotation(record["image_id"])
            self._truth.compare(self.quality, annotation, ids, segments)
            named = {key: annotation[key] for key in ("image_id", "file_name")}
            self._records.append({**named, "segments_info": segments})
            if self._maps is not None:
                write_map(self._maps, annotation["file_name"], ids)

    def _with_own_categories(
        self, ids: np.ndarray, segments: Sequence[dict[str, Any]]
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """A map and its segments with the data set's category ids; void where it has no such class."""
        kept: list[dict[str, Any]] = []
        strays: list[dict[str, Any]] = []
        for segment in segments:
            own = {key: value for key, value in segment.items() if key != "isthing"}
            category_ids = self._category_ids[bool(segment["isthing"])]
            own["category_id"] = own_category(category_ids, segment["category_id"], self._dataset_name)
            (strays if own["category_id"] is None else kept).append(own)
        self._left_out += len(strays)
        void = np.isin(ids, [segment["id"] for segment in strays])
        return np.where(void, VOID, ids), kept

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Join the processes, write the json file and log the qualities.

        Returns:
            ``{"panoptic_seg": {"PQ", "SQ", "RQ", "PQ_th", ..., "PQ_st", ...}}`` in percent, in the main
            process; NaN where there are no categories.

        Raises:
            DataError: an image was not predicted, or twice.
        """
        comm.synchronize()
        parts = comm.gather((self.quality, self._records, self._left_out))
        if not comm.is_main_process():
            return None
        qualities, records, left_out = zip(*parts, strict=True)
        annotations = sorted(itertools.chain.from_iterable(records), key=lambda x: x["image_id"])
        if self._maps is not None:
            PathManager.mkdirs(os.path.dirname(self._maps))
            with PathManager.open(self._maps + ".json", "w") as file:
                file.write(json.dumps({**self._truth.content, "annotations": annotations}))
            _LOGGER.info("Wrote panoptic predictions: %s.json and the maps beside it", self._maps)
        if any(left_out):
            count, name = sum(left_out), self._dataset_name
            _LOGGER.info("%d segments of classes that data set %r does not have are left out", count, name)
        self._check_complete([annotation["image_id"] for annotation in annotations])
        whole = self._truth.new_quality()
        for part in qualities:
            whole.merge(part)
        scores = whole.scores()
        _LOGGER.info("Panoptic quality of each class:\n%s", self._class_table(scores))
        averages = {"": scores.all, "_th": scores.things, "_st": scores.stuff}
        rows = [
            [name, *(100 * value for value in quality[:3]), quality.num_categories]
            for name, quality in zip(("All", "Things", "Stuff"), averages.values(), strict=True)
        ]
        table = tabulate(rows, ["", "PQ", "SQ", "RQ", "#categories"], tablefmt="pipe", floatfmt=".3f")
        _LOGGER.info("Panoptic quality:\n%s", table)
        percentages = {
            metric + suffix: 100 * value
            for suffix, quality in averages.items()
            for metric, value in zip(("PQ", "SQ", "RQ"), quality[:3], strict=True)
        }
        return OrderedDict(panoptic_seg=percentages)

    def _check_complete(self, predicted: list[Any]) -> None:
        missing = sorted(set(self._truth.image_ids) - set(predicted))
        if missing:
            raise DataError(
                f"{len(missing)} of {len(self._truth.image_ids)} images of {self._truth.json_file} have no "
                f"panoptic prediction, the first one is image {missing[0]}"
            )
        if len(set(predicted)) != len(predicted):
            raise DataError(f"Data set {self._dataset_name!r} has images of the same image_id")

    def _class_table(self, scores: PanopticScores) -> str:
        rows = []
        for number, quality in scores.per_category.items():
            if quality.tp + quality.fp + quality.fn:
                category = self._truth.categories[number]
                percent = [100 * value for value in quality[:3]]
                kind = "thing" if category["isthing"] else "stuff"
                rows.append([category.get("name", number), kind, *percent, *quality[3:]])
        headers = ["", "", "PQ", "SQ", "RQ", "TP", "FP", "FN"]
        return tabulate(rows, headers, tablefmt="pipe", floatfmt=".3f")
