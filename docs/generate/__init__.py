"""The tables of README.md and docs/, made from the code and its data: ``python -m docs.generate``."""
