"""Group columns: every customer in exactly one group, or an error that says which row stands in the way.

Labels are texts: a text as it stands, a whole number as its digits, a truth value as ``true`` or ``false``, a date as
``2026-11-21``; a blank text is null. Several columns make groups of the tuples of their labels. Groups are numbered in the
order of their labels by code points, which depends on nothing else, so the numbers say nothing about the order of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.cells import is_key_type, text_cells
from psc.data.classes import CellClass
from psc.data.columns import choose_columns
from psc.data.convert import convert_column
from psc.data.keys import KeyUse, masked_key
from psc.data.source import Source, as_source
from psc.errors import DataError, UsageError
from psc.texts import is_plain
from psc.types import GROUPS_MAX

__all__ = ["GROUP_COLUMNS_MAX", "LABEL_BYTES_MAX", "GroupUse", "GroupedRows", "Labels", "group_labels", "group_rows", "places_of"]

GROUP_COLUMNS_MAX = 8
"""Most columns that group one aggregate, of one side."""

LABEL_BYTES_MAX = 64
"""The longest label, in UTF-8 bytes."""

Labels = tuple[tuple[str, ...], ...]
"""The groups in their order, each a label a column."""

_Indices = npt.NDArray[np.int32]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GroupUse:
    """A group column as it is declared: its name, and the column of the table."""

    name: str
    column: str


@dataclass(frozen=True, slots=True, repr=False)
class GroupedRows:
    """Rows by the label that a column gives them.

    Attributes:
        labels: the distinct labels, in order.
        of_row: for each row, the index of its label; -1 where there is none.
    """

    labels: tuple[str, ...]
    of_row: _Indices

    def of_keys(self, group_of_row: npt.NDArray[np.uint32], key_count: int) -> tuple[_Indices, npt.NDArray[np.int64]]:
        """Return for each key the label of its first row, and the positions of the rows that differ from their key's."""
        first = np.full(key_count, -1, np.int32)
        first[group_of_row[::-1]] = self.of_row[::-1]  # the last assignment to a key stays, and that is its first row
        return first, np.flatnonzero(self.of_row != first[group_of_row])


def group_labels(
    table: Source | pa.Table,
    columns: Sequence[str],
    row_of: npt.NDArray[np.int64] | npt.NDArray[np.uint32],
    group_of_row: npt.NDArray[np.uint32],
    key_count: int,
    *,
    uses: Sequence[KeyUse] = (),
) -> tuple[Labels, _Indices]:
    """Put the keys of a table into groups.

    Args:
        table: has the columns; a source also says where its rows are.
        columns: the columns that group, up to eight, in the order of the labels; with none every key is in the one group ``()``.
        row_of: the rows that have a key, 0-based, ascending.
        group_of_row: for each of these, the index of its key.
        key_count: how many keys there are.
        uses: the key columns, to show the masked key of a row that stands in the way.

    Returns:
        The groups that have a key, in order, and for each key the index of its group.

    Raises:
        DataError: a column is missing or of a type without labels; a cell is null, no label, not plain or too long; two rows of
            one key have different labels; or there are too many groups. Each with the column, and the first such row.
        UsageError: too many columns, or one twice.
    """
    if len(columns) > GROUP_COLUMNS_MAX or len(set(columns)) != len(columns):
        raise UsageError("data.group-columns", columns=", ".join(columns), limit=GROUP_COLUMNS_MAX)
    source = as_source(table)
    index = np.zeros(key_count, np.int64)
    labels: list[tuple[str, ...]] = [()]
    for column in columns:
        found = group_rows(source, column, row_of)
        of_key, conflicts = found.of_keys(group_of_row, key_count)
        if len(conflicts):
            row = int(row_of[conflicts[0]])
            place, keys = source.place(row), len(np.unique(group_of_row[conflicts]))
            masked = masked_key(source.table, uses, row)
            raise DataError("data.group-not-one", file=place.file, column=column, row=place.row, key=masked, count=keys)
        # Numbers of tuples are in the order of the tuples, since both parts are in the order of their labels.
        tuples = index * max(1, len(found.labels)) + of_key
        present = np.zeros(len(labels) * max(1, len(found.labels)), bool)
        present[tuples] = True
        codes, index = np.flatnonzero(present), (np.cumsum(present) - 1)[tuples]
        pairs = (divmod(code, len(found.labels)) for code in codes.tolist())
        labels = [(*labels[before], found.labels[label]) for before, label in pairs]
        if len(labels) > GROUPS_MAX:
            raise _too_many(source, ", ".join(columns), len(labels))
    return tuple(labels), index.astype(np.int32)


def places_of(labels: Labels) -> tuple[tuple[int, ...], ...]:
    """Return how groups are made of columns, without names: for each group and column the place of its label among the column's.

    Args:
        labels: the groups in their order.

    Leakage:
        Tells how many labels each column has and which groups have a label in common; not what the labels are.
    """
    places = [{label: place for place, label in enumerate(sorted(set(column)))} for column in zip(*labels, strict=True)]
    return tuple(tuple(of[label] for of, label in zip(places, group, strict=True)) for group in labels)


def group_rows(
    table: Source | pa.Table, column: str, rows: npt.NDArray[np.int64] | npt.NDArray[np.uint32], *, nulls: bool = False
) -> GroupedRows:
    """Read one group column.

    Args:
        table: has the column; a source also says where its rows are.
        column: its name.
        rows: 0-based indices of the rows to read.
        nulls: let null cells pass.

    Raises:
        DataError: as ``group_labels``, apart from what concerns keys.
    """
    source = as_source(table)
    choose_columns(source.table.column_names, [column], source.name)
    cells = source.table.column(column).combine_chunks()
    if isinstance(cells, pa.ChunkedArray):  # combine_chunks of zero chunks
        cells = pa.array([], cells.type)
    kind = cells.type
    if not (is_key_type(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        raise DataError("data.group-column-type", file=source.name, column=column, type=str(kind))
    coded = cells.take(pa.array(rows)).dictionary_encode()
    if len(coded.dictionary) > 2 * GROUPS_MAX:
        raise _too_many(source, column, len(coded.dictionary))
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)  # -1 finds the last place, which is that of nulls
    texts, wrong = _texts(coded.dictionary)
    is_null = np.array([text is None for text in texts] + [True])[codes]
    faults = {why: np.append(of_value, False)[codes] for why, of_value in wrong.items()}
    if not nulls:
        faults["null"] = is_null
    for why, bad in faults.items():
        if bad.any():
            raise _bad_cell(source, column, why, int(rows[np.flatnonzero(bad)[0]]), int(bad.sum()))
    labels = tuple(sorted({text for text in texts if text is not None}))
    if len(labels) > GROUPS_MAX:
        raise _too_many(source, column, len(labels))
    numbers = {text: number for number, text in enumerate(labels)}
    of_code = np.array([-1 if text is None else numbers[text] for text in texts] + [-1], np.int32)
    return GroupedRows(labels, of_code[codes])


def _texts(values: pa.Array) -> tuple[list[str | None], dict[str, _Mask]]:
    """Return the labels of distinct values, None for a blank one, and which values have which fault."""
    kind = values.type
    fault = np.zeros(len(values), bool)
    if pa.types.is_boolean(kind):
        texts: list[str | None] = ["true" if value else "false" for value in values.to_pylist()]
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        texts = [_date(values.slice(index, 1)) for index in range(len(values))]
        fault = np.array([text is None for text in texts], bool)
    else:
        cells = text_cells(values)
        texts = cells.text.to_pylist()
        fault = (cells.classes != CellClass.OK) & (cells.classes != CellClass.MISSING)
    labels = [None if not text or not text.strip() else text for text in texts]
    not_plain = np.array([label is not None and not is_plain(label) for label in labels], bool)
    too_long = np.array([label is not None and len(label.encode()) > LABEL_BYTES_MAX for label in labels], bool)
    return labels, {"cell": fault, "not-plain": not_plain, "long": too_long}


def _date(value: pa.Array) -> str | None:
    """Return a date as text; None for a moment that is no midnight, and for a day that no calendar has."""
    try:
        text: str = convert_column(value, "date")[0].as_py().isoformat()
    except DataError:
        return None
    return text


def _bad_cell(source: Source, column: str, why: str, row: int, count: int) -> DataError:
    place = source.place(row)
    fields: dict[str, object] = {"file": place.file, "column": column, "row": place.row, "count": count}
    if why == "null":
        return DataError("data.group-null", **fields)
    if why == "cell":
        return DataError("data.group-cell", **fields)
    if why == "not-plain":
        return DataError("data.group-not-plain", **fields)
    return DataError("data.group-label-long", limit=LABEL_BYTES_MAX, **fields)


def _too_many(source: Source, columns: str, found: int) -> DataError:
    return DataError("data.groups-many", file=source.name, columns=columns, count=found, limit=GROUPS_MAX)
