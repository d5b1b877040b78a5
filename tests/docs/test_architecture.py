"""The page on the architecture, held against the files and their imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "detr_d2"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

# A path of a file or folder: it has a slash, or is a Python file's name.
PATH = re.compile(
    r"(?<![\w/.*-])(?:[\w-]+/)+(?:[\w-]+\.(?:py|json|yaml|md))?(?![\w/*])|(?<![\w/.-])\w+\.py\b"
)
JOURNEYS = re.findall(r"^## ([^\n]+)\n+```journey\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)


def named_paths(text: str) -> list[str]:
    return PATH.findall(text)


def imports() -> Iterator[tuple[str, str, Path]]:
    """(importing, imported, file): folders or modules at the top of the package, as the layers name them."""
    for file in PACKAGE.rglob("*.py"):
        folder = file.relative_to(PACKAGE).parts[:-1]
        own = f"{folder[0]}/" if folder else file.name
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            above = folder[: len(folder) - node.level + 1]
            target = (*above, *(node.module or "").split(".")) if node.module else above
            tops = [target[0]] if target else [alias.name for alias in node.names]
            for top in tops:
                yield own, f"{top}/" if (PACKAGE / top).is_dir() else f"{top}.py", file


def test_the_page_names_files_and_is_short() -> None:
    assert len(named_paths(PAGE)) > 60
    assert len(JOURNEYS) == 4
    assert len(PAGE.splitlines()) <= 200


@pytest.mark.parametrize("path", sorted({*named_paths(PAGE), *named_paths(CONTRIBUTING)}))
def test_a_path_that_a_page_names_is_there(path: str) -> None:
    assert (ROOT / path).exists() or (PACKAGE / path).exists()


@pytest.mark.parametrize(("journey", "drawing"), JOURNEYS)
def test_a_journey_enters_a_file_again_only_with_a_reason(journey: str, drawing: str) -> None:
    entered: set[str] = set()
    for line in drawing.splitlines():
        path = re.match(r"[ │]*([\w/]+\.py)(?: +(.*))?", line)
        if path is not None:
            assert path[1] not in entered or re.match(r"again: .{20}", path[2] or ""), line
            entered.add(path[1])


def test_imports_follow_the_layers() -> None:
    (drawing,) = re.findall(r"```layers\n(.*?)```", PAGE, re.DOTALL)
    level = {path: -number for number, line in enumerate(drawing.splitlines()) for path in named_paths(line)}
    for importing, imported, file in imports():
        if importing in ("__init__.py", imported):
            continue
        assert importing in level, f"no layer has {importing}"
        assert level[importing] > level[imported], f"{file} imports {imported}"
