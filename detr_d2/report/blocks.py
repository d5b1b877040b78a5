"""What a page is made of. All text is plain: the template escapes it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from ..visualization import Picture

# A page must not have more than 5 MB; this is what pictures may take of it.
_ROOM = 3_500_000


@dataclass(frozen=True)
class Table:
    """The first column names the rows.

    Attributes:
        headings: of the columns.
        rows: as many entries each.
        note: a sentence above the table.
        sentence: the last column is words, not numbers.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    sentence: bool = False


@dataclass(frozen=True)
class Drawing:
    """A picture: its ``data:`` address, the line above it, and what it shows in words."""

    source: str
    caption: str
    words: str


@dataclass(frozen=True)
class Example:
    """Pictures of one image, beside each other where there is room."""

    caption: str
    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Section:
    """A part of the page; what is empty is left out."""

    title: str
    text: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    examples: Sequence[Example] = ()


class Album:
    """Encodes pictures, as many as a page may have.

    Attributes:
        left_out: pictures that there was no room for.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self.left_out = 0

    def figure(self, figure: Figure, caption: str, words: str) -> list[Drawing]:
        """A list of one drawing, or of none where there is no room."""
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return self._add("png", file.getvalue(), caption, words)

    def photo(self, picture: Picture, caption: str, words: str) -> list[Drawing]:
        """The same of an image with what was drawn on it."""
        file = io.BytesIO()
        Image.fromarray(picture).save(file, format="JPEG", quality=80)
        return self._add("jpeg", file.getvalue(), caption, words)

    def _add(self, kind: str, content: bytes, caption: str, words: str) -> list[Drawing]:
        source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        if len(source) > self._room:
            self.left_out += 1
            return []
        self._room -= len(source)
        return [Drawing(source, caption, words)]


def percent(share: float) -> str:
    """A share in percent, with one digit; a dash where it is not known."""
    return f"{100 * share:.1f}" if math.isfinite(share) else "–"
