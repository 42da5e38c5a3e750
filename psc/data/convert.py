"""Columns as the type that was declared for them, exactly or not at all: no whole number is rounded, no bad cell becomes null."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.cells import is_key_type, text_cells
from psc.data.classes import CellClass
from psc.data.compute import pc
from psc.errors import DataError
from psc.types import ReleaseType

__all__ = ["ARROW_TYPES", "DAYS", "convert_column"]

ARROW_TYPES: dict[str, pa.DataType] = {
    "text": pa.large_string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
}
"""The Arrow type of each declared type."""

DAYS = (-719_162, 2_932_896)
"""The first and the last date that is a date everywhere, 0001-01-01 and 9999-12-31, in days since 1970-01-01."""

_EXACT = 2**53
_Mask = npt.NDArray[np.bool_]
_Converted = tuple[pa.Array, _Mask]
"""The converted cells, and where a cell could not be converted."""


def convert_column(
    values: pa.Array | pa.ChunkedArray,
    wanted: ReleaseType,
    rows: npt.NDArray[np.int64] | None = None,
    *,
    column: str = "-",
    file: str = "-",
) -> pa.Array:
    """Return a column in its declared type.

    Args:
        values: text (as CSV columns are), numbers, decimals, truth values, dates or timestamps at midnight.
        wanted: the declared type. For ``float64`` a fraction becomes the nearest double; whole numbers must be exact in all
            types. For other types than ``text`` a blank text is null. Dates as text are ``2026-11-21``.
        rows: 0-based indices of the rows to take, in this order; None for all.
        column: its name, for error texts.
        file: where it came from, for error texts.

    Returns:
        An array of ``ARROW_TYPES[wanted]``.

    Raises:
        DataError: ``data.column-type-release`` when no cell of the column's type can be one, ``data.value-type`` with the first
            row whose cell is not.
    """
    array = _rows_of(values, rows)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), ARROW_TYPES[wanted])
    if pa.types.is_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    converted = _CONVERTERS[wanted](array)
    if converted is None:
        raise DataError("data.column-type-release", file=file, column=column, type=str(array.type), wanted=wanted)
    result, bad = converted
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        row = (int(rows[first]) if rows is not None else first) + 1
        raise DataError("data.value-type", file=file, column=column, row=row, wanted=wanted, count=int(bad.sum()))
    return result


def _rows_of(values: pa.Array | pa.ChunkedArray, rows: npt.NDArray[np.int64] | None) -> pa.Array:
    if rows is not None and len(rows):  # some rows need no copy of the whole column, and a run of rows none at all
        first, last = int(rows.min()), int(rows.max())
        values, rows = values.slice(first, last - first + 1), rows - first
        rows = None if np.array_equal(rows, np.arange(last - first + 1)) else rows
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):  # combine_chunks of zero chunks
        array = pa.array([], values.type)
    return array if rows is None else array.take(pa.array(rows))


def _to_text(array: pa.Array) -> _Converted | None:
    good = np.zeros(len(array), bool)
    kind = array.type
    if pa.types.is_large_string(kind):
        return array, good
    if pa.types.is_floating(kind):
        cells = [None if cell is None else _plain_float(cell) for cell in array.cast(pa.float64()).to_pylist()]
        return pa.array(cells, pa.large_string()), good
    if is_key_type(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind):
        if pa.types.is_date64(kind):
            array = array.cast(pa.date32())
        return array.cast(pa.large_string()), good
    return None


def _plain_float(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) <= _EXACT else repr(value)


def _to_int64(array: pa.Array) -> _Converted | None:
    if pa.types.is_integer(array.type):
        return _cast(array, pa.int64())
    if not is_key_type(array.type):
        return None
    cells = text_cells(array)  # whole floats and decimals as digits
    refused = (cells.classes != CellClass.OK) & (cells.classes != CellClass.MISSING)
    text, good = _matching(cells.text, r"^[+-]?[0-9]{1,19}(?:\.0+)?$")
    text = pc.replace_substring_regex(pc.replace_substring_regex(text, r"\.0+$", ""), r"^\+", "")
    result, bad = _cast(text, pa.int64())
    return result, bad | ~good | refused


def _to_float64(array: pa.Array) -> _Converted | None:
    kind = array.type
    if pa.types.is_integer(kind):
        numbers = array.fill_null(0).to_numpy(zero_copy_only=False)
        return array.cast(pa.float64(), safe=False), (numbers > _EXACT) | (numbers < -_EXACT)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return array.cast(pa.float64()), np.zeros(len(array), bool)
    if not pa.types.is_large_string(kind):
        return None
    text, good = _matching(array, r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$")
    result, bad = _cast(pc.replace_substring_regex(text, r"^\+", ""), pa.float64())
    finite = pc.fill_null(pc.is_finite(result), True).to_numpy(zero_copy_only=False)
    return result, bad | ~good | ~finite


def _to_bool(array: pa.Array) -> _Converted | None:
    if pa.types.is_boolean(array.type):
        return array, np.zeros(len(array), bool)
    if pa.types.is_integer(array.type):
        array = array.cast(pa.large_string())
    if not pa.types.is_large_string(array.type):
        return None
    text, good = _matching(array, r"^(?i:true|false|0|1)$")
    truth = pc.match_substring_regex(text, r"^(?i:true|1)$")  # null where the text is
    return truth, ~good


def _to_date(array: pa.Array) -> _Converted | None:
    kind = array.type
    if pa.types.is_date(kind):
        return _in_calendar(array.cast(pa.date32()), np.zeros(len(array), bool))
    if pa.types.is_timestamp(kind):
        local = pc.local_timestamp(array) if kind.tz else array
        days = local.cast(pa.date32(), safe=False)
        midnight = pc.fill_null(pc.equal(days.cast(local.type), local), True).to_numpy(zero_copy_only=False)
        return _in_calendar(days, ~midnight)
    if not pa.types.is_large_string(kind):
        return None
    text, good = _matching(array, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    result, bad = _cast(text, pa.date32())
    return _in_calendar(result, bad | ~good)


def _in_calendar(days: pa.Array, bad: _Mask) -> _Converted:
    numbers = days.view(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
    return days, bad | (numbers < DAYS[0]) | (numbers > DAYS[1])


_CONVERTERS: dict[str, Callable[[pa.Array], _Converted | None]] = {
    "text": _to_text,
    "int64": _to_int64,
    "float64": _to_float64,
    "bool": _to_bool,
    "date": _to_date,
}


def _matching(text: pa.LargeStringArray, pattern: str) -> tuple[pa.LargeStringArray, _Mask]:
    """Return the trimmed texts that match, null for the others, and where a text is blank, null or matches."""
    trimmed = pc.utf8_trim_whitespace(text)
    matches = pc.fill_null(pc.match_substring_regex(trimmed, pattern), False)
    blank = pc.fill_null(pc.equal(trimmed, ""), True)
    kept = pc.if_else(matches, trimmed, pa.scalar(None, pa.large_string()))
    return kept, pc.or_(matches, blank).to_numpy(zero_copy_only=False)


def _cast(array: pa.Array, wanted: pa.DataType) -> _Converted:
    """Cast all cells; where that fails, cell by cell, to know which ones."""
    try:
        return array.cast(wanted), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        bad = np.zeros(len(array), bool)
        for index in range(len(array)):
            try:
                array.slice(index, 1).cast(wanted)
            except pa.ArrowInvalid:
                bad[index] = True
        return pa.nulls(len(array), wanted), bad
