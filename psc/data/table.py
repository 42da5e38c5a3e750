"""Tables in: files, folders, URLs and anything with an Arrow stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from psc.data.ahead import ReadAhead
from psc.data.columns import check_header, choose_columns, shown_name
from psc.data.csvfile import read_csv
from psc.data.files import FileRef, find_files, shown
from psc.data.parquetfile import read_parquet
from psc.data.source import Part, Place, Source, check_cells, plain_types
from psc.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Part", "Place", "Source", "load"]


def load(source: object, columns: Sequence[str] | None = None) -> Source:
    """Read a table.

    Args:
        source: a path or URL (``.csv``, ``.tsv``, ``.parquet``, a folder of such, gzip for text), or an object: a pandas or
            polars frame, a pyarrow table, or anything else with ``__arrow_c_stream__``. A URL is any that fsspec knows. A
            ``ReadAhead`` is waited for.
        columns: the columns to read, in this order; None reads all.

    Returns:
        The table and where its rows came from. CSV columns are all text; other formats keep their types.

    Raises:
        DataError: with the file and, where there is one, the line, byte or column; see ``psc.texts.data``. A table of 0 rows is
            legal here (a header alone); an empty file is not.
    """
    if isinstance(source, ReadAhead):
        source = source.result()
    if isinstance(source, Source):
        wanted = choose_columns(source.table.column_names, columns, source.name)
        return Source(source.table.select(wanted), source.name, source.parts)
    if isinstance(source, (str, os.PathLike)):
        return _load_path(source, columns)
    if _is_pandas(source):
        return _load_object(_from_pandas(cast("pd.DataFrame", source), columns), columns, "pandas.DataFrame")
    name = f"{type(source).__module__.split('.')[0]}.{type(source).__name__}"
    if hasattr(source, "__arrow_c_stream__"):
        try:
            table = pa.table(source)
        except (pa.ArrowException, TypeError, ValueError, OSError) as error:
            raise DataError("data.stream-failed", type=name, reason=type(error).__name__) from None
        return _load_object(table, columns, name)
    raise DataError("data.source-unsupported", type=name)


def _load_object(table: pa.Table, columns: Sequence[str] | None, name: str) -> Source:
    wanted = choose_columns(table.column_names, columns, name)
    table = plain_types(table.select(wanted))
    check_cells(table, name)
    return Source(table, name, (Part(name, table.num_rows),))


# --- paths ---------------------------------------------------------------------------------------------------------


def _load_path(path: str | os.PathLike[str], columns: Sequence[str] | None) -> Source:
    files = find_files(path)
    name = shown(os.fsdecode(path))
    partitions = list(files[0].partitions)
    tables, parts = [], []
    for ref in files:
        in_file = None if columns is None else [column for column in columns if column not in partitions]
        table, part = read_csv(ref, in_file) if ref.format != "parquet" else read_parquet(ref, in_file)
        tables.append(_with_partitions(table, ref, columns))
        parts.append(part)
    return Source(_concatenated(tables, files), name, tuple(parts))


def _with_partitions(table: pa.Table, ref: FileRef, columns: Sequence[str] | None) -> pa.Table:
    for column, value in ref.partitions.items():
        if columns is not None and column not in columns:
            continue
        if column in table.column_names:
            raise DataError("data.column-twice", file=ref.name, column=column, count=2)
        cells = pa.array([value], pa.large_string()).take(pa.array(np.zeros(table.num_rows, np.int64)))
        table = table.append_column(column, cells)
    return table if columns is None else table.select(list(dict.fromkeys(columns)))


def _concatenated(tables: list[pa.Table], files: list[FileRef]) -> pa.Table:
    first = tables[0]
    for table, ref in zip(tables[1:], files[1:]):
        for column in set(table.column_names) ^ set(first.column_names):
            check_header(table.column_names, ref.name)
            check_header(first.column_names, files[0].name)
            lacking, having = (ref, files[0]) if column in first.column_names else (files[0], ref)
            raise DataError("data.folder-columns", file=lacking.name, column=column, other=having.name)
        for column in first.column_names:
            if not _compatible(first.schema.field(column).type, table.schema.field(column).type):
                types = {"one": str(first.schema.field(column).type), "two": str(table.schema.field(column).type)}
                raise DataError("data.folder-types", file=ref.name, column=shown_name(column), other=files[0].name, **types)
    try:
        merged: pa.Table = pa.concat_tables([table.select(first.column_names) for table in tables], promote_options="permissive")
    except pa.ArrowException:
        raise DataError("data.folder-types-mixed", file=files[0].name) from None
    return merged


def _compatible(one: pa.DataType, two: pa.DataType) -> bool:
    """Whether rows of both types may stand in one column without a number losing digits."""
    if one == two or pa.types.is_null(one) or pa.types.is_null(two):
        return True
    return any(test(one) and test(two) for test in (pa.types.is_integer, pa.types.is_floating))


# --- pandas --------------------------------------------------------------------------------------------------------


def _is_pandas(source: object) -> bool:
    # Who passes a frame has imported pandas; for a file nobody waits for it to load.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def _from_pandas(frame: pd.DataFrame, columns: Sequence[str] | None) -> pa.Table:
    names = [str(name) for name in frame.columns]
    wanted = choose_columns(names, columns, "pandas.DataFrame")
    arrays = [_pandas_column(frame.iloc[:, names.index(name)], name) for name in wanted]
    return pa.table(arrays, names=wanted)


def _pandas_column(series: Any, name: str) -> pa.Array:
    try:
        array = pa.array(series, from_pandas=True)
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _mixed_column(series, name)


def _mixed_column(series: Any, name: str) -> pa.Array:
    """Read a column of Python objects of several types, as Excel sheets give them: text and numbers side by side."""
    import pandas as pd

    cells: list[str | None] = []
    for row, cell in enumerate(series.to_numpy(dtype=object), start=1):
        if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
            cells.append(None)
        elif isinstance(cell, str):
            cells.append(cell)
        elif isinstance(cell, (int, np.integer)) and not isinstance(cell, (bool, np.bool_)):
            cells.append(str(int(cell)))
        elif isinstance(cell, (float, np.floating)):
            number = float(cell)
            cells.append(str(int(number)) if number.is_integer() and abs(number) <= 2**53 else repr(number))
        else:
            place = {"column": shown_name(name), "row": row}
            raise DataError("data.cell-type", file="pandas.DataFrame", type=type(cell).__name__, **place)
    try:
        return pa.array(cells, pa.large_string())
    except UnicodeEncodeError:
        raise DataError("data.column-damaged", file="pandas.DataFrame", column=shown_name(name)) from None
