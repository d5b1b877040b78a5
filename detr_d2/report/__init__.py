"""One page on a training: what was trained on what, how well it does, and what goes wrong."""

from .facts import write_facts
from .page import REPORT, write_report

__all__ = ["REPORT", "write_facts", "write_report"]
