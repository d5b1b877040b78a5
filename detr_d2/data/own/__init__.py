"""Data sets of one's own as a whole: a look at all splits together, and a validation split cut off."""

from .cut import VALIDATION_SHARE, cut_validation
from .fix import Change, fix_data_set
from .look import look_at_data_set
from .table import statistics, table

__all__ = [
    "VALIDATION_SHARE",
    "Change",
    "cut_validation",
    "fix_data_set",
    "look_at_data_set",
    "statistics",
    "table",
]
