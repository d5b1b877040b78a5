"""Evaluation of panoptic segmentation while a data set passes through the model."""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from ..data import load_dataset
from ..errors import DataError
from .coco import category_ids_of_model
from .panoptic_files import PanopticGroundTruth, PanopticPredictions
from .panoptic_quality import VOID, PanopticScores

_LOGGER = logging.getLogger(__name__)


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
            output_folder: for ``predictions.json`` and the maps in ``predictions/``, named as those of the
                ground truth, see :class:`PanopticPredictions`; None writes no files.
            model_classes: names of the model's things and stuff, by their numbers. None: they are numbered
                as those of the data set.

        Raises:
            DataError: the metadata or the json file lack something, or the model a class; names what.
            OSError: the json file cannot be opened.
        """
        metadata = MetadataCatalog.get(dataset_name)
        numbers_key = "thing_dataset_id_to_contiguous_id"
        if metadata.get(numbers_key, None) is None and metadata.get("panoptic_json", None):
            load_dataset(dataset_name)  # which enters the classes
        self._dataset_name = dataset_name
        self._truth = PanopticGroundTruth(dataset_name, metadata)
        self._files = None if output_folder is None else PanopticPredictions(output_folder)
        kinds = {True: "thing", False: "stuff"}
        names = {isthing: metadata.get(f"{kind}_classes", None) for isthing, kind in kinds.items()}
        self._by_name = model_classes is not None and None not in names.values()
        # By "is it a thing": class numbers to the data set's category ids.
        self._category_ids: dict[bool, dict[int, Hashable]] = {}
        for isthing, kind in kinds.items():
            own = {v: k for k, v in metadata.get(f"{kind}_dataset_id_to_contiguous_id", {}).items()}
            asked = model_classes if self._by_name else None
            self._category_ids[isthing] = category_ids_of_model(own, names[isthing], asked, dataset_name)
        if self._by_name:  # what is a thing for the model may be stuff here
            everything = {**self._category_ids[True], **self._category_ids[False]}
            self._category_ids = {True: everything, False: everything}
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
            image_id = self._truth.own_id(record["image_id"])
            self._truth.compare(self.quality, image_id, ids, segments)
            map_name = self._truth.map_name(image_id)
            self._records.append({"image_id": image_id, "file_name": map_name, "segments_info": segments})
            if self._files is not None:
                self._files.write_map(map_name, ids)

    def _with_own_categories(
        self, ids: np.ndarray, segments: Sequence[dict[str, Any]]
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """A map and its segments with the data set's category ids; void where it has no such class."""
        kept, strays = [], []
        for segment in segments:
            isthing, number = bool(segment["isthing"]), segment["category_id"]
            if number in self._category_ids[isthing]:
                own = {key: value for key, value in segment.items() if key != "isthing"}
                kept.append({**own, "category_id": self._category_ids[isthing][number]})
            elif self._by_name:
                strays.append(segment["id"])
            else:
                raise DataError(
                    f"The model predicted {'thing' if isthing else 'stuff'} class {number}, which the "
                    f"metadata of data set {self._dataset_name!r} do not have: was it trained on other "
                    "classes?"
                )
        self._left_out += len(strays)
        return (np.where(np.isin(ids, strays), VOID, ids) if strays else ids), kept

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
        records = list(itertools.chain.from_iterable(part for _, part, _ in parts))
        if self._files is not None:
            self._files.write_json(self._truth, records)
            _LOGGER.info("Wrote panoptic predictions: %s and the maps beside it", self._files.json_file)
        left_out = sum(count for _, _, count in parts)
        if left_out:
            _LOGGER.info(
                "%d segments of classes that data set %r does not have are left out",
                left_out,
                self._dataset_name,
            )
        self._check_complete([record["image_id"] for record in records])
        quality = self._truth.new_quality()
        for part, _, _ in parts:
            quality.merge(part)
        scores = quality.scores()
        _LOGGER.info("Panoptic quality of each class:\n%s", self._class_table(scores))
        _LOGGER.info("Panoptic quality:\n%s", summary_table(scores))
        return OrderedDict(panoptic_seg=_percentages(scores))

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


def summary_table(scores: PanopticScores) -> str:
    """The averages in percent, as text."""
    rows = [
        [name, *(100 * value for value in quality[:3]), quality.num_categories]
        for name, quality in (("All", scores.all), ("Things", scores.things), ("Stuff", scores.stuff))
    ]
    return tabulate(rows, ["", "PQ", "SQ", "RQ", "#categories"], tablefmt="pipe", floatfmt=".3f")


def _percentages(scores: PanopticScores) -> dict[str, float]:
    return {
        f"{name}{suffix}": 100 * value
        for suffix, quality in (("", scores.all), ("_th", scores.things), ("_st", scores.stuff))
        for name, value in zip(("PQ", "SQ", "RQ"), quality[:3], strict=True)
    }
