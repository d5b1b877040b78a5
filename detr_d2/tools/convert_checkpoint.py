"""Convert weights between layouts: ``python -m detr_d2.tools.convert_checkpoint IN OUT --to LAYOUT``.

IN is a file or address of any known layout; it is read without running what is in it. OUT is written as
.safetensors where it has this ending, and otherwise as PyTorch's files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.utils.file_io import PathManager
from torch import Tensor

from ..checkpoint.atomic import write_file
from ..checkpoint.convert import convert, from_detr_d2
from ..checkpoint.layouts import LAYOUTS, OURS, Conversion
from ..checkpoint.safe_load import read_checkpoint
from ..errors import UserError, named
from .command import run_command


def convert_file(source: str, output: str, layout: str, num_queries: int | None = None) -> Conversion:
    """Read a file of any known layout and write it in another.

    Args:
        source: file, or address that Detectron2's ``PathManager`` knows.
        output: file to write; it is complete or not there.
        layout: of the output.
        num_queries: see :func:`~detr_d2.checkpoint.convert.from_detr_d2`.

    Returns:
        what was written, and what became of the names in the source.

    Raises:
        OSError: a file cannot be read or written.
        UserError: a file that cannot be read safely, or whose layout is unknown or cannot be converted.
    """
    to_ours = convert(read_checkpoint(PathManager.get_local_path(source), source), source)
    result = from_detr_d2(to_ours.weights, layout, to_ours.metadata, num_queries)
    result.source, result.left = to_ours.source, to_ours.left
    result.mapped = {name: result.mapped[ours] for name, ours in to_ours.mapped.items()}
    result.weights = {name: value.contiguous() for name, value in result.weights.items()}
    has_names = False
    if output.endswith(".safetensors"):
        content = _safetensors(result.weights)
        write_file(output, lambda file: file.write(content))
    else:
        data: dict[str, Any] = {"model": result.weights}
        has_names = layout == OURS.name
        if has_names:
            data["metadata"] = result.metadata
        elif LAYOUTS[layout].bare:
            data = result.weights
        write_file(output, lambda file: torch.save(data, file))
    if result.metadata and not has_names:
        result.left.append("names of the classes")
    return result


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
    lines.append(f"left: {', '.join(result.left) or 'nothing'}")
    lines.append(f"added: {', '.join(result.added) or 'nothing'}")
    return "\n".join(lines)


def _safetensors(weights: dict[str, Tensor]) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise UserError("to write .safetensors, install safetensors: pip install safetensors") from error
    return save(weights, metadata={"format": "pt"})


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
    parser.add_argument("--verbose", action="store_true", help="list all names")
    return parser


def run(args: argparse.Namespace) -> None:
    """Convert and say what became of the names.

    Raises:
        UserError: as :func:`convert_file`, or a file cannot be read or written.
    """
    with named(args.source):
        result = convert_file(args.source, args.output, args.to, args.queries)
    print(report(result, args.verbose))
    print(f"Wrote {args.output}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
