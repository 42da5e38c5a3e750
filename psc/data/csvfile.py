"""CSV files: read whole or refused with the line where they break; nothing is guessed and no row is lost.

The dialect is RFC 4180 in UTF-8, with or without a byte-order mark, comma-separated (``.csv``) or tab-separated (``.tsv``);
a quoted field may hold line ends; lines that are empty are no rows. **Every column is text**, as it stands in the file: no
leading zero, long number or date is lost to a guess about types. An empty field is null, a quoted empty field is an empty
text.

The fast parser is Arrow's. It takes a quote that nobody closed for one long field and swallows the rows up to the next
quote, so quotes are checked before; when anything is wrong, Python's strict parser finds the line.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from psc.data.columns import choose_columns
from psc.data.files import FileRef, opened
from psc.data.source import Part
from psc.errors import DataError

__all__ = ["read_csv"]

_CHUNK_BYTES = 4 << 20
_BLOCK_BYTES = 1 << 20  # what Arrow parses at a time: small enough to stay in the processor's cache
_ROW_BYTES_MAX = 8 << 20
_GUESS_BYTES = 64 << 10
_QUOTE, _LF, _CR = b'"\n\r'
_OTHER_SEPARATORS = ((";", ";"), ("\t", "tab"), ("|", "|"), (",", ","), ("，", "，"))
_BOM = b"\xef\xbb\xbf"
_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "Excel (.xlsx) / zip",
    b"\xd0\xcf\x11\xe0": "Excel (.xls)",
    b"\x1f\x8b": "gzip",
    b"ARROW1": "Arrow",
    b"SQLite": "SQLite",
}


@dataclass(frozen=True, slots=True)
class _Header:
    names: list[str]
    has_rows: bool


def read_csv(ref: FileRef, columns: Sequence[str] | None) -> tuple[pa.Table, Part]:
    """Read a CSV file.

    Args:
        ref: the file.
        columns: the columns to read, or None for all.

    Returns:
        The table, every column ``large_string``, and the part that finds the lines of its rows.

    Raises:
        DataError: the file is missing or empty, is not UTF-8 (with the byte), has a row with another number of fields, a quote
            that is never closed, a column twice, or not the columns asked for.
    """
    delimiter = "\t" if ref.format == "tsv" else ","
    with opened(ref) as stream:
        header = _read_header(ref, stream, delimiter)
    _check_separator(ref, header.names, columns)
    wanted = choose_columns(header.names, columns, ref.name)
    if header.has_rows:
        quoted = _check_quotes(ref, len(header.names), delimiter)
        table = _parse(ref, header.names, wanted, delimiter, quoted)
    else:
        table = pa.table({name: pa.array([], pa.large_string()) for name in wanted})

    def lines(rows: Sequence[int]) -> list[int | None]:
        return _lines_of(ref, rows, delimiter)

    return table, Part(ref.name, table.num_rows, lines)


def _check_separator(ref: FileRef, names: Sequence[str], columns: Sequence[str] | None) -> None:
    """Refuse a header that is one name with separators of another dialect in it, unless that name was asked for."""
    if len(names) != 1 or (columns is not None and names[0] in columns):
        return
    for mark, said in _OTHER_SEPARATORS:
        if mark in names[0]:
            raise DataError("data.csv-separator", file=ref.name, separator=said)


def _parse(ref: FileRef, names: list[str], wanted: list[str], delimiter: str, quoted: bool) -> pa.Table:
    for block_bytes in (min(_BLOCK_BYTES, _ROW_BYTES_MAX), _ROW_BYTES_MAX):  # a row must fit into a block; few need the larger
        try:
            with opened(ref) as stream:
                table: pa.Table = pyarrow.csv.read_csv(
                    # A plain file Arrow reads by itself, without the interpreter's lock and copies.
                    pa.OSFile(ref.path) if ref.plain else stream,
                    read_options=pyarrow.csv.ReadOptions(block_size=block_bytes),
                    parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=quoted),
                    convert_options=pyarrow.csv.ConvertOptions(
                        include_columns=wanted,
                        column_types=dict.fromkeys(wanted, pa.large_string()),
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                    ),
                )
        except (pa.ArrowException, UnicodeDecodeError):
            continue
        return table
    # Arrow's words quote the row, which holds personal data: say where it is instead.
    _explain(ref, len(names), delimiter)
    raise DataError("data.csv-damaged", file=ref.name)


def _read_header(ref: FileRef, stream: BinaryIO, delimiter: str) -> _Header:
    raw = b""
    while not raw.removeprefix(_BOM).strip(b"\r\n") or raw.count(_QUOTE.to_bytes()) % 2:
        line = stream.readline(_ROW_BYTES_MAX)
        if not line:
            break
        raw += line
        if len(raw) >= _ROW_BYTES_MAX:
            raise DataError("data.csv-row-too-long", file=ref.name, line=1)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("data.not-utf8", file=ref.name, line=1, byte=0, guess="UTF-16")
    for magic, kind in _MAGIC.items():
        if raw.startswith(magic):
            raise DataError("data.not-csv", file=ref.name, kind=kind)
    head = raw.removeprefix(_BOM).lstrip(b"\r\n")
    if not head:
        raise DataError("data.file-empty", file=ref.name)
    if head.count(b'"') % 2:
        raise DataError("data.csv-quote-open", file=ref.name, line=1)
    lone = head.find(b"\r")
    lone = lone if 0 <= lone < len(head) - 1 and head[lone + 1] != _LF and b'"' not in head[:lone] else -1
    first, body = (head[:lone], head[lone:]) if lone >= 0 else (head, b"")
    try:
        text = first.decode()
    except UnicodeDecodeError:
        _explain_encoding(ref)
        raise DataError("data.csv-damaged", file=ref.name) from None
    names = next(iter(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
    while not body.strip(b"\r\n"):
        body = stream.read(_CHUNK_BYTES)
        if not body:
            return _Header(names, False)
    return _Header(names, True)


def _check_quotes(ref: FileRef, fields: int, delimiter: str) -> bool:
    """Return whether the file has quotes; raise when one is not closed or closes in the middle of a field."""
    ends = np.zeros(256, bool)  # what may stand beside a quote
    ends[[_QUOTE, _LF, _CR, ord(delimiter)]] = True
    count, before, clean = 0, _LF, True
    chunk = bytearray(_CHUNK_BYTES)  # one for the whole file: memory that is touched again costs less than new
    with opened(ref) as stream:
        if stream.read(3) != _BOM:
            stream.seek(0)
        while clean and (size := stream.readinto(chunk)):  # type: ignore[attr-defined]
            if count % 2 == 0 and count and before == _QUOTE:
                clean = bool(ends[chunk[0]])
            if chunk.find(_QUOTE, 0, size) >= 0:
                codes = np.frombuffer(chunk, np.uint8, size)
                at = np.flatnonzero(codes == _QUOTE)
                opening, closing = at[count % 2 :: 2], at[1 - count % 2 :: 2]
                first = ends[before] if len(opening) and opening[0] == 0 else True
                inner = opening[opening > 0]
                followed = closing[closing < len(codes) - 1]
                clean = clean and bool(first and ends[codes[inner - 1]].all() and ends[codes[followed + 1]].all())
                count += len(at)
            before = chunk[size - 1]
    if not clean or count % 2:
        # A lone quote inside an unquoted field is legal (5" pipe); the strict parser knows.
        _explain(ref, fields, delimiter)
    return count > 0


# --- finding the place ---------------------------------------------------------------------------------------------


def _explain(ref: FileRef, fields: int, delimiter: str) -> None:
    """Read the file with the strict parser and raise with the line where it breaks; return when it does not."""
    _explain_encoding(ref)
    with opened(ref) as stream:
        reader = csv.reader(_text(stream), delimiter=delimiter, strict=True)
        begins = 1
        try:
            for row in reader:
                if row and len(row) != fields:
                    raise DataError("data.csv-ragged", file=ref.name, line=begins, found=len(row), expected=fields)
                begins = reader.line_num + 1
        except csv.Error as error:
            if "field limit" in str(error):
                raise DataError("data.csv-row-too-long", file=ref.name, line=begins) from None
            code = "data.csv-quote-open" if "unexpected end" in str(error) else "data.csv-quote"
            raise DataError(code, file=ref.name, line=begins if code.endswith("open") else reader.line_num) from None


def _explain_encoding(ref: FileRef) -> None:
    """Raise with byte and line when the file is not UTF-8."""
    base, line, tail = 0, 1, b""
    with opened(ref) as stream:
        while True:
            chunk = stream.read(_CHUNK_BYTES)
            block = tail + chunk
            try:
                block.decode()
                tail = b""
            except UnicodeDecodeError as error:
                if chunk and error.end == len(block) and len(block) - error.start < 4:
                    tail = block[error.start :]  # a character cut by the end of the chunk
                else:
                    line += block.count(b"\n", 0, error.start)
                    guess = _guess_encoding(block[block.rfind(b"\n", 0, error.start) + 1 :][:_GUESS_BYTES])
                    place = {"line": line, "byte": base + error.start}
                    raise DataError("data.not-utf8", file=ref.name, guess=guess, **place) from None
            if not chunk:
                return
            done = len(block) - len(tail)
            line += block.count(b"\n", 0, done)
            base += done


def _guess_encoding(sample: bytes) -> str:
    try:
        codecs.getincrementaldecoder("gb18030")().decode(sample)  # the sample may end within a character
    except UnicodeDecodeError:
        return ""  # any bytes at all are Latin-1 or its like: naming one would be no guess
    return "GB18030"


def _lines_of(ref: FileRef, rows: Sequence[int], delimiter: str) -> list[int | None]:
    """Return the line on which each row begins; rows are 0-based, ascending, header not counted."""
    found: list[int | None] = []
    with opened(ref) as stream, suppress(csv.Error, UnicodeDecodeError):  # a line number is not worth a failure
        reader = csv.reader(_text(stream), delimiter=delimiter)
        number, begins = -2, 1  # the header is row -1
        for cells in reader:
            number += bool(cells)
            if cells and rows[len(found)] == number:
                found.append(begins)
                if len(found) == len(rows):
                    break
            begins = reader.line_num + 1
    return found + [None] * (len(rows) - len(found))


def _text(stream: BinaryIO) -> Iterator[str]:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
