"""Tables out: the whole file or none.

A table is written to a temporary file in the same folder, flushed to the disk and renamed over the target, so that whoever
looks sees the old file or the new one, never half of one; a full disk leaves nothing behind. New files are readable by
their owner only (0600), because results are personal data; a file that is replaced keeps its permissions.

CSV values are written exactly as they are, so that they round-trip: null is an empty field, an empty text is ``""``. A text
that begins with ``=``, ``+``, ``-`` or ``@`` is not changed either (every E.164 number begins with ``+``), although a
spreadsheet program may take it for a formula: import such a file with its columns set to text.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from psc.errors import StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OUTPUT_SUFFIXES", "check_output", "replacing", "write_table"]

OUTPUT_SUFFIXES = (".csv", ".parquet")
_CSV_ROWS_A_BATCH = 65_536


def check_output(path: str | os.PathLike[str]) -> Path:
    """Check that a table can be written to a path, before any work is done for it.

    Returns:
        The path, with ``~`` expanded.

    Raises:
        UsageError: the suffix names no format that is written, the path is a folder, or its folder is missing.
        StorageError: the folder is not writable.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in OUTPUT_SUFFIXES:
        raise UsageError("data.output-suffix", file=str(target), known=" ".join(OUTPUT_SUFFIXES))
    if target.is_dir():
        raise UsageError("data.output-is-folder", file=str(target))
    if not target.parent.is_dir():
        raise UsageError("data.output-folder-missing", file=str(target), folder=str(target.parent))
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError("data.output-not-writable", file=str(target), folder=str(target.parent))
    return target


def write_table(table: pa.Table, path: str | os.PathLike[str]) -> Path:
    """Write a table as CSV or Parquet, by the suffix of the path, whole or not at all.

    Args:
        table: the rows.
        path: a local file ending in ``.csv`` or ``.parquet``; an existing file is replaced.

    Returns:
        The path written.

    Raises:
        UsageError: the suffix names no format that is written, the folder is missing, or a column cannot stand in a CSV file.
        StorageError: the disk is full, the folder is not writable or went away; nothing is left behind.
    """
    target = check_output(path)
    writer = _csv_writer(table, target) if target.suffix.lower() == ".csv" else _parquet_writer(table)
    with replacing(target) as stream:
        writer(stream)
    return target


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    Raises:
        StorageError: the disk is full, the folder is missing or not writable.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _mapped(path):
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                with suppress(FileNotFoundError):
                    os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
                yield stream
                stream.flush()
                os.fsync(descriptor)
            temporary.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError("data.disk-full", file=str(path), folder=str(path.parent)) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError("data.output-not-writable", file=str(path), folder=str(path.parent)) from None
        if error.errno == errno.ENOENT:
            raise StorageError("data.output-folder-missing", file=str(path), folder=str(path.parent)) from None
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StorageError("data.output-failed", file=str(path), reason=reason) from None


def _parquet_writer(table: pa.Table) -> Callable[[BinaryIO], None]:
    import pyarrow.parquet  # a target is checked before anything is loaded, and who writes CSV does not wait for this

    return lambda stream: pyarrow.parquet.write_table(table, stream, compression="zstd")


def _csv_writer(table: pa.Table, target: Path) -> Callable[[BinaryIO], None]:
    import pyarrow as pa
    import pyarrow.csv

    from psc.data.columns import shown_name

    columns = []
    for name, column in zip(table.column_names, table.columns):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type) or pa.types.is_duration(column.type) or pa.types.is_interval(column.type):
            raise UsageError("data.output-column-type", file=str(target), column=shown_name(name), type=str(column.type))
        columns.append(column)
    plain = pa.table(columns, names=table.column_names)
    options = pyarrow.csv.WriteOptions(batch_size=_CSV_ROWS_A_BATCH)
    return lambda stream: pyarrow.csv.write_csv(plain, stream, write_options=options)
