"""Commands: ``detr-d2 NAME`` (``detr_d2_cli.py`` lists them), or ``python -m detr_d2.tools.MODULE``."""
