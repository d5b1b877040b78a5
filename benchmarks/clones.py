"""Imports from clones of other projects, which no package index has."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from detr_d2.errors import MissingFileError


def import_from_clone(folder: str, repository: str, module: str, file: str) -> Any:
    """Import ``module`` of a clone.

    Args:
        folder: the clone.
        repository: what it is a clone of, on github.com.
        module: such as ``models.detr``.
        file: relative path of a file by which a clone is known.

    Raises:
        MissingFileError: ``folder`` holds no clone.
    """
    path = Path(folder).resolve()
    if not (path / file).is_file():
        raise MissingFileError(f"{folder} is not a clone of github.com/{repository}: no {file}")
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    return importlib.import_module(module)


def import_panopticapi(folder: str) -> Any:
    """Import ``panopticapi.evaluation`` of a clone of github.com/cocodataset/panopticapi.

    Raises:
        MissingFileError: ``folder`` holds no clone.
    """
    return import_from_clone(
        folder, "cocodataset/panopticapi", "panopticapi.evaluation", "panopticapi/evaluation.py"
    )
