"""What a table's keys, values and groups are, before any partner exists: ``psc dataset check``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from psc.data.compute import pc
from psc.data.groups import GroupUse, group_rows
from psc.data.keys import KeyTable, KeyUse
from psc.data.phones import VIRTUAL_OPERATORS
from psc.data.rejects import RejectSummary
from psc.data.source import Source
from psc.data.units import ValueClass
from psc.data.values import ValueUse, scan_values
from psc.texts import language, lookup, render
from psc.types import VALUE_LIMIT, scaled_text

__all__ = ["CheckReport", "GroupReport", "KeyReport", "ValueReport", "check_keys"]

_SIZES = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 64), (65, None))


@dataclass(frozen=True, slots=True)
class ValueReport:
    """What was found in a value column, in the rows that have a key.

    Attributes:
        name: of the value.
        column: of the table.
        numbers: cells that are values at the declared scale, in the range or not.
        nulls: cells without a value.
        least: the least of the numbers, as a decimal; None when there is none.
        greatest: the greatest.
        range: the declared range, as it was written.
        outside: numbers outside the declared range.
        not_numbers: cells that are no numbers.
        not_whole: cells with a fraction where whole numbers were declared.
        imprecise: floats that have lost digits.
    """

    name: str
    column: str
    numbers: int
    nulls: int
    least: str | None
    greatest: str | None
    range: str
    outside: int
    not_numbers: int
    not_whole: int
    imprecise: int

    @property
    def bad(self) -> int:
        """Cells that no declaration of a range lets pass."""
        return self.not_numbers + self.not_whole + self.imprecise


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What was found in a group column, in the rows that have a key.

    Attributes:
        name: of the group column.
        column: of the table.
        groups: distinct labels.
        nulls: rows without a label.
        keys_in_two: keys whose rows have different labels.
    """

    name: str
    column: str
    groups: int
    nulls: int
    keys_in_two: int


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What was found of one of several keys.

    Attributes:
        name: of the key.
        keys: distinct keys.
        rows_without: rows that have it not: the cell is blank or no key.
    """

    name: str
    keys: int
    rows_without: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found in a table.

    Of several keys, what is said of rows and keys holds for all of them together; ``keys`` says it of each. A blank cell is then
    none of a refused row's, unless the row has no key at all.

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
        keys: each of several keys by itself; empty for one.
        notes: codes of texts that a person should read with this report.
        values: the value columns that were asked about.
        groups: the group columns that were asked about.
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
    values: tuple[ValueReport, ...] = ()
    groups: tuple[GroupReport, ...] = ()
    keys: tuple[KeyReport, ...] = ()

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
            "keys": [asdict(key) for key in self.keys],
            "notes": list(self.notes),
            "values": [asdict(value) for value in self.values],
            "groups": [asdict(group) for group in self.groups],
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


def check_keys(
    source: Source,
    on: Sequence[KeyUse],
    *,
    region: str = "CN",
    values: Sequence[ValueUse] = (),
    groups: Sequence[GroupUse] = (),
) -> CheckReport:
    """Look at the key cells of a table, and at values and groups; bad cells are counted, not raised.

    Args:
        source: the table.
        on: the keys, at least one.
        region: ISO 3166 code of the region that phone numbers without ``+`` belong to.
        values: value columns to look at too.
        groups: group columns to look at too.

    Returns:
        Classes with counts and first rows (masked), distinct keys, and how many rows they have.

    Raises:
        DataError: a column is missing or of a type that holds no keys, no numbers or no labels; the region is unknown; or there
            are too many groups, or labels that cannot be shown.
        UsageError: no key, or a key name twice.
    """
    choices = [on, *([use] for use in on)] if len(on) > 1 else [on]
    table = KeyTable.of(source, choices, region=region)
    judged, keyed = table.verdict() if len(on) > 1 else table.reading(0), table.keyed(0, RejectSummary())
    rows_of_key = np.bincount(keyed.group_of_row, minlength=keyed.key_count)
    virtual, notes = 0, []
    for use in table.alternatives[0]:
        if use.kind == "phone":
            virtual += pc.sum(pc.match_substring_regex(table.cells[use].values, VIRTUAL_OPERATORS)).as_py() or 0
            notes = ["data.note-intermediary"]
    if virtual:
        notes.append("data.note-virtual-operators")
    sizes = [(low, high, int(np.count_nonzero((rows_of_key >= low) & (rows_of_key <= (high or np.inf))))) for low, high in _SIZES]
    return CheckReport(
        source=source.name,
        rows_total=source.table.num_rows,
        rows_usable=len(keyed.row_of),
        key_count=keyed.key_count,
        keys_repeated=int(np.count_nonzero(rows_of_key > 1)),
        rows_per_key_max=int(rows_of_key.max(initial=0)),
        rows_per_key=tuple(size for size in sizes if size[2]),
        virtual_operator_rows=int(virtual),
        rejected=judged.summary(),
        notes=tuple(notes),
        values=tuple(_value_report(source, use, keyed.row_of) for use in values),
        groups=tuple(_group_report(source, use, keyed.row_of, keyed.group_of_row, keyed.key_count) for use in groups),
        keys=tuple(_key_report(table, number) for number in range(1, len(choices))),
    )


def _key_report(table: KeyTable, number: int) -> KeyReport:
    keyed = table.keyed(number, RejectSummary())
    name = table.alternatives[number][0].key_name
    return KeyReport(name=name, keys=keyed.key_count, rows_without=keyed.rows_total - len(keyed.row_of))


def _value_report(source: Source, use: ValueUse, rows: npt.NDArray[np.uint32]) -> ValueReport:
    judged = scan_values(source, rows, use)
    outside = judged.count(ValueClass.BELOW, ValueClass.ABOVE)
    # The range as it is takes a scan without the declared one, which cuts what is outside.
    widest = use.value.model_copy(update={"low": 1 - VALUE_LIMIT, "high": VALUE_LIMIT - 1})
    free = scan_values(source, rows, replace(use, value=widest))
    units = free.units[np.isin(free.classes, (ValueClass.OK, ValueClass.BELOW, ValueClass.ABOVE))]
    least, greatest = (
        (scaled_text(int(end), use.value.scale) for end in (units.min(), units.max())) if len(units) else (None, None)
    )
    return ValueReport(
        name=use.value.name,
        column=use.column,
        numbers=judged.count(ValueClass.OK) + outside,
        nulls=judged.count(ValueClass.NULL),
        least=least,
        greatest=greatest,
        range=str(use.value).rpartition(":")[2],
        outside=outside,
        not_numbers=judged.count(ValueClass.NOT_NUMBER),
        not_whole=judged.count(ValueClass.NOT_WHOLE),
        imprecise=judged.count(ValueClass.IMPRECISE),
    )


def _group_report(
    source: Source, use: GroupUse, rows: npt.NDArray[np.uint32], key_of_row: npt.NDArray[np.uint32], key_count: int
) -> GroupReport:
    found = group_rows(source, use.column, rows, nulls=True)
    _, conflicts = found.of_keys(key_of_row, key_count)
    return GroupReport(
        name=use.name,
        column=use.column,
        groups=len(found.labels),
        nulls=int(np.count_nonzero(found.of_row < 0)),
        keys_in_two=len(np.unique(key_of_row[conflicts])),
    )
