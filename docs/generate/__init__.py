"""The tables of README.md and MODEL_ZOO.md, made from the code and its data: ``python -m docs.generate``."""
