"""The command that keeps the tables of all pages up to date."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detr_d2.errors import UserError
from docs.generate.__main__ import TABLES, main
from docs.generate.markers import markdown_table, markers, replace_table

ROOT = Path(__file__).parents[2]
BEGIN, END = markers("sizes")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder of copies of the pages."""
    for name in TABLES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "old"),
    [("README.md", "| 42.0 |"), ("docs/config.md", "`MODEL.DETR.NHEADS`"), ("docs/zoo.md", "| 42.0 |")],
)
def test_an_old_page_is_refused_and_mended(
    pages: Path, name: str, old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages / name
    page.write_text(page.read_text().replace(old, "something else"))
    assert main(["--folder", str(pages), "--check"]) == 2
    assert str(page) in capsys.readouterr().err
    assert "something else" in page.read_text()
    assert main(["--folder", str(pages)]) == 0
    assert main(["--folder", str(pages), "--check"]) == 0
    assert page.read_text() == (ROOT / name).read_text()


def test_a_page_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--folder", str(tmp_path)]) == 2
    assert "README.md" in capsys.readouterr().err


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = f"Before\n\n{BEGIN}\nan old table\n{END}\n\nAfter\n"
    expected = f"Before\n\n{BEGIN}\na new one\n{END}\n\nAfter\n"
    assert replace_table(page, "sizes", "\na new one\n\n", "page.md") == expected


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_missing_markers_are_an_error_that_names_the_page(page: str) -> None:
    with pytest.raises(UserError, match=r"page\.md"):
        replace_table(page, "sizes", "table", "page.md")


def test_a_table_has_a_line_for_its_header_and_each_row() -> None:
    assert markdown_table(["A", "B"], [["1", "2"]]) == "| A | B |\n|---|---|\n| 1 | 2 |"
