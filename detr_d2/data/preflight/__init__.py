"""What is wrong with data sets, found before anything is loaded, as data."""

from .findings import Finding, Report, Severity
from .run import (
    Needs,
    check_instances,
    check_panoptic,
    examine,
    examined_images,
    load_dataset,
    preflight,
    read_instances,
)

__all__ = [
    "Finding",
    "Needs",
    "Report",
    "Severity",
    "check_instances",
    "check_panoptic",
    "examine",
    "examined_images",
    "load_dataset",
    "preflight",
    "read_instances",
]
