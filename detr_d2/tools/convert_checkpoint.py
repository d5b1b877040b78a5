"""Convert weights between layouts: ``python -m detr_d2.tools.convert_checkpoint IN OUT --to LAYOUT``.

IN is a file or address of any known layout; it is read without running what is in it. OUT is written as
.safetensors where it has this ending, and otherwise as PyTorch's files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.utils.file_io import PathManager

from ..checkpoint.atomic import write_file
from ..checkpoint.convert import convert, from_detr_d2
from ..checkpoint.layouts import LAYOUTS, OURS, Conversion
from ..checkpoint.numbering import AUTO, CATEGORY_IDS, RULES, Numbering
from ..checkpoint.safe_load import read_checkpoint
from ..checkpoint.safetensors_file import save_safetensors
from ..checkpoint.zoo import is_published
from ..errors import DataError, UserError, named
from .command import run_command


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
    path, ids = PathManager.get_local_path(source), sorted(categories or {})
    to_ours = convert(
        read_checkpoint(path, source),
        source,
        lambda: Numbering(
            class_rows,
            is_coco=is_published(path),
            numbers={category: number for number, category in enumerate(ids)},
            classes=[categories[category] for category in ids] if categories else (),
        ),
    )
    result = from_detr_d2(to_ours.weights, layout, to_ours.metadata, num_queries, class_rows, ids)
    result.source, result.left = to_ours.source, to_ours.left
    result.notes = [*to_ours.facts, *to_ours.notes]
    result.mapped = {name: result.mapped[ours] for name, ours in to_ours.mapped.items()}
    result.weights = {name: value.contiguous() for name, value in result.weights.items()}
    is_ours = layout == OURS.name
    if output.endswith(".safetensors"):
        save_safetensors(output, result.weights, result.metadata if is_ours else {})
    else:
        data: dict[str, Any] = {"model": result.weights}
        if is_ours:
            data["metadata"] = result.metadata
        elif LAYOUTS[layout].bare:
            data = result.weights
        write_file(output, lambda file: torch.save(data, file))
    if result.metadata and not is_ours:
        result.left.append("names of the classes")
    return result


def read_categories(file: str) -> dict[int, str]:
    """The names of the categories by id in a json file of COCO's format.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no such file.
    """
    with named(file), open(file, encoding="utf-8") as stream:
        try:
            return {
                int(category["id"]): str(category["name"]) for category in json.load(stream)["categories"]
            }
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"{file} has no categories as COCO's json files have them: {error}") from error


def report(result: Conversion, verbose: bool = False) -> str:
    """What was mapped, left and added, for people.

    Args:
        result: of :func:`convert_file`.
        verbose: list every name, not only numbers.
    """
    source, target = (LAYOUTS[name].description for name in (result.source, result.target))
    lines = [f"{source} -> {target}: {len(result.mapped)} tensors became {len(result.weights)}"]
    if verbose:
        lines += [f"  {name} -> {new}" for name, new in result.mapped.items()]
    lines += result.notes
    lines.append(f"left: {', '.join(result.left) or 'nothing'}")
    lines.append(f"added: {', '.join(result.added) or 'nothing'}")
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m detr_d2.tools.convert_checkpoint",
        description="Convert the weights of a DETR between layouts, and say what became of them.",
    )
    layouts = [layout.name for layout in LAYOUTS.values() if layout.writable]
    parser.add_argument("source", metavar="IN", help="file or address, of any known layout")
    parser.add_argument("output", metavar="OUT", help="file to write: .safetensors, or PyTorch's .pth, .bin")
    parser.add_argument("--to", default=OURS.name, choices=layouts, help=f"layout (default: {OURS.name})")
    parser.add_argument(
        "--queries",
        type=int,
        metavar="N",
        help="keep the first N object queries, of a model trained with MODEL.DETR.QUERY_GROUPS",
    )
    parser.add_argument(
        "--class-rows",
        default=AUTO,
        choices=RULES,
        help="how the rows of the class head are numbered where another program's file is read or written "
        "(default: auto: by COCO's ids for published files and COCO's class names, else as they are)",
    )
    parser.add_argument(
        "--categories", metavar="JSON", help="annotations in COCO's format, for --class-rows category_ids"
    )
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
    print(report(result, args.verbose))
    print(f"Wrote {args.output}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
