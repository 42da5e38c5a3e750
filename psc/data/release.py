"""Released columns as fixed-width rows: every row of a dataset takes the same number of bytes, whatever its values are.

::

    byte 0            flags: bit 0 = further rows of this key were cut; all other bits 0
    ⌈columns / 8⌉     null bitmap: bit i (from the lowest bit of the first byte) = column i is null; spare bits 0
    each column       text     length (2 bytes) ‖ UTF-8 bytes ‖ zeros up to the column's width
                      int64    8 bytes, two's complement
                      float64  8 bytes, IEEE 754
                      bool     1 byte, 0 or 1
                      date     4 bytes, days since 1970-01-01, two's complement; of the years 1 to 9999

Numbers are little-endian. The bytes of a null are zero. There is one encoding of a row and ``decode`` takes no other, because a
row comes from the peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from psc.data.cells import buffers_of
from psc.data.columns import choose_columns
from psc.data.compute import pc
from psc.data.convert import ARROW_TYPES, DAYS, convert_column
from psc.errors import DataError, MalformedMessageError
from psc.types import ReleasedColumn

__all__ = ["FLAG_CUT", "RowLayout"]

FLAG_CUT = 0x01
"""Flag of a row: its key has further rows, which the registered rows-per-key bound left out."""

_LENGTH_BYTES = 2
_BATCH_ROWS = 1 << 15
_WIDTHS = {"int64": 8, "float64": 8, "bool": 1, "date": 4}
_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The byte layout of the released columns of a dataset.

    Attributes:
        columns: name, type and (for text) width of each column. The width of other types follows from the type; their
            ``width_bytes`` is not used.
    """

    columns: tuple[ReleasedColumn, ...]

    @property
    def width(self) -> int:
        """Bytes of one row; at least 1 (the flags), also when nothing is released."""
        return self._data_start + sum(_cell_width(column) for column in self.columns)

    @property
    def _data_start(self) -> int:
        return 1 + (len(self.columns) + 7) // 8

    def schema(self) -> pa.Schema:
        """Return the Arrow schema of decoded rows."""
        return pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in self.columns])

    def encode(
        self,
        table: pa.Table,
        rows: npt.ArrayLike,
        *,
        cut: npt.ArrayLike | None = None,
        sources: Mapping[str, str] | None = None,
        file: str = "-",
    ) -> bytes:
        """Encode some rows of a table.

        Args:
            table: has a column for each released one.
            rows: 0-based indices of the rows to encode, in the order wanted.
            cut: for each of ``rows``, whether further rows of its key were left out; None for none.
            sources: released name → column of ``table``, where they differ.
            file: where the table came from, for error texts.

        Returns:
            ``len(rows) * width`` bytes.

        Raises:
            DataError: a value does not fit the column's type or is wider than its width, with the row (1-based in ``table``).
        """
        every = np.asarray(rows)
        encoded = np.zeros((len(every), self.width), np.uint8)
        if cut is not None:
            encoded[:, 0] = np.asarray(cut, bool) * np.uint8(FLAG_CUT)
        names = [(sources or {}).get(column.name, column.name) for column in self.columns]
        for name in names:
            choose_columns(table.column_names, [name], file)
        try:
            for first in range(0, len(every), _BATCH_ROWS):  # what is made of a batch fits the processor's cache
                batch = slice(first, first + _BATCH_ROWS)
                self._encode(encoded[batch], table, every[batch].astype(np.int64), names, file)
        except DataError:
            self._encode(encoded, table, every.astype(np.int64), names, file)  # fails too, and counts in all rows
            raise
        return encoded.tobytes()

    def _encode(self, encoded: _Bytes, table: pa.Table, at: npt.NDArray[np.int64], names: Sequence[str], file: str) -> None:
        """Write nulls and cells of these rows."""
        start = self._data_start
        for index, (name, column) in enumerate(zip(names, self.columns)):
            values = convert_column(table.column(name), column.type, at, column=name, file=file)
            nulls = values.is_null().to_numpy(zero_copy_only=False)
            encoded[:, 1 + index // 8] |= (nulls << (index % 8)).astype(np.uint8)
            end = start + _cell_width(column)
            cells = _encode_text(values, column, at, name, file) if column.type == "text" else _encode_fixed(values)
            encoded[:, start:end] = cells
            start = end

    def decode(self, data: bytes, count: int) -> pa.Table:
        """Decode rows of the peer.

        Args:
            data: ``count * width`` bytes.
            count: how many rows.

        Returns:
            A table with the released columns; ``cut_flags`` gives the flags.

        Raises:
            MalformedMessageError: a size, flag, bitmap, length, padding or text is not what ``encode`` makes.
        """
        rows = self._rows(data, count)
        start = self._data_start
        arrays = []
        for index, column in enumerate(self.columns):
            end = start + _cell_width(column)
            nulls = (rows[:, 1 + index // 8] >> (index % 8) & 1).astype(bool)
            cells = np.ascontiguousarray(rows[:, start:end])
            _require(not cells[nulls].any(), column.name, "a null with a value")
            arrays.append(_DECODERS[column.type](cells, nulls, column.name))
            start = end
        spare = -len(self.columns) % 8
        if spare:
            _require(not (rows[:, self._data_start - 1] >> (8 - spare)).any(), "-", "spare bits of the null bitmap")
        return pa.table(arrays, schema=self.schema())

    def cut_flags(self, data: bytes, count: int) -> npt.NDArray[np.bool_]:
        """Return for each row whether further rows of its key were left out.

        Raises:
            MalformedMessageError: the size or a flag is not what ``encode`` makes.
        """
        flags: npt.NDArray[np.bool_] = (self._rows(data, count)[:, 0] & FLAG_CUT).astype(bool)
        return flags

    def _rows(self, data: bytes, count: int) -> _Bytes:
        _require(count >= 0 and len(data) == count * self.width, "-", "number of bytes")
        rows = np.frombuffer(data, np.uint8).reshape(count, self.width)
        _require(not (rows[:, 0] & ~np.uint8(FLAG_CUT)).any(), "-", "unknown flag")
        return rows


def _cell_width(column: ReleasedColumn) -> int:
    return _LENGTH_BYTES + column.width_bytes if column.type == "text" else _WIDTHS[column.type]


def _require(holds: bool, column: str, what: str) -> None:
    if not holds:
        raise MalformedMessageError("data.row-malformed", column=column, what=what)


# --- encoding ------------------------------------------------------------------------------------------------------


def _encode_fixed(values: pa.Array) -> _Bytes:
    if pa.types.is_date32(values.type):
        values = values.view(pa.int32())
    zero = False if pa.types.is_boolean(values.type) else 0
    numbers = np.ascontiguousarray(values.fill_null(zero).to_numpy(zero_copy_only=False))
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8).reshape(len(numbers), little.itemsize)


def _encode_text(values: pa.LargeStringArray, column: ReleasedColumn, at: npt.NDArray[np.int64], name: str, file: str) -> _Bytes:
    offsets, data = buffers_of(values)
    lengths = np.diff(offsets)
    wide = np.flatnonzero(lengths > column.width_bytes)
    if len(wide):
        fields = {"found": int(lengths[wide[0]]), "width": column.width_bytes, "count": len(wide)}
        raise DataError("data.text-too-wide", file=file, column=name, row=int(at[wide[0]]) + 1, **fields)
    cells = np.zeros((len(values), _LENGTH_BYTES + column.width_bytes), np.uint8)
    cells[:, 0] = lengths & 0xFF
    cells[:, 1] = lengths >> 8
    inside = np.arange(column.width_bytes) < lengths[:, None]
    cells[:, _LENGTH_BYTES:][inside] = np.frombuffer(data, np.uint8)
    return cells


# --- decoding ------------------------------------------------------------------------------------------------------


def _decode_text(cells: _Bytes, nulls: npt.NDArray[np.bool_], name: str) -> pa.Array:
    lengths = cells[:, 0].astype(np.int64) | cells[:, 1].astype(np.int64) << 8
    texts = cells[:, _LENGTH_BYTES:]
    _require(bool((lengths <= texts.shape[1]).all()), name, "length")
    inside = np.arange(texts.shape[1]) < lengths[:, None]
    _require(not texts[~inside].any(), name, "padding")
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    data = texts[inside].tobytes()
    array = pa.LargeStringArray.from_buffers(len(cells), pa.py_buffer(offsets), pa.py_buffer(data))
    try:
        array.validate(full=True)
    except pa.ArrowException:
        raise MalformedMessageError("data.row-malformed", column=name, what="text that is not UTF-8") from None
    return _with_nulls(array, nulls)


def _decode_int64(cells: _Bytes, nulls: npt.NDArray[np.bool_], _name: str) -> pa.Array:
    return pa.array(cells.view("<i8").reshape(-1), pa.int64(), mask=nulls)


def _decode_float64(cells: _Bytes, nulls: npt.NDArray[np.bool_], _name: str) -> pa.Array:
    return pa.array(cells.view("<f8").reshape(-1), pa.float64(), mask=nulls)


def _decode_bool(cells: _Bytes, nulls: npt.NDArray[np.bool_], name: str) -> pa.Array:
    _require(bool((cells <= 1).all()), name, "truth value")
    return pa.array(cells.reshape(-1).astype(bool), pa.bool_(), mask=nulls)


def _decode_date(cells: _Bytes, nulls: npt.NDArray[np.bool_], name: str) -> pa.Array:
    days = cells.view("<i4").reshape(-1)
    _require(bool(((days >= DAYS[0]) & (days <= DAYS[1])).all()), name, "date")
    return pa.array(days, pa.int32(), mask=nulls).view(pa.date32())


def _with_nulls(array: pa.Array, nulls: npt.NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(~nulls), array, pa.scalar(None, array.type)) if nulls.any() else array


_DECODERS: dict[str, Callable[[_Bytes, npt.NDArray[np.bool_], str], pa.Array]] = {
    "text": _decode_text,
    "int64": _decode_int64,
    "float64": _decode_float64,
    "bool": _decode_bool,
    "date": _decode_date,
}
