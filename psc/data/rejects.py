"""Refused rows, in a form that may be shown: counted by class, with the first places and masked cells."""

from __future__ import annotations

from dataclasses import dataclass

from psc.texts import Lines, language, lookup

__all__ = ["EXAMPLES_SHOWN", "RejectClass", "RejectSummary", "RejectedRow"]

EXAMPLES_SHOWN = 3
"""Rows of each class that a summary names."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A refused row.

    Attributes:
        file: where it is.
        row: 1-based, the header not counted.
        line: of a CSV file.
        column: the key column whose cell was refused.
        reason: the name of the class.
        masked: the cell, masked.
    """

    file: str
    row: int
    line: int | None
    column: str
    reason: str
    masked: str


@dataclass(frozen=True, slots=True)
class RejectClass:
    """How many rows were refused for one reason, and the first of them."""

    name: str
    count: int
    examples: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class RejectSummary:
    """All refused rows by class, the most frequent first."""

    classes: tuple[RejectClass, ...] = ()

    @property
    def total(self) -> int:
        """How many rows were refused."""
        return sum(found.count for found in self.classes)

    def counts(self) -> dict[str, int]:
        """Return class name → count."""
        return {found.name: found.count for found in self.classes}

    def to_dict(self) -> dict[str, object]:
        """Return what machines read; keys in English, cells masked."""
        return {
            found.name: {
                "count": found.count,
                "examples": [
                    {"file": row.file, "row": row.row, "line": row.line, "column": row.column, "value": row.masked}
                    for row in found.examples
                ],
            }
            for found in self.classes
        }

    def __str__(self) -> str:
        """Return a table for people, a line a class, in their language."""
        return Lines.of(_line(found) for found in self.classes)


def _line(found: RejectClass) -> str:
    text = lookup(f"data.class.{found.name}")
    chinese = language() == "zh"
    places = [_place(row, chinese=chinese) for row in found.examples]
    more = " …" if found.count > len(places) else ""
    return f"  {found.name:<13} {found.count:>9,}  {text.zh if chinese else text.en}: {'; '.join(places)}{more}"


def _place(row: RejectedRow, *, chinese: bool) -> str:
    place = f"第 {row.row} 行" if chinese else f"row {row.row}"
    if row.line is not None:
        place += f"（文件第 {row.line} 行）" if chinese else f" (line {row.line})"
    return f"{place} {row.masked}".rstrip()
