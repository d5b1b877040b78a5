"""What is wrong with a data set, as data: kind, severity, count, first record, remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tabulate import tabulate

from ...errors import DataError
from .kinds import KINDS, Severity

__all__ = ["Finding", "Report", "Severity", "stop_at_errors"]

# Texts of the table are folded at so many characters; file names are not.
_WIDTH = 64


@dataclass(frozen=True)
class Finding:
    """One kind of problem of a data set.

    Attributes:
        kind: a key of :data:`~.kinds.KINDS`.
        severity: errors stop; warnings and notes are said.
        count: how many records have it.
        first: the first of them, in words that find it: ids and file names.
        what: the problem, in words.
        remedy: what to do.
    """

    kind: str
    severity: Severity
    count: int
    first: str
    what: str
    remedy: str

    def sentence(self) -> str:
        """The finding in one line."""
        first = self.first.removesuffix(".")
        return f"{self.what} ({self.count:,}), the first one: {first}. {self.remedy}".rstrip()


@dataclass
class Report:
    """What a look at a data set found.

    Attributes:
        source: the annotation file, or what else the records come from.
        name: of the data set, where it is registered.
        images, objects: their numbers; crowds are objects too.
        headers: images whose header was read.
        classes: names, in the order of the data set's contiguous numbers.
        used_classes: numbers of those that have objects.
        things: numbers of the classes that are things, where stuff shares their numbering.
        sampled: whether only some of the image files were looked into.
        said: whether the table was logged.
    """

    source: str
    name: str = ""
    images: int = 0
    objects: int = 0
    headers: int = 0
    classes: list[str] = field(default_factory=list)
    used_classes: set[int] = field(default_factory=set)
    things: set[int] | None = None
    sampled: bool = False
    said: bool = False
    _found: dict[str, Finding] = field(default_factory=dict)

    def add(self, kind: str, first: str, count: int = 1, **values: object) -> None:
        """Count a problem; the first record of its kind is kept.

        Args:
            kind: a key of :data:`~.kinds.KINDS`.
            first: the record, for people.
            count: of records.
            values: what the kind's texts have places for.
        """
        known = self._found.get(kind)
        if known is not None:
            self._found[kind] = replace(known, count=known.count + count)
            return
        severity, what, remedy = KINDS[kind]
        first = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(first).split()))
        self._found[kind] = Finding(
            kind, severity, count, first, what.format(**values), remedy.format(**values)
        )

    def include(self, other: Report) -> None:
        """Take over what is more than a note of a report of another file, which is named."""
        for finding in other.findings:
            if finding.severity is not Severity.NOTE:
                named = replace(finding, first=f"{finding.first} ({other.source})")
                self._found.setdefault(finding.kind, named)

    def take(self, other: Report) -> None:
        """Take over the findings of another look at the data set; those of a kind are counted together."""
        for kind, finding in other._found.items():
            known = self._found.get(kind)
            count = finding.count + (known.count if known else 0)
            self._found[kind] = replace(finding, count=count)

    @property
    def findings(self) -> list[Finding]:
        """All findings, errors first."""
        order = list(Severity)
        return sorted(self._found.values(), key=lambda finding: order.index(finding.severity))

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is Severity.ERROR]

    def found(self, kind: str) -> Finding | None:
        """The finding of a kind, if there is one."""
        return self._found.get(kind)

    @property
    def title(self) -> str:
        """The data set's name and source."""
        return f"Data set {self.name!r} ({self.source})" if self.name else self.source

    def heading(self) -> str:
        """What was looked at, in one line."""
        if not self.images:  # it could not be read as far as that
            return self.title
        text = f"{self.title}: images: {self.images:,}, objects: {self.objects:,}"
        if self.sampled:
            text += f"; of {self.headers:,} images, spread over all, the file's size was compared"
        return text

    def table(self) -> str:
        """All findings as a table, below the heading."""
        if not self._found:
            return f"{self.heading()}; nothing was found that could be wrong"
        rows = [
            [f.severity.value, f"{f.count:,}", folded(f"{f.what}. {f.remedy}".rstrip()), f.first]
            for f in self.findings
        ]
        headers = ["", "count", "what is wrong, and what to do", "the first one"]
        return f"{self.heading()}\n{tabulate(rows, headers, tablefmt='simple')}"


def folded(text: str) -> str:
    """A text of the table, in lines."""
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def stop_at_errors(reports: Iterable[Report]) -> None:
    """Refuse data sets that have errors.

    Raises:
        DataError: says the first error, and how many kinds of errors there are besides.
    """
    wrong = [(report, finding) for report in reports for finding in report.errors]
    if not wrong:
        return
    report, finding = wrong[0]
    more = f" (more errors in the table above: {len(wrong) - 1})" if len(wrong) > 1 else ""
    raise DataError(f"{report.title}: {finding.sentence()}{more}")
