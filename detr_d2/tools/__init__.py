"""Commands: ``python -m detr_d2.tools.NAME``."""
