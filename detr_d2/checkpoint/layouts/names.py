"""Tables of names: what a module is called in one layout and in another."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

# Module names in a foreign layout and in ours; "#" stands for a number, the same in both.
Names = tuple[tuple[str, str], ...]


class NameTable:
    """Renames tensors after the module that they belong to, from a foreign layout to ours and back.

    A tensor's name begins with the name of its module; of several entries that fit, the longest counts,
    and of equally long ones the first.

    Args:
        names: the table.
        aliases: more entries that are used towards ours only.
    """

    def __init__(self, names: Names, aliases: Names = ()):
        self._to_ours = _longest_first((theirs, ours) for theirs, ours in (*names, *aliases))
        self._to_theirs = _longest_first((ours, theirs) for theirs, ours in names)

    def to_ours(self, name: str) -> str | None:
        """Our name of a tensor, or None where the table has none."""
        return _renamed(name, self._to_ours)

    def to_theirs(self, name: str) -> str | None:
        """The foreign name of one of our tensors, or None where the table has none."""
        return _renamed(name, self._to_theirs)


def under(prefix_theirs: str, prefix_ours: str, names: Names) -> Names:
    """The same table for modules that lie inside others."""
    return tuple((_joined(prefix_theirs, theirs), _joined(prefix_ours, ours)) for theirs, ours in names)


def has_module(name: str, names: Iterable[str]) -> bool:
    """Whether a tensor or module ``name`` is among tensors' ``names``."""
    return any(other == name or other.startswith(f"{name}.") for other in names)


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _longest_first(entries: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    """Patterns of modules' names and templates of what replaces them."""
    ordered = sorted(entries, key=lambda entry: (entry[0].count("."), len(entry[0])), reverse=True)
    return [(_pattern(old), _template(new)) for old, new in ordered]


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\#", r"(\d+)") + r"(?=\.|$)")


def _template(name: str) -> str:
    numbers = itertools.count(1)
    return re.sub("#", lambda _: rf"\g<{next(numbers)}>", name)


def _renamed(name: str, table: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, template in table:
        match = pattern.match(name)
        if match:
            return match.expand(template) + name[match.end() :]
    return None
