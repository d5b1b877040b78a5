"""Looking through a data set's folder: where its images, or other files, are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from PIL import Image

from ...errors import named
from ..preflight.files import spread
from ..preflight.findings import Report
from .split import TRAIN, split_of

# Folders below these many others, or after so many, are not looked at.
_DEPTH = 3
_MOST_FOLDERS = 2_000
# So many of a split's files are looked for in each folder.
_SAMPLE = 30


def image_suffixes() -> frozenset[str]:
    """Suffixes of the files that Pillow can open: ".jpg", ".png" and many more."""
    Image.init()
    return frozenset(Image.EXTENSION) - {".pdf", ".h5", ".hdf"}


def images_in(folder: Path, below: bool = False) -> list[Path]:
    """The image files of a folder, by name.

    Args:
        folder: that is there.
        below: those of all folders in it, too.

    Raises:
        UserError: the folder cannot be listed.
    """
    suffixes = image_suffixes()
    with named(os.fspath(folder)):
        files = folder.rglob("*") if below else folder.iterdir()
        return sorted(path for path in files if path.suffix.lower() in suffixes)


def by_stem(files: Sequence[Path], report: Report) -> dict[str, Path]:
    """Files by their names without suffix; of several with one name the first, and a finding."""
    found: dict[str, Path] = {}
    for file in files:
        first = found.setdefault(file.stem, file)
        if first != file:
            report.add("same-stem", f"{first} and {file.name}")
    return found


def split_folders(root: Path, folders: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Of a folder and its splits' those that have some folders in them, each with the split's name.

    Args:
        root: that is there; what it holds itself is of "train".
        folders: names, all of which are needed.
    """
    places = [(TRAIN, root)]
    places += [(split_of(f.name), f) for f in sorted(root.iterdir()) if f.is_dir() and split_of(f.name)]
    for name, place in places:
        if all((place / folder).is_dir() for folder in folders):
            yield name, place


def folder_of(
    files: Sequence[str],
    root: Path,
    split: str,
    words: Collection[str],
    against: Collection[str] = (),
    without: str = "",
) -> str | None:
    """The folder that files are in, found out by looking for some of them.

    Args:
        files: relative to the folder.
        root: of the data set.
        split: that they belong to. Splits may use the same names, in folders of their own.
        words, against: where several folders have all of them, one with such a word in its name is taken, or
            is not.
        without: a folder that it is not.

    Returns:
        the folder with the most of the files, or None where no folder has any.
    """
    some = [files[position] for position in spread(len(files), _SAMPLE)]
    best: tuple[tuple[int, ...], str] | None = None
    for folder in _folders(root):
        hits = sum(os.path.isfile(os.path.join(folder, file)) for file in some)
        if not hits or os.fspath(folder) == without:
            continue
        below = folder.relative_to(root)
        of = {split_of(part) for part in below.parts} - {""}
        name = "/".join(below.parts).lower()
        called = any(map(name.__contains__, words)) - any(map(name.__contains__, against))
        rank = (hits, not of - {split}, split in of, called, -len(below.parts))
        if best is None or rank > best[0]:
            best = rank, os.fspath(folder)
    return best and best[1]


def _folders(root: Path) -> Iterator[Path]:
    """A folder and those below it, the upper ones first."""
    left = [root]
    for _ in range(_DEPTH + 1):
        yield from left[:_MOST_FOLDERS]
        below: list[Path] = []
        for folder in left[:_MOST_FOLDERS]:
            with named(os.fspath(folder)), os.scandir(folder) as entries:
                below += sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
        left = below
