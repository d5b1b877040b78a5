"""Measurements beside other implementations, run in a clone: ``python -m benchmarks.NAME``.

Not part of the installed package.
"""

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs
