"""Parquet files, with damage told apart from a wrong column."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pyarrow as pa

from psc.data.columns import choose_columns
from psc.data.files import FileRef, opened
from psc.data.source import Part, check_cells, plain_types
from psc.errors import DataError

__all__ = ["read_parquet"]


def read_parquet(ref: FileRef, columns: Sequence[str] | None) -> tuple[pa.Table, Part]:
    """Read a Parquet file.

    Args:
        ref: the file.
        columns: the columns to read, or None for all.

    Returns:
        The table, texts as ``large_string``, and its part.

    Raises:
        DataError: the file is missing, empty, no Parquet file or damaged, or has not the columns asked for.
    """
    with opened(ref) as stream:
        if not stream.read(1):
            raise DataError("data.file-empty", file=ref.name)
        stream.seek(0)
        try:
            with pa.OSFile(ref.path) if ref.plain else nullcontext(stream) as source:
                groups = _read_groups(source, columns, ref)
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise DataError("data.parquet-damaged", file=ref.name) from None
    table = pa.concat_tables([group for group, _ in groups])
    if not all(sound for _, sound in groups):
        check_cells(table, ref.name)  # says in which row of the whole file
    return table, Part(ref.name, table.num_rows)


def _read_groups(source: Any, columns: Sequence[str] | None, ref: FileRef) -> list[tuple[pa.Table, bool]]:
    """Read the row groups of a local file side by side, and say of each whether its cells are sound; else all as one."""
    import pyarrow.parquet  # who reads CSV does not wait for it to load

    file = pyarrow.parquet.ParquetFile(source)
    wanted = choose_columns(file.schema_arrow.names, columns, ref.name)
    threads = min(os.cpu_count() or 1, file.num_row_groups) if ref.plain else 1
    if threads <= 1:
        return [_judged(file.read(columns=wanted), wanted, ref.name)]

    def read(thread: int) -> list[tuple[pa.Table, bool]]:
        own = pyarrow.parquet.ParquetFile(source, metadata=file.metadata)  # one for each thread; they may share the source
        groups = range(file.num_row_groups * thread // threads, file.num_row_groups * (thread + 1) // threads)
        return [_judged(own.read_row_group(group, wanted, use_threads=False), wanted, ref.name) for group in groups]

    with ThreadPoolExecutor(threads, "psc-parquet") as pool:
        return [found for of_thread in pool.map(read, range(threads)) for found in of_thread]


def _judged(table: pa.Table, wanted: Sequence[str], name: str) -> tuple[pa.Table, bool]:
    plain = plain_types(table.select(wanted))
    try:
        check_cells(plain, name)
    except DataError:
        return plain, False
    return plain, True
