"""Formats of data sets: each is read into COCO's, a part for each split."""

from .read import FORMATS, DataSet, find_format, read_data_set
from .split import SPLITS, TEST, TRAIN, VAL, Json, Split

__all__ = [
    "FORMATS",
    "SPLITS",
    "TEST",
    "TRAIN",
    "VAL",
    "DataSet",
    "Json",
    "Split",
    "find_format",
    "read_data_set",
]
