"""Markdown tables, and their places between marker lines."""

from __future__ import annotations

from collections.abc import Sequence

from detr_d2.errors import UserError


def markers(name: str) -> tuple[str, str]:
    """The lines above and below a table."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def replace_table(page: str, name: str, table: str, file_name: str) -> str:
    """A page with ``table`` between the marker lines of ``name``.

    Raises:
        UserError: the page has not exactly one of each marker, in the right order.
    """
    begin, end = markers(name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise UserError(f"{file_name} must hold the line {begin} and, below it, the line {end}, once each")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{table.strip()}\n{end}{rest.split(end)[1]}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    return "\n".join(
        ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        + ["| " + " | ".join(cells) + " |" for cells in rows]
    )
