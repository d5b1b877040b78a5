"""The commands and code of README.md and docs/, as readers copy them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"#.*\bneeds\b(.*)")
_NEEDED = {"a GPU": r"\bGPUs?\b", "COCO": r"\bCOCO\b", "the network": r"\bnetwork\b"}


@dataclass(frozen=True)
class Command:
    """A line of a page's ``bash`` block, or a whole ``python`` block.

    Attributes:
        page: its file's name.
        words: of the line, without its comment; empty of Python code.
        code: of the block; empty of a line.
        needs: what of "a GPU", "COCO" and "the network" its comment (``# needs …``) says.
    """

    page: str
    words: tuple[str, ...]
    code: str
    needs: frozenset[str]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words) or self.code}"


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each fenced block."""
    return _BLOCK.findall(page.read_text("utf-8"))


def commands(page: Path) -> list[Command]:
    """What a reader may run, in the order of the page."""
    found = []
    for language, text in blocks(page):
        if language == "python":
            found.append(Command(page.name, (), text, _needs(text)))
        if language == "bash":
            for line in text.replace("\\\n", " ").splitlines():
                words = tuple(shlex.split(line, comments=True))
                found.append(Command(page.name, words, "", _needs(line)))
    return found


def _needs(text: str) -> frozenset[str]:
    said = " ".join(_NEEDS.findall(text))
    return frozenset(what for what, words in _NEEDED.items() if re.search(words, said))
