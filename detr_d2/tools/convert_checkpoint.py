"""Convert weights between layouts: ``detr-d2 convert IN OUT --to LAYOUT``.

IN is a file or address of any known layout; it is read without running what is in it. OUT is written as
.safetensors where it has this ending, and otherwise as PyTorch's files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from detectron2.utils.file_io import PathManager

from ..atomic import write_file
from ..checkpoint.class_rows import AUTO, CATEGORY_IDS, RULES, ModelClasses
from ..checkpoint.convert import convert, from_detr_d2
from ..checkpoint.layout import Conversion
from ..checkpoint.layouts import LAYOUTS, OURS
from ..checkpoint.safe_load import read_checkpoint
from ..checkpoint.safetensors_file import save_safetensors
from ..checkpoint.zoo import is_published
from ..errors import DataError, UserError, named
from .command import CommandParser, run_command


def convert_file(
    source: str,
    output: str,
    layout: str,
    num_queries: int | None = None,
    class_rows: str = AUTO,
    categories: Mapping[int, str] | None = None,
) -> Conversion:
    """Read a file of any known layout and write it in another.

    Args:
        source: file or folder, or address that Detectron2's ``PathManager`` knows.
        output: file to write; it is complete or not there.
        layout: of the output.
        num_queries: see :func:`~detr_d2.checkpoint.convert.from_detr_d2`.
        class_rows: how the rows of the class head are numbered in other programs' files, read or written; as
            ``MODEL.DETR.CLASS_ROWS``.
        categories: names by id, for the rule "category_ids".

    Returns:
        what was written, and what became of the names in the source.

    Raises:
        OSError: a file cannot be read or written.
        UserError: a file that cannot be read safely, or whose layout is unknown or cannot be converted.
    """
    path, names = PathManager.get_local_path(source), dict(sorted((categories or {}).items()))
    classes = ModelClasses(
        class_rows,
        names=lambda: list(names.values()),
        numbers=lambda: {category: number for number, category in enumerate(names)},
        is_coco=partial(is_published, path),
    )
    ours = convert(read_checkpoint(path, source), source, classes)
    result = from_detr_d2(ours.weights, layout, ours.metadata, num_queries, class_rows, list(names))
    is_ours = layout == OURS.name
    metadata = ours.metadata if is_ours else {}
    if output.endswith(".safetensors"):
        save_safetensors(output, result.weights, metadata)
    else:
        data: dict[str, Any] = {"model": result.weights, **({"metadata": metadata} if is_ours else {})}
        write_file(output, lambda file: torch.save(result.weights if LAYOUTS[layout].bare else data, file))
    return replace(
        result,
        source=ours.source,
        mapped={name: result.mapped[own] for name, own in ours.mapped.items()},
        left=ours.left + (["names of the classes"] if ours.metadata and not is_ours else []),
        notes=[*ours.facts, *ours.notes],
    )


def read_categories(file: str) -> dict[int, str]:
    """The names of the categories by id in a json file of COCO's format.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no such file.
    """
    with named(file), open(file, encoding="utf-8") as stream:
        try:
            categories = json.load(stream)["categories"]
            return {int(category["id"]): str(category["name"]) for category in categories}
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"{file} has no categories as COCO's json files have them: {error}") from error


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "convert",
        "Convert the weights of a DETR between layouts, and say what became of them.",
        ["detr://detr_R_50 detr.pth", "model_final.pth model.safetensors --to huggingface"],
    )
    layouts = [layout.name for layout in LAYOUTS.values() if layout.is_detector]
    parser.add_argument("source", metavar="IN", help="file or address, of any known layout")
    parser.add_argument("output", metavar="OUT", help="file to write: .safetensors, or PyTorch's .pth, .bin")
    parser.add_argument("--to", default=OURS.name, choices=layouts, help=f"layout (default: {OURS.name})")
    parser.add_argument("--queries", type=int, metavar="N", help="keep the first N object queries alone")
    parser.add_argument(
        "--class-rows",
        default=AUTO,
        choices=RULES,
        help="how the rows of the class head are numbered where another program's file is read or written "
        "(default: auto: by COCO's ids for published files and COCO's class names, else as they are)",
    )
    parser.add_argument("--categories", metavar="JSON", help="annotations in COCO's format, for category_ids")
    parser.add_argument("--verbose", action="store_true", help="list all names")
    return parser


def run(args: argparse.Namespace) -> None:
    """Convert and say what became of the names.

    Raises:
        UserError: as :func:`convert_file`, or a file cannot be read or written.
    """
    with named(args.source):
        categories = read_categories(args.categories) if args.categories else None
        if args.class_rows == CATEGORY_IDS and not categories:
            raise UserError("--class-rows category_ids needs the ids: name the annotations with --categories")
        result = convert_file(args.source, args.output, args.to, args.queries, args.class_rows, categories)
    before, after = (LAYOUTS[name].description for name in (result.source, args.to))
    print(f"{before} -> {after}: {len(result.mapped)} tensors became {len(result.weights)}")
    for name, new in result.mapped.items() if args.verbose else ():
        print(f"  {name} -> {new}")
    print(*result.notes, f"left: {', '.join(result.left) or 'nothing'}", sep="\n")
    print(f"added: {', '.join(result.added) or 'nothing'}")
    print(f"Wrote {args.output}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
