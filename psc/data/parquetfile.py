"""Parquet files, with damage told apart from a wrong column."""

from __future__ import annotations

from collections.abc import Sequence

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
    import pyarrow.parquet  # who reads CSV does not wait for it to load

    with opened(ref) as stream:
        if not stream.read(1):
            raise DataError("data.file-empty", file=ref.name)
        stream.seek(0)
        try:
            file = pyarrow.parquet.ParquetFile(stream)
            wanted = choose_columns(file.schema_arrow.names, columns, ref.name)
            table = plain_types(file.read(columns=wanted).select(wanted))
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise DataError("data.parquet-damaged", file=ref.name) from None
    check_cells(table, ref.name)
    return table, Part(ref.name, table.num_rows)
