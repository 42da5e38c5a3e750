"""Key columns of a table as a set of distinct keys, with every row accounted for: it is kept, or refused by name.

A row is kept when all its key cells are good. The keys of a composite key are put in the order of their names, so that both
parties encode the same key alike, whatever the order in which they wrote it down.

Several keys of one table, used apart from each other (``KeyTable``): a row takes part by each key that it has, and a blank cell
only means that it has not this one. A row is refused for a cell that is there and is no key, or when it has no key at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.crypto import Items, ItemsBuilder, KeyCells
from psc.data.cells import buffers_of, is_key_type
from psc.data.classes import CLASS_NAMES, CellClass
from psc.data.columns import choose_columns
from psc.data.kinds import KnownCells, Normalised, normalise
from psc.data.masking import mask
from psc.data.memory import give_back
from psc.data.output import check_output, write_table
from psc.data.rejects import EXAMPLES_SHOWN, RejectClass, RejectedRow, RejectSummary
from psc.data.source import Source
from psc.errors import DataError, UsageError
from psc.texts import Lines
from psc.types import KeyKind

__all__ = [
    "KeyPolicy",
    "KeyReading",
    "KeyRows",
    "KeyTable",
    "KeyUse",
    "Keyed",
    "judge",
    "masked_key",
    "prepare_alternatives",
    "prepare_keys",
    "read_keys",
    "rows_with_keys",
]

KeyPolicy = Literal["error", "skip"]
_BATCH_ROWS = 1 << 19


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One key of a dataset and the own column that holds it.

    Attributes:
        key_name: the key's name in the dataset, the same on both sides.
        column: the column of the own table.
        kind: how its cells are read.
    """

    key_name: str
    column: str
    kind: KeyKind


@dataclass(frozen=True, slots=True, repr=False)
class Keyed:
    """A table with its keys.

    Attributes:
        items: the distinct keys, encoded, in the order of first appearance.
        row_of: for each kept row, its 0-based index in ``table``, ascending.
        group_of_row: for each kept row, the index of its key in ``items``.
        table: the table, all rows.
        rows_total: rows of the table.
        rejected: the rows that were refused, by class.
    """

    items: Items
    row_of: npt.NDArray[np.uint32]
    group_of_row: npt.NDArray[np.uint32]
    table: pa.Table
    rows_total: int
    rejected: RejectSummary

    @property
    def key_count(self) -> int:
        """How many distinct keys there are."""
        return len(self.items)

    def __repr__(self) -> str:
        return f"Keyed(rows={self.rows_total}, keys={self.key_count}, rejected={self.rejected.total})"


def prepare_keys(
    source: Source,
    on: Sequence[KeyUse],
    *,
    region: str = "CN",
    on_bad: KeyPolicy = "error",
    rejects: Path | None = None,
) -> Keyed:
    """Read the keys of a table.

    Args:
        source: the table.
        on: the keys, at least one; several make a composite key.
        region: ISO 3166 code of the region that phone numbers without ``+`` belong to.
        on_bad: what a refused cell does: ``error`` ends the work with a table of classes, ``skip`` leaves the row out.
        rejects: a ``.csv`` or ``.parquet`` file that gets every refused row with its class and its masked cell, under both
            policies.

    Returns:
        The distinct keys and the rows that have them. A table of 0 rows gives 0 keys.

    Raises:
        DataError: a column is missing or of a type that holds no keys; ``data.bad-keys``; ``data.all-keys-bad`` when no row is
            left, under both policies.
        UsageError: no key, or a key name twice.
        StorageError: the rejects file cannot be written.
    """
    if rejects is not None:
        check_output(rejects)
    reading, items = read_keys(source, on, region=region)
    summary = judge(reading, on_bad=on_bad, rejects=rejects)
    return reading.rows(items).keyed(source.table, summary)


@dataclass(frozen=True, slots=True, repr=False)
class KeyRows:
    """The keys of the rows that have one, apart from their table, which may go before equal keys are found.

    Attributes:
        items: for each kept row its key, encoded.
        row_of: for each kept row, its 0-based index in the table, ascending.
        rows_total: rows of the table.
    """

    items: Items
    row_of: npt.NDArray[np.uint32]
    rows_total: int

    def keyed(self, table: pa.Table, rejected: RejectSummary | None = None) -> Keyed:
        """Return the distinct keys and the rows that have them, with the table that users of these rows need."""
        items, groups = self.items.distinct()
        return Keyed(items, self.row_of, groups, table, self.rows_total, rejected or RejectSummary())


def rows_with_keys(source: Source, on: Sequence[KeyUse], *, region: str = "CN") -> KeyRows:
    """Read the keys of a table that was judged before: a row that has not all of them does not take part, perhaps none does.

    Arguments and errors as for ``prepare_keys``; nothing is refused.
    """
    reading, items = read_keys(source, on, region=region)
    return reading.rows(items)


def prepare_alternatives(
    source: Source,
    alternatives: Sequence[Sequence[KeyUse]],
    *,
    region: str = "CN",
    on_bad: KeyPolicy = "error",
    rejects: Path | None = None,
) -> tuple[Keyed, ...]:
    """Read several keys of a table, each by itself.

    A row takes part by every key of which it has all cells. A blank cell is none of a bad row's while the row has another key;
    any other cell that is no key refuses the row, which with ``skip`` still takes part by its other keys.

    Args:
        source: the table.
        alternatives: the keys, at least one; each has one column or several.
        region: as for ``prepare_keys``.
        on_bad: as for ``prepare_keys``, of the rows that are refused.
        rejects: as for ``prepare_keys``.

    Returns:
        For each alternative its distinct keys and the rows that have them, perhaps none; all have the same refused rows. One
        alternative is read as ``prepare_keys`` reads it.

    Raises:
        DataError: as for ``prepare_keys``; ``data.all-keys-bad`` when every row is refused.
        UsageError: an alternative without a key, or with a key name twice.
        StorageError: the rejects file cannot be written.
    """
    if len(alternatives) == 1:
        return (prepare_keys(source, alternatives[0], region=region, on_bad=on_bad, rejects=rejects),)
    if rejects is not None:
        check_output(rejects)
    table = KeyTable.of(source, alternatives, region=region)
    summary = judge(table.verdict(), on_bad=on_bad, rejects=rejects, several=True)
    return tuple(table.keyed(number, summary) for number in range(len(alternatives)))


def judge(reading: KeyReading, *, on_bad: KeyPolicy, rejects: Path | None = None, several: bool = False) -> RejectSummary:
    """Return the refused rows, when the policy lets the others pass; arguments and errors as for ``prepare_keys``.

    ``several`` says that the reading is a table's verdict over several keys.
    """
    if rejects is not None:
        write_table(_rejects_table(reading.rejected_rows(np.flatnonzero(reading.classes))), rejects)
    summary = reading.summary()
    _judge(reading, summary, on_bad, several=several)
    return summary


def read_keys(source: Source, on: Sequence[KeyUse], *, region: str = "CN") -> tuple[KeyReading, Items]:
    """Normalise, judge and encode the key columns of a table; arguments and errors as for ``prepare_keys``.

    It goes through the table in batches: what is made on the way is small beside a large table.

    Returns:
        The judgement of each row, and one item for each row that has a key.
    """
    uses, rows = _ordered(on), source.table.num_rows
    give_back(rows)
    known: dict[KeyUse, KnownCells] = {use: {} for use in uses}
    builder = ItemsBuilder(rows)
    classes, culprit = np.empty(rows, np.uint8), np.empty(rows, np.uint8)
    for start in range(0, max(rows, 1), _BATCH_ROWS):
        table = source.table.slice(start, _BATCH_ROWS)
        cells = _normalised(table, source.name, uses, region, known)
        columns = [cells[use] for use in uses]
        batch = slice(start, start + table.num_rows)
        classes[batch], culprit[batch] = _first_bad(columns, table.num_rows)
        _encode(builder, uses, [column.values for column in columns], classes[batch])
    return KeyReading(source, uses, classes, culprit), builder.finish()


@dataclass(frozen=True, slots=True, repr=False)
class KeyReading:
    """The key cells of a table judged row by row; nothing is decided yet about bad rows.

    Attributes:
        source: the table.
        uses: the keys in the order of their names.
        classes: ``CellClass`` code of each row: that of its first bad cell.
        culprit: for each refused row, the index in ``uses`` of that cell.
    """

    source: Source
    uses: tuple[KeyUse, ...]
    classes: npt.NDArray[np.uint8]
    culprit: npt.NDArray[np.uint8]

    def __repr__(self) -> str:
        return f"KeyReading({self.source.name!r}, rows={len(self.classes)}, refused={int(np.count_nonzero(self.classes))})"

    @property
    def kept(self) -> npt.NDArray[np.uint32]:
        """The 0-based rows that have a key, ascending; there are fewer than 2^32, as there are of items."""
        if not self.classes.any():
            return np.arange(len(self.classes), dtype=np.uint32)
        return np.flatnonzero(self.classes == CellClass.OK).astype(np.uint32)

    def rows(self, items: Items) -> KeyRows:
        """Return the rows that have a key, with these encoded keys."""
        return KeyRows(items, self.kept, self.source.table.num_rows)

    def rejected_rows(self, rows: npt.NDArray[np.int64]) -> list[RejectedRow]:
        """Return refused rows (0-based, ascending) with their places and masked cells."""
        found = []
        for row, place in zip(rows.tolist(), self.source.places(rows.tolist())):
            use = self.uses[int(self.culprit[row])]
            name = CLASS_NAMES[self.classes[row]]
            masked = _masked_cell(self.source.table, use, row)
            found.append(RejectedRow(place.file, place.row, place.line, use.column, name, masked))
        return found

    def summary(self) -> RejectSummary:
        """Count the refused rows by class and show the first of each."""
        if not self.classes.any():
            return RejectSummary()
        counts = np.bincount(self.classes, minlength=len(CLASS_NAMES))
        codes = [code for code in np.argsort(-counts, kind="stable").tolist() if code != CellClass.OK and counts[code]]
        first = [np.flatnonzero(self.classes == code)[:EXAMPLES_SHOWN] for code in codes]
        examples = self.rejected_rows(np.sort(np.concatenate([np.zeros(0, np.int64), *first])))
        names = [CLASS_NAMES[code] for code in codes]
        return RejectSummary(
            tuple(
                RejectClass(name, int(counts[code]), tuple(row for row in examples if row.reason == name))
                for name, code in zip(names, codes)
            )
        )


@dataclass(frozen=True, slots=True, repr=False)
class KeyTable:
    """The key cells of a table for several keys that are used apart from each other; each column is normalised once.

    Attributes:
        source: the table.
        alternatives: for each key its columns, in the order of their names.
        cells: the normalised cells of each column.
    """

    source: Source
    alternatives: tuple[tuple[KeyUse, ...], ...]
    cells: Mapping[KeyUse, Normalised]

    @classmethod
    def of(cls, source: Source, alternatives: Sequence[Sequence[KeyUse]], *, region: str = "CN") -> Self:
        """Normalise the key columns of a table; arguments and errors as for ``prepare_alternatives``."""
        ordered = tuple(_ordered(uses) for uses in alternatives)
        every = [use for uses in ordered for use in uses]
        return cls(source, ordered, _normalised(source.table, source.name, every, region))

    def __repr__(self) -> str:
        return f"KeyTable({self.source.name!r}, alternatives={len(self.alternatives)})"

    def reading(self, number: int) -> KeyReading:
        """Return the cells of one key, judged as if there were no other."""
        uses = self.alternatives[number]
        classes, culprit = _first_bad([self.cells[use] for use in uses], self.source.table.num_rows)
        return KeyReading(self.source, uses, classes, culprit)

    def keyed(self, number: int, rejected: RejectSummary) -> Keyed:
        """Return the distinct keys of one alternative, and the rows that have them; ``rejected`` are those of the table."""
        reading, rows = self.reading(number), self.source.table.num_rows
        builder, columns = ItemsBuilder(rows), [self.cells[use].values for use in reading.uses]
        for start in range(0, max(rows, 1), _BATCH_ROWS):
            cells = [values.slice(start, _BATCH_ROWS) for values in columns]
            _encode(builder, reading.uses, cells, reading.classes[start : start + _BATCH_ROWS])
        return reading.rows(builder.finish()).keyed(self.source.table, rejected)

    def verdict(self) -> KeyReading:
        """Return which rows are refused: those with a cell that is there and is no key, and those that have no key at all."""
        rows, uses = self.source.table.num_rows, tuple(self.cells)
        malformed, culprit = _first_bad([self.cells[use] for use in uses], rows, blank_is_bad=False)
        has_key = np.zeros(rows, bool)
        for number in range(len(self.alternatives)):
            has_key |= self.reading(number).classes == CellClass.OK
        bare = (malformed == CellClass.OK) & ~has_key
        blank, first_blank = _first_bad([self.cells[use] for use in uses], rows)
        malformed[bare], culprit[bare] = blank[bare], first_blank[bare]
        return KeyReading(self.source, uses, malformed, culprit)


def masked_key(table: pa.Table, uses: Sequence[KeyUse], row: int) -> str:
    """Return the key of a row (0-based), good or bad, as an error may show it: each cell with its name, masked."""
    return ", ".join(f"{use.key_name} {_masked_cell(table, use, row)}" for use in uses)


def _masked_cell(table: pa.Table, use: KeyUse, row: int) -> str:
    return mask(use.kind, _cell_text(table.column(use.column)[row].as_py()))


def _cell_text(cell: object) -> str:
    return "" if cell is None else f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() else str(cell)


def _ordered(on: Sequence[KeyUse]) -> tuple[KeyUse, ...]:
    if not on:
        raise UsageError("data.no-key")
    names = [use.key_name for use in on]
    for name in names:
        if names.count(name) > 1:
            raise UsageError("data.key-twice", key=name)
    return tuple(sorted(on, key=lambda use: use.key_name))


def _normalised(
    table: pa.Table, name: str, uses: Sequence[KeyUse], region: str, known: Mapping[KeyUse, KnownCells] | None = None
) -> dict[KeyUse, Normalised]:
    """Return the normalised cells of each column that is used, each once, in the order of first use.

    Args:
        table: some or all rows.
        name: of the table, for errors.
        uses: the columns.
        region: as for ``prepare_keys``.
        known: what cells of earlier rows of each column were found to be, where that takes long to find; see ``normalise``.
    """
    choose_columns(table.column_names, list(dict.fromkeys(use.column for use in uses)), name)
    found: dict[KeyUse, Normalised] = {}
    for use in dict.fromkeys(uses):
        cells = table.column(use.column)
        if not is_key_type(cells.type):
            fields = {"file": name, "column": use.column, "type": str(cells.type), "kind": use.kind}
            raise DataError("data.column-type", **fields)
        found[use] = normalise(cells, use.kind, region=region, known=None if known is None else known[use])
    return found


def _encode(
    builder: ItemsBuilder, uses: Sequence[KeyUse], columns: Sequence[pa.LargeStringArray], classes: npt.NDArray[np.uint8]
) -> None:
    """Encode the rows of one batch that have a key; what is copied for a batch is small beside a large table."""
    if classes.any():
        kept = pa.array(np.flatnonzero(classes == CellClass.OK))
        columns = [values.take(kept) for values in columns]
    cells = [KeyCells(use.kind.encode(), *buffers_of(values)) for use, values in zip(uses, columns)]
    builder.add(cells, len(classes))


def _first_bad(
    columns: Sequence[Normalised], rows: int, *, blank_is_bad: bool = True
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return for each row the class of its first bad cell, and in which column that is."""
    classes, culprit = np.zeros(rows, np.uint8), np.zeros(rows, np.uint8)
    for index, keys in enumerate(columns):
        bad = keys.classes != CellClass.OK
        if not blank_is_bad:
            bad &= keys.classes != CellClass.MISSING
        new = (classes == CellClass.OK) & bad
        classes[new] = keys.classes[new]
        culprit[new] = index
    return classes, culprit


def _judge(reading: KeyReading, summary: RejectSummary, on_bad: KeyPolicy, *, several: bool) -> None:
    total, rows = summary.total, len(reading.classes)
    if not total or (on_bad == "skip" and total < rows):
        return
    columns = ", ".join(f"{use.column} ({use.kind})" for use in reading.uses)
    code = "data.all-keys-bad" if total == rows else "data.bad-key-cells" if several else "data.bad-keys"
    raise DataError(code, file=reading.source.name, columns=columns, count=total, total=rows, table=Lines(summary))


def _rejects_table(rows: list[RejectedRow]) -> pa.Table:
    columns = {
        "file": ([row.file for row in rows], pa.large_string()),
        "row": ([row.row for row in rows], pa.int64()),
        "line": ([row.line for row in rows], pa.int64()),
        "column": ([row.column for row in rows], pa.large_string()),
        "class": ([row.reason for row in rows], pa.large_string()),
        "value": ([row.masked for row in rows], pa.large_string()),
    }
    return pa.table({name: pa.array(cells, kind) for name, (cells, kind) in columns.items()})
