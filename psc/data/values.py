"""Columns of numbers as exact integers, and what a customer contributes to each statistic of an aggregate.

A value is a whole number of units of 10^-scale. How a cell becomes one:

* **Whole numbers and truth values** (true is 1) are multiplied by 10^scale.
* **Decimals, and text** in plain or exponent form, are taken as they are written. ``int64`` refuses a fraction; ``decimal``
  rounds it to the scale, half to even. A blank text is null.
* **Floats** stand for the shortest decimal that names them, as Python and pandas print it: 0.285 is 0.285, though the float
  is a little less. So a column gives the same values as floats and as the text of a CSV file. A float that is too large for
  neighbouring values at the scale to be told apart (2^52 units; 2^53 for whole numbers) has lost digits and is refused.
  Not-a-number is null.

No cell is changed silently: outside the declared range it is refused, or, where the declaration says so, clipped and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.columns import choose_columns
from psc.data.source import Source, as_source
from psc.data.units import ValueClass, units_of
from psc.errors import DataError, UsageError
from psc.types import VALUE_LIMIT, Statistic, ValueColumn, scaled_text

__all__ = [
    "ENTRY_LIMIT",
    "OwnWeights",
    "ValueClass",
    "ValueReading",
    "ValueUse",
    "Values",
    "entry_bound",
    "own_weights",
    "read_values",
    "scan_values",
    "statistic_vectors",
]

ENTRY_LIMIT = 1 << 63
"""What one customer contributes to one statistic stays below this, so that it is exact in 64 bits."""

_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ValueUse:
    """A value column as it is declared for a table.

    Attributes:
        value: name, scale and range.
        column: the column of the table.
        whole: declared ``int64``: a fraction is refused. Else it is rounded to the scale.
        clip: a value outside the range becomes the end of it. Else it is refused.
    """

    value: ValueColumn
    column: str
    whole: bool
    clip: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class ValueReading:
    """The cells of a value column, judged and not yet decided about.

    Attributes:
        units: the values; where a cell is out of range, the end of the range; 0 where there is no number.
        classes: ``ValueClass`` codes.
    """

    units: _Ints
    classes: npt.NDArray[np.uint8]

    def count(self, *classes: ValueClass) -> int:
        """Return how many cells are of these classes."""
        return int(np.isin(self.classes, classes).sum())


@dataclass(frozen=True, slots=True, repr=False)
class Values:
    """A value column of some rows.

    Attributes:
        column: name, scale and range.
        units: a value a row, 0 where it is null.
        nulls: where it is null.
        clipped: how many were outside the range and are its end now.
    """

    column: ValueColumn
    units: _Ints
    nulls: _Mask
    clipped: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class OwnWeights:
    """A column of the asking side, summed for each of its keys.

    Attributes:
        units: the sum of each key, in units of 10^-scale.
        scale: decimals.
        bound: a power of two that no sum passes. It is all that the partner is told of the weights.
    """

    units: _Ints
    scale: int
    bound: int


def read_values(table: Source | pa.Table, rows: npt.ArrayLike, use: ValueUse) -> Values:
    """Read a value column.

    Args:
        table: has the column; a source also says where its rows are.
        rows: 0-based indices of the rows to read, in the order wanted.
        use: the declaration.

    Returns:
        As many values as ``rows``.

    Raises:
        DataError: the column is missing or of a type that holds no numbers; or, with the first row and how many there are: a
            cell is no number, has a fraction in a column of whole numbers, is a float that has lost digits, or is outside the
            range and not to be clipped. No text has the cell.
    """
    source, at = as_source(table), np.asarray(rows, np.int64)
    reading = scan_values(source, at, use)
    refused = [ValueClass.NOT_NUMBER, ValueClass.NOT_WHOLE, ValueClass.IMPRECISE]
    if not use.clip:
        refused += [ValueClass.BELOW, ValueClass.ABOVE]
    _refuse(reading, refused, at, use, source)
    clipped = reading.count(ValueClass.BELOW, ValueClass.ABOVE)
    return Values(use.value, reading.units, reading.classes == ValueClass.NULL, clipped)


def scan_values(table: Source | pa.Table, rows: npt.ArrayLike, use: ValueUse) -> ValueReading:
    """Judge the cells of a value column without refusing any; arguments as for ``read_values``.

    Raises:
        DataError: the column is missing or of a type that holds no numbers.
    """
    source = as_source(table)
    choose_columns(source.table.column_names, [use.column], source.name)
    array = _taken(source.table.column(use.column), np.asarray(rows, np.int64))
    found = units_of(array, use.value.scale, use.value.magnitude, whole=use.whole)
    if found is None:
        raise DataError("data.value-column-type", file=source.name, column=use.column, type=str(array.type))
    units, classes = found
    good = classes == ValueClass.OK
    classes[good & (units < use.value.low)] = ValueClass.BELOW
    classes[good & (units > use.value.high)] = ValueClass.ABOVE
    units[~good] = 0
    np.clip(units, use.value.low, use.value.high, out=units, where=good)
    return ValueReading(units, classes)


def own_weights(
    table: Source | pa.Table,
    column: str,
    row_of: npt.NDArray[np.int64] | npt.NDArray[np.uint32],
    group_of_row: npt.NDArray[np.uint32],
    key_count: int,
    *,
    scale: int | None = None,
) -> OwnWeights:
    """Sum a column of the own table for each key; a null adds nothing.

    Args:
        table: has the column; a source also says where its rows are.
        column: the weights.
        row_of: the rows that have a key.
        group_of_row: for each of these, the index of its key.
        key_count: how many keys there are.
        scale: decimals to round to; None takes whole numbers alone.

    Raises:
        DataError: as ``read_values``; without a scale a fraction is refused. ``data.weights-too-large`` when the sum of a key
            might pass 63 bits.

    Leakage:
        ``bound`` tells the partner the size of the greatest sum to a factor of two.
    """
    widest = ValueColumn(name="weight", scale=scale or 0, low=1 - VALUE_LIMIT, high=VALUE_LIMIT - 1)
    values = read_values(table, row_of, ValueUse(widest, column, whole=scale is None))
    most_rows = int(np.bincount(group_of_row).max(initial=0))
    if int(np.abs(values.units).max(initial=0)) * most_rows >= ENTRY_LIMIT:
        raise DataError("data.weights-too-large", file=as_source(table).name, column=column, rows=most_rows)
    units = _summed(values.units, group_of_row, key_count)
    most = int(np.abs(units).max(initial=0))
    return OwnWeights(units, scale or 0, 1 << max(0, most - 1).bit_length())


# --- statistics ----------------------------------------------------------------------------------------------------


def entry_bound(statistic: Statistic, column: ValueColumn | None, rows_bound: int) -> int:
    """Return what the absolute value of one customer's entry cannot pass.

    Args:
        statistic: what is added up; its weight is not looked at.
        column: the value column that it names; None for none.
        rows_bound: the most rows that one customer has.
    """
    most = column.magnitude if column is not None else 1
    per_row = statistic.per == "row"
    if statistic.kind in ("count", "bin"):
        return rows_bound if per_row else 1
    if statistic.kind == "sum":
        return rows_bound * most
    return rows_bound * most**2 if per_row else (rows_bound * most) ** 2


def statistic_vectors(
    statistics: Sequence[Statistic],
    values: Mapping[str, Values],
    group_of_row: npt.NDArray[np.uint32],
    key_count: int,
    rows_bound: int,
) -> npt.NDArray[np.int64]:
    """Return what each customer contributes to each statistic; ``psc.types.Statistic`` says what that is.

    A customer without any value in a column contributes 0, and is in no bin of its totals.

    Args:
        statistics: what is added up.
        values: the value columns by name, over the rows that have a key.
        group_of_row: for each of these rows, the index of its key.
        key_count: how many keys there are.
        rows_bound: the most rows that a key has.

    Returns:
        Keys × statistics, exact.

    Raises:
        UsageError: ``data.statistic-too-large`` when an entry, or a total that decides about one, might pass 63 bits.
    """
    for statistic in statistics:
        column = values[statistic.column].column if statistic.column is not None else None
        bound = entry_bound(statistic, column, rows_bound)
        if statistic.per == "customer" and statistic.kind == "bin" and column is not None:
            bound = rows_bound * column.magnitude
        if bound >= ENTRY_LIMIT:
            raise UsageError("data.statistic-too-large", kind=statistic.kind, column=str(column), rows=rows_bound)
    entries = _Entries(values, group_of_row, key_count)
    vectors = np.zeros((key_count, len(statistics)), np.int64)
    for index, statistic in enumerate(statistics):
        vectors[:, index] = entries.of(statistic)
    return vectors


class _Entries:
    """The entries of one statistic after the other; counts and totals that several need are made once."""

    def __init__(self, values: Mapping[str, Values], group_of_row: npt.NDArray[np.uint32], key_count: int) -> None:
        self._values, self._groups, self._keys = values, group_of_row, key_count
        self._counts: dict[str | None, _Ints] = {}
        self._totals: dict[str, _Ints] = {}

    def of(self, statistic: Statistic) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_]:
        name = statistic.column
        per_row = statistic.per == "row"
        if statistic.kind == "count":
            return self._count(name) if per_row else self._count(name) > 0
        assert name is not None  # noqa: S101 - Statistic sees to it
        if statistic.kind == "sum":
            return self._total(name)
        if statistic.kind == "squares":
            return self._sum(self._values[name].units ** 2) if per_row else self._total(name) ** 2
        if per_row:
            values = self._values[name]
            return self._sum(_inside(values.units, statistic) & ~values.nulls)
        return _inside(self._total(name), statistic) & (self._count(name) > 0)

    def _count(self, name: str | None) -> _Ints:
        if name not in self._counts:
            present = np.ones(len(self._groups), np.int64) if name is None else ~self._values[name].nulls
            self._counts[name] = self._sum(present)
        return self._counts[name]

    def _total(self, name: str) -> _Ints:
        if name not in self._totals:
            self._totals[name] = self._sum(self._values[name].units)
        return self._totals[name]

    def _sum(self, of_rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> _Ints:
        return _summed(of_rows, self._groups, self._keys)


def _inside(units: _Ints, statistic: Statistic) -> _Mask:
    inside: _Mask = (units >= statistic.low) & (units < statistic.high)  # type: ignore[operator]  # a bin has both edges
    return inside


def _summed(of_rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_], groups: npt.NDArray[np.uint32], keys: int) -> _Ints:
    sums = np.zeros(keys, np.int64)
    np.add.at(sums, groups, of_rows.astype(np.int64, copy=False))  # in integers: bincount would add floats
    return sums


# --- cells ---------------------------------------------------------------------------------------------------------


_REFUSALS = {
    ValueClass.NOT_NUMBER: "not-number",
    ValueClass.NOT_WHOLE: "not-whole",
    ValueClass.IMPRECISE: "imprecise",
    ValueClass.BELOW: "range",
    ValueClass.ABOVE: "range",
}


def _refuse(
    reading: ValueReading, classes: Sequence[ValueClass], rows: npt.NDArray[np.int64], use: ValueUse, source: Source
) -> None:
    bad = np.isin(reading.classes, classes)
    if not bad.any():
        return
    first = int(np.flatnonzero(bad)[0])
    why = _REFUSALS[ValueClass(int(reading.classes[first]))]
    place = source.place(int(rows[first]))
    fields: dict[str, object] = {"file": place.file, "column": use.column, "row": place.row, "scale": use.value.scale}
    fields["count"] = reading.count(*(one for one in classes if _REFUSALS[one] == why))
    fields["low"] = scaled_text(use.value.low, use.value.scale)
    fields["high"] = scaled_text(use.value.high, use.value.scale)
    if why == "not-number":
        raise DataError("data.value-not-number", **fields)
    if why == "not-whole":
        raise DataError("data.value-not-whole", **fields)
    if why == "imprecise":
        raise DataError("data.value-imprecise", **fields)
    raise DataError("data.value-range", **fields)


def _taken(column: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # combine_chunks of zero chunks
        array = pa.array([], column.type)
    everything = len(rows) == len(array) and np.array_equal(rows, np.arange(len(array)))
    return array if everything else array.take(pa.array(rows))
