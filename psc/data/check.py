"""What a table's key cells are, before any partner exists: ``psc dataset check``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from psc.data.keys import KeyReading, KeyUse
from psc.data.phones import VIRTUAL_OPERATORS
from psc.data.rejects import RejectSummary
from psc.data.source import Source
from psc.texts import language, lookup, render

__all__ = ["CheckReport", "check_keys"]

_SIZES = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 64), (65, None))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found in the key columns of a table.

    Attributes:
        source: the file, as shown to people.
        rows_total: rows of the table.
        rows_usable: rows with a key.
        key_count: distinct keys.
        keys_repeated: keys that more than one row has.
        rows_per_key_max: rows of the most frequent key; 0 when there is none.
        rows_per_key: how many keys have so many rows: (least, most, keys); ``most`` is None for the last, open range.
        virtual_operator_rows: rows whose phone is a virtual operator's (accepted); 0 without a phone key.
        rejected: the refused rows by class.
        notes: codes of texts that a person should read with this report.
    """

    source: str
    rows_total: int
    rows_usable: int
    key_count: int
    keys_repeated: int
    rows_per_key_max: int
    rows_per_key: tuple[tuple[int, int | None, int], ...]
    virtual_operator_rows: int
    rejected: RejectSummary
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return what machines read; keys in English, cells masked."""
        return {
            "source": self.source,
            "rows_total": self.rows_total,
            "rows_usable": self.rows_usable,
            "key_count": self.key_count,
            "keys_repeated": self.keys_repeated,
            "rows_per_key_max": self.rows_per_key_max,
            "rows_per_key": [{"least": least, "most": most, "keys": keys} for least, most, keys in self.rows_per_key],
            "virtual_operator_rows": self.virtual_operator_rows,
            "rejected": self.rejected.to_dict(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Return the report for people, in their language."""
        fields = {name: getattr(self, name) for name in ("source", "rows_total", "rows_usable", "key_count")}
        fields |= {"rejected_total": self.rejected.total, "repeated": self.keys_repeated, "most": self.rows_per_key_max}
        lines = [render("data.check-report", fields)]
        if self.rejected.total:
            lines.append(str(self.rejected))
        chinese = language() == "zh"
        for note in self.notes:
            text = lookup(note)
            lines.append((text.zh if chinese else text.en).format(virtual=self.virtual_operator_rows))
        return "\n".join(lines)


def check_keys(source: Source, on: Sequence[KeyUse], *, region: str = "CN") -> CheckReport:
    """Look at the key cells of a table; bad cells are counted, not raised.

    Args:
        source: the table.
        on: the keys, at least one.
        region: ISO 3166 code of the region that phone numbers without ``+`` belong to.

    Returns:
        Classes with counts and first rows (masked), distinct keys, and how many rows they have.

    Raises:
        DataError: a column is missing or of a type that holds no keys, or the region is unknown.
        UsageError: no key, or a key name twice.
    """
    reading = KeyReading.of(source, on, region=region)
    items, groups = reading.items().distinct()
    rows_of_key = np.bincount(groups, minlength=len(items))
    virtual, notes = 0, []
    for use, values in zip(reading.uses, reading.values):
        if use.kind == "phone":
            virtual += pc.sum(pc.match_substring_regex(values, VIRTUAL_OPERATORS)).as_py() or 0
            notes = ["data.note-intermediary"]
    if virtual:
        notes.append("data.note-virtual-operators")
    sizes = [(low, high, int(np.count_nonzero((rows_of_key >= low) & (rows_of_key <= (high or np.inf))))) for low, high in _SIZES]
    return CheckReport(
        source=source.name,
        rows_total=source.table.num_rows,
        rows_usable=len(groups),
        key_count=len(items),
        keys_repeated=int(np.count_nonzero(rows_of_key > 1)),
        rows_per_key_max=int(rows_of_key.max(initial=0)),
        rows_per_key=tuple(size for size in sizes if size[2]),
        virtual_operator_rows=int(virtual),
        rejected=reading.summary(),
        notes=tuple(notes),
    )
