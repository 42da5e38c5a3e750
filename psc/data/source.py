"""A table that was read, with the way back: which file, row and line a row of the table came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from psc.data.cells import buffers_of
from psc.data.columns import shown_name
from psc.data.compute import pc
from psc.errors import DataError

__all__ = ["Part", "Place", "Source", "as_source", "check_cells", "plain_types"]


@dataclass(frozen=True, slots=True)
class Part:
    """A run of rows of a table that came from one file (or one object in memory).

    Attributes:
        name: the file as shown to people.
        rows: how many rows it gave.
        lines: for CSV, returns the line (1-based) on which each of the given rows (0-based, ascending) begins.
    """

    name: str
    rows: int
    lines: Callable[[Sequence[int]], list[int | None]] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: the file, the row in it (1-based, the header is not counted), and the line when it is a CSV file."""

    file: str
    row: int
    line: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Source:
    """A table and where it came from.

    Attributes:
        table: the rows; every kind of text is ``large_string``, dictionaries are decoded.
        name: the file, folder, URL or kind of object, as shown to people; no password, no query of a signed URL.
        parts: the files in the order of the table's rows.
    """

    table: pa.Table
    name: str
    parts: tuple[Part, ...]

    def __repr__(self) -> str:
        columns = [shown_name(name) for name in self.table.column_names]
        return f"Source({self.name!r}, rows={self.table.num_rows}, columns={columns!r})"

    def places(self, rows: Sequence[int]) -> list[Place]:
        """Return the places of some rows.

        Args:
            rows: 0-based row indices into ``table``, ascending.

        Returns:
            One place a row. Lines of CSV files are found by reading the file again up to the last of the rows.
        """
        found: list[Place] = []
        starts = [0, *accumulate(part.rows for part in self.parts)]
        for part, start in zip(self.parts, starts):
            inside = [row - start for row in rows if start <= row < start + part.rows]
            lines: Sequence[int | None] = part.lines(inside) if part.lines and inside else [None] * len(inside)
            found += [Place(part.name, row + 1, line) for row, line in zip(inside, lines)]
        return found

    def place(self, row: int) -> Place:
        """Return the place of one row (0-based)."""
        return self.places([row])[0]

    def fingerprint(self) -> bytes:
        """Return SHA-256 over the content: column names, types and cells in order; 32 bytes.

        It does not depend on the file format, on how the table is cut into chunks, or on what stands under nulls, so the same
        rows in CSV text and in a data frame of text have one fingerprint.

        Security:
            For use at home only. A list of identifiers can be guessed from its unsalted hash: ``dataset_version`` makes what
            leaves.
        """
        digest = hashlib.sha256(f"psc-table/1 {self.table.num_rows} {self.table.num_columns}".encode())
        for name, column in zip(self.table.column_names, self.table.columns):
            for field in (name.encode(), str(column.type).encode()):
                digest.update(len(field).to_bytes(8, "little") + field)
            _hash_column(digest, column)
        return digest.digest()


def as_source(table: Source | pa.Table) -> Source:
    """Return a table as a source; one that came from nowhere has no file to name."""
    return table if isinstance(table, Source) else Source(plain_types(table), "-", (Part("-", table.num_rows),))


def _hash_column(digest: Any, column: pa.ChunkedArray) -> None:
    chunks = [_plain_chunk(chunk) for chunk in column.chunks]
    digest.update(b"\x01" if column.null_count else b"\x00")
    if column.null_count:
        for chunk in column.chunks:
            digest.update(np.ascontiguousarray(chunk.is_valid().to_numpy(zero_copy_only=False)).view(np.uint8))
    if chunks and isinstance(chunks[0], np.ndarray):
        for chunk in chunks:
            digest.update(chunk)
        return
    texts = [buffers_of(chunk) for chunk in chunks]
    for offsets, _ in texts:
        digest.update(np.diff(offsets))  # all lengths before all bytes: independent of the chunks' borders
    for _, data in texts:
        digest.update(data)


def _plain_chunk(chunk: pa.Array) -> Any:
    """Return the cells as a contiguous numpy array of numbers, or as texts, with nulls filled."""
    kind = chunk.type
    if pa.types.is_large_string(kind) and not chunk.null_count:
        return chunk
    if pa.types.is_boolean(kind):
        return np.ascontiguousarray(pc.fill_null(chunk, False).to_numpy(zero_copy_only=False)).view(np.uint8)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        chunk = chunk.view(pa.int32() if kind.bit_width == 32 else pa.int64())
        kind = chunk.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.ascontiguousarray(pc.fill_null(chunk, 0).to_numpy(zero_copy_only=False))
    if pa.types.is_large_string(kind):
        return pc.fill_null(chunk, "")
    if pa.types.is_decimal(kind):
        return pc.fill_null(chunk.cast(pa.large_string()), "")
    return pa.array(["" if cell is None else repr(cell) for cell in chunk.to_pylist()], pa.large_string())


def plain_types(table: pa.Table) -> pa.Table:
    """Return a table whose text columns are all ``large_string`` and whose dictionaries are decoded, without metadata."""
    columns = []
    for column in table.columns:
        kind = column.type
        while pa.types.is_dictionary(kind):
            kind = kind.value_type
            column = column.cast(kind)
        if pa.types.is_string(kind) or pa.types.is_string_view(kind):
            column = column.cast(pa.large_string())
        columns.append(column)
    return pa.table(columns, schema=pa.schema([pa.field(name, c.type) for name, c in zip(table.column_names, columns)]))


def check_cells(table: pa.Table, file: str) -> None:
    """Check what other programs handed over, so that no damage shows up later as something else.

    Raises:
        DataError: a text is not UTF-8 (with column and row), or a column is damaged otherwise.
    """
    for name, column in zip(table.column_names, table.columns):
        try:
            column.validate(full=True)
        except pa.ArrowException:
            if pa.types.is_large_string(column.type):
                _find_bad_text(name, column, file)
            raise DataError("data.column-damaged", file=file, column=shown_name(name)) from None


def _find_bad_text(name: str, column: pa.ChunkedArray, file: str) -> None:
    for row, cell in enumerate(column.cast(pa.large_binary()).to_pylist(), start=1):
        try:
            (cell or b"").decode()
        except UnicodeDecodeError as error:
            place = {"column": shown_name(name), "row": row, "byte": error.start}
            raise DataError("data.cell-not-utf8", file=file, **place) from None
