"""From a record of a panoptic data set to what the model reads."""

from typing import Any

from ..errors import DataError
from .dataset_mapper import MAPPER_REGISTRY, DetrDatasetMapper, Objects
from .masks import boxes_of_masks
from .segment_map import read_segment_masks


@MAPPER_REGISTRY.register()
class DetrPanopticDatasetMapper(DetrDatasetMapper):
    """As :class:`DetrDatasetMapper`, with every segment of a panoptic data set, thing or stuff, an object.

    Records are those of Detectron2's "standard" panoptic data sets (such as coco_2017_train_panoptic),
    where things and stuff share one numbering of classes. As in published DETR, crowd segments are kept,
    and boxes are those of :func:`~detr_d2.data.masks.boxes_of_masks` in the original image, so that a
    segment of one row or column is left out.

    Evaluation keeps ``file_name``, ``image_id``, ``pan_seg_file_name`` and ``segments_info``.
    """

    def read_objects(self, record: dict[str, Any], height: int, width: int) -> Objects:
        """The segments of a record; always with masks, from which the boxes are made.

        Args:
            record: in Detectron2's format.
            height, width: of its image, in pixels.

        Raises:
            DataError: the record has no segments, or its segmentation map cannot be used.
        """
        if "segments_info" not in record or "pan_seg_file_name" not in record:
            raise DataError(
                f"The record of {record['file_name']} has no 'segments_info' and 'pan_seg_file_name', which "
                "DetrPanopticDatasetMapper needs. Name a panoptic data set in DATASETS.TRAIN, or set "
                "INPUT.DATASET_MAPPER_NAME to DetrDatasetMapper."
            )
        if "sem_seg_file_name" in record:
            raise DataError(
                f"The record of {record['file_name']} is of Detectron2's 'separated' panoptic form, which "
                "numbers things and stuff apart. Name the data set without '_separated' in DATASETS.TRAIN."
            )
        segments = record["segments_info"]
        segment_ids = [segment["id"] for segment in segments]
        masks = read_segment_masks(record["pan_seg_file_name"], segment_ids, height, width)
        return Objects(boxes_of_masks(masks), [segment["category_id"] for segment in segments], masks)
