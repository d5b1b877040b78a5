"""README.md and the site: short, with links that lead somewhere and pictures that are small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import PAGES, ROOT

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
KIB = 1024


def test_the_readme_is_short_and_begins_with_a_picture() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.split()) <= 1000
    assert re.match(r"# detr_d2\n\n!\[[^]]+\]\(docs/images/", text)


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name
)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_pictures_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in (ROOT / "docs" / "images").glob("*")}
    assert max(sizes.values(), default=0) <= 300 * KIB, sizes
    assert sum(sizes.values()) <= KIB * KIB, sizes


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "site").glob("*.html"))) > len(PAGES) - 1
    assert not list((tmp_path / "site").rglob("__init__.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_modules_and_targets_in_the_text_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"`(?:\w+=\S+ )*make ([a-z-]+)", text):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for module in re.findall(r"`python -m ([\w.]+)", text):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    for command in re.findall(r"`detr-d2 ([\w-]+)", text):
        assert f'"{command}":' in (ROOT / "detr_d2_cli.py").read_text("utf-8"), command
