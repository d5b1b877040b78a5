"""Average precision of boxes and masks: Detectron2's COCOEvaluator, on the things of any data set."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from detectron2.data import Metadata
from detectron2.evaluation import COCOEvaluator, coco_evaluation

from ..compat import has_compiled_ops

try:
    from faster_coco_eval import COCOeval_faster  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    COCOeval_faster = None

_LOGGER = logging.getLogger(__name__)


class ThingsEvaluator(COCOEvaluator):
    """COCOEvaluator whose classes are the things of a data set, numbered by themselves.

    ``pred_classes`` are positions among the contiguous ids of the things; this is what Detr gives. In
    Detectron2's "standard" panoptic data sets ``thing_classes`` holds the stuff too, which COCOEvaluator
    cannot use. The precision is computed by faster-coco-eval where it is installed, else by Detectron2's
    compiled operators or by pycocotools; the numbers are equal.
    """

    def __init__(self, dataset_name: str, tasks: Sequence[str], output_folder: str):
        """
        Args:
            dataset_name: registered, with ``json_file`` in its metadata or records that Detectron2 can
                convert.
            tasks: "bbox" and "segm".
            output_folder: for ``coco_instances_results.json``.
        """
        super().__init__(
            dataset_name, tasks=tuple(tasks), output_dir=output_folder, use_fast_impl=has_compiled_ops()
        )
        self._metadata: Metadata = things_metadata(self._metadata)
        if COCOeval_faster is not None:
            self._use_fast_impl = True

    def _eval_predictions(self, predictions: list[Any], img_ids: list[int] | None = None) -> None:
        if COCOeval_faster is None:
            super()._eval_predictions(predictions, img_ids=img_ids)
            return
        _LOGGER.info("Average precision is computed by faster-coco-eval")
        with _fast_implementation(_FasterEvaluation):
            super()._eval_predictions(predictions, img_ids=img_ids)


def things_metadata(metadata: Metadata) -> Metadata:
    """Metadata of the things alone: their names, numbered from 0, and what the data set calls them.

    Args:
        metadata: of a data set; without ``thing_dataset_id_to_contiguous_id`` it is returned as it is.
    """
    numbers = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if numbers is None:
        return metadata
    things = sorted(numbers, key=lambda dataset_id: numbers[dataset_id])
    names = metadata.get("thing_classes", None)
    changed: dict[str, Any] = {
        "thing_dataset_id_to_contiguous_id": {name: i for i, name in enumerate(things)}
    }
    if names is not None:
        changed["thing_classes"] = [names[numbers[dataset_id]] for dataset_id in things]
    return Metadata(**{**metadata.as_dict(), **changed})


@contextmanager
def _fast_implementation(implementation: type) -> Iterator[None]:
    """Let COCOEvaluator use another "fast implementation"; it takes the class from a global name."""
    own = coco_evaluation.COCOeval_opt
    coco_evaluation.COCOeval_opt = implementation
    try:
        yield
    finally:
        coco_evaluation.COCOeval_opt = own


if COCOeval_faster is not None:

    class _FasterEvaluation(COCOeval_faster):
        """Prints the summary as pycocotools does."""

        def __init__(self, ground_truth: Any, detections: Any, iou_type: str):
            super().__init__(ground_truth, detections, iou_type, print_function=print)
