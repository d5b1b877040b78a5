"""The object queries of a file, carried over to a model that has another number of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Our name of the table, whose rows are groups of as many queries as inference takes.
QUERIES = "query_embed.weight"
# Under this name the metadata of a file says how many a group has, where there are several groups.
GROUP_SIZE = "num_queries"


@dataclass(frozen=True)
class NewQueries:
    """Rows that a model has beside those of the file, in groups that the file has.

    Attributes:
        rows: (n,) int64.
        points: (n, 2), where in the image they shall look, (x, y) in (0, 1).
        kept: (m,) int64, the rows that come from the file.
    """

    rows: Tensor
    points: Tensor
    kept: Tensor


def group_size(metadata: Mapping[str, Any], rows: int) -> int | None:
    """How many queries of a file are a group; None where it does not say, or nothing that can be."""
    size = metadata.get(GROUP_SIZE)
    return size if type(size) is int and size > 0 and rows and rows % size == 0 else None


def carried_queries(
    old: int, new: int, in_file: int, in_model: int
) -> tuple[dict[int, int], NewQueries | None, str]:
    """Which rows of a model's queries come from which of a file's, group by group.

    Args:
        old, new: rows of the file and of the model.
        in_file, in_model: how many of them are a group.

    Returns:
        from the model's rows to the file's; what the model has more in these groups, spread evenly over the
        image; and a sentence on it, "" where both are the same. Groups that the file has not are the model's
        own.
    """
    groups = old // in_file, new // in_model
    shared, kept = min(groups), min(in_file, in_model)
    rows = {g * in_model + i: g * in_file + i for g in range(shared) for i in range(kept)}
    text = []
    if in_file != in_model:
        each = f" of each of {shared} groups" if shared > 1 else ""
        more = f", the other {in_model - kept} of the model are new" if in_model > kept else ""
        text = [
            f"The file has {in_file} object queries and the model {in_model}: the first {kept}{each} are "
            f"kept{more}."
        ]
    if groups[0] != groups[1]:
        rest = f"the model's other {groups[1] - shared} are new" if groups[1] > shared else f"{shared} kept"
        text.append(f"Groups of queries: {groups[0]} in the file, {groups[1]} in the model; {rest}.")
    fresh = None
    if in_model > kept:
        fresh = NewQueries(
            torch.tensor([g * in_model + i for g in range(shared) for i in range(kept, in_model)]),
            # Each group has points of its own: equal queries would stay equal.
            torch.cat([even_points(in_model - kept, (g + 0.5) / shared) for g in range(shared)]),
            torch.tensor(list(rows)),
        )
    return rows, fresh, " ".join(text)


def even_points(count: int, shift: float = 0.5) -> Tensor:
    """(count, 2) points (x, y) in (0, 1): some rows of the image, with as many points each or one more.

    Args:
        count: at least 1.
        shift: where in its cell of the row a point lies, in (0, 1).
    """
    lines = round(math.sqrt(count))
    points = []
    for line in range(lines):
        number = (line + 1) * count // lines - line * count // lines
        points += [((i + shift) / number, (line + 0.5) / lines) for i in range(number)]
    return torch.tensor(points)
