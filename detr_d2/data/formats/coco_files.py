"""COCO's annotation files: which of a folder's json files they are, and of which split.

Layouts of Detectron2 (``annotations/instances_train2017.json`` and ``train2017/``), Roboflow
(``train/_annotations.coco.json`` beside the images), CVAT (``annotations/instances_default.json``) and plain
ones (``train.json`` and ``images/``) are of one rule: a file is of the split that its name, or else its
folder's, speaks of. A file by itself needs no such name.
"""

from __future__ import annotations

import mmap
import os
from enum import Enum
from pathlib import Path
from typing import Any

from ...errors import DataError, UserError, named
from ..json_file import read_json
from ..preflight.findings import Report
from .folders import folder_of
from .labelme import is_labelme
from .split import TRAIN, Split, in_order, split_of

# COCO's own files of other annotations of the same images.
_OTHERS = ("captions", "person_keypoints", "stuff", "image_info", "pixelmaps")
IMAGE_WORDS = ("image", "img", "jpeg")


class Kind(Enum):
    """What a json file annotates, by the words in it."""

    INSTANCES = b'"annotations"'
    PANOPTIC = b'"segments_info"'
    NEITHER = b""


def annotation_files(path: Path) -> dict[Path, Kind]:
    """The json files that may be COCO's: ``path`` itself, or those of a folder that say a split or kind."""
    if path.is_file():
        return {path: _kind(path)} if path.suffix == ".json" else {}
    folders = [path, path / "annotations"]
    folders += sorted(folder for folder in path.iterdir() if folder.is_dir() and split_of(folder.name))
    files = [file for folder in folders for file in sorted(folder.glob("*.json"))]
    kinds = {
        file: _kind(file)
        for file in files
        if not file.name.startswith(_OTHERS) and not (is_labelme(file) and _kind(file) is Kind.NEITHER)
    }
    return {file: kind for file, kind in kinds.items() if kind is not Kind.NEITHER or _split(file, path)}


def read_splits(path: Path, wanted: Kind) -> list[Split]:
    """The splits of one kind, with what their files hold and the folder of their images.

    A file that holds neither kind counts where its split has no other: what is wrong with it is found later.

    Raises:
        DataError: two files are of one split, or several of none.
    """
    root = root_of(path)
    by_split: dict[str, list[Path]] = {}
    unnamed: list[Path] = []
    files = annotation_files(path)
    for kind in (wanted, Kind.NEITHER):
        taken = set(by_split) if kind is Kind.NEITHER else set()
        for file in (file for file, of in files.items() if of is kind):
            split = _split(file, root)
            if not split:
                unnamed.append(file)
            elif split not in taken:
                by_split.setdefault(split, []).append(file)
    if not by_split and len(unnamed) == 1:
        by_split, unnamed = {TRAIN: unnamed}, []
    for split, several in by_split.items():
        if len(several) > 1:
            raise DataError(f"{root} has {len(several)} files for {split!r}: {_listed(several)}. Keep one.")
    if not by_split:
        raise DataError(
            f"{root} has {len(unnamed)} json files of which none is named for a split: {_listed(unnamed)}. "
            "Call them train.json and val.json, or name the one to use."
        )
    splits = in_order([_read(split, file, root) for split, (file,) in by_split.items()])
    for file in unnamed:
        splits[0].report.add("file-left-out", os.fspath(file))
    return splits


def root_of(path: Path) -> Path:
    """The folder of the data set that a path stands for."""
    folder = path.parent if path.is_file() else path
    return folder.parent if path.is_file() and folder.name == "annotations" else folder


def _split(file: Path, root: Path) -> str:
    of_folder = split_of(file.parent.name) if file.parent != root else ""
    return split_of(file.stem) or of_folder


def _kind(file: Path) -> Kind:
    """What a file holds, without parsing it."""
    with named(os.fspath(file)), open(file, "rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return Kind.NEITHER
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            words = (Kind.PANOPTIC, Kind.INSTANCES)
            return next((kind for kind in words if content.find(kind.value) >= 0), Kind.NEITHER)


def _read(name: str, file: Path, root: Path) -> Split:
    report = Report(os.fspath(file))
    try:
        content = read_json(os.fspath(file))
    except UserError as error:
        report.add("no-annotation-file", str(error), remedy="")
        return Split(name, report, None, os.fspath(root))
    images = folder_of(file_names(content, "images"), root, name, IMAGE_WORDS)
    content = {} if content is None else content  # a file may hold null: its outline is what is wrong
    return Split(name, report, content, images or os.fspath(root), json_file=os.fspath(file))


def file_names(content: Any, key: str) -> list[str]:
    """The ``file_name`` of the records of a list, as far as the content has such."""
    records = content.get(key) if isinstance(content, dict) else None
    names = [
        record.get("file_name")
        for record in (records if isinstance(records, list) else [])
        if isinstance(record, dict)
    ]
    return [name for name in names if isinstance(name, str) and name and "\0" not in name]


def _listed(files: list[Path]) -> str:
    return ", ".join(map(os.fspath, files[:5]))
