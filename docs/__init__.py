"""Pages about detr_d2, and what keeps their tables up to date. Not part of the installed package."""

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs
