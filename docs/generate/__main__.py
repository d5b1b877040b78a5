"""Write or check the tables of all pages: ``python -m docs.generate [--check]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from detr_d2.checkpoint.zoo import INDEX_FILE
from detr_d2.errors import UserError, named
from detr_d2.tools.command import run_command

from .config_keys import config_table
from .markers import replace_table
from .model_zoo import measure, measured_table, published_tables, short_table

PROGRAM = "python -m docs.generate"

# By page, then by the name in the markers.
TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"zoo": short_table},
    "docs/config.md": {"config table": config_table},
    "docs/zoo.md": {"published": published_tables, "measured": measured_table},
}


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=f"Bring the tables of {', '.join(TABLES)} up to date."
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parents[2], help="of the pages (default: the clone)"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; fail where a table is out of date")
    mode.add_argument(
        "--measure", action="store_true", help=f"measure all models again, for {INDEX_FILE.name}, instead"
    )
    return parser


def update(args: argparse.Namespace) -> None:
    """Measure, write or check.

    Raises:
        UserError: a page cannot be used, or ``--check`` finds an old table.
    """
    if args.measure:
        measure(INDEX_FILE)
        return
    for name, tables in TABLES.items():
        page = args.folder / name
        with named(str(page)):
            text = page.read_text("utf-8")
            updated = text
            for table, make in tables.items():
                updated = replace_table(updated, table, make(), str(page))
            if updated == text:
                continue
            if args.check:
                raise UserError(f"{page} is out of date; run `{PROGRAM}`")
            page.write_text(updated, "utf-8")
        print(f"{page} was brought up to date.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), update, argv)


if __name__ == "__main__":
    sys.exit(main())
