"""Objects in memory: pandas, polars, pyarrow, anything with an Arrow stream."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from psc.data.table import Source, load
from psc.errors import DataError

CELLS = ["13800138000", None, "013800138000"]


class Stream:
    """Any other library: only the protocol."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Broken:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise ValueError("13912345678 is broken")


def fails(source: object, columns: list[str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        load(source, columns)
    assert "13912345678" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        lambda data: pl.DataFrame(data).lazy().collect(),
        lambda data: Stream(pa.table(data)),
        lambda data: pa.table(data).to_batches()[0],
        lambda data: pa.table(data).to_reader(),
        lambda data: pd.DataFrame(data, dtype=object),
        lambda data: pd.DataFrame(data).convert_dtypes(),
        lambda data: pa.table({"phone": pa.array(data["phone"], pa.string_view())}),
        lambda data: pd.DataFrame({"phone": pd.Categorical(data["phone"])}),
        lambda data: pd.DataFrame({"phone": pd.array(data["phone"], dtype="string")}, index=[5, 5, 7]),
    ],
)
def test_one_table_from_anything(make) -> None:
    source = load(make({"phone": CELLS}))
    assert source.table.schema == pa.schema([("phone", pa.large_string())])
    assert source.table.column("phone").to_pylist() == CELLS
    assert source.fingerprint() == load(pa.table({"phone": CELLS})).fingerprint()


def test_names_say_what_the_object_is() -> None:
    assert load(pl.DataFrame({"a": [1]})).name == "polars.DataFrame"
    assert load(pd.DataFrame({"a": [1]})).name == "pandas.DataFrame"
    assert load(pa.table({"a": [1]})).name == "pyarrow.Table"


def test_a_source_again() -> None:
    source = load(pa.table({"a": [1], "b": [2]}))
    again = load(source, ["b"])
    assert isinstance(again, Source)
    assert again.table.column_names == ["b"]
    assert fails(source, ["c"]).code == "data.column-missing"


def test_pandas_columns_of_mixed_objects() -> None:
    frame = pd.DataFrame(
        {"phone": pd.Series(["0755-83765566", 13800138000, 13800138000.0, np.nan, None, pd.NA, 1.5, 2.0**60], dtype=object)}
    )
    cells = load(frame).table.column("phone").to_pylist()
    assert cells == ["0755-83765566", "13800138000", "13800138000", None, None, None, "1.5", repr(2.0**60)]


@pytest.mark.parametrize("cell", [True, b"x", Decimal("1"), datetime.date(2026, 1, 1), [1], {"a": 1}, object()])
def test_pandas_cells_that_are_neither_text_nor_number(cell: object) -> None:
    error = fails(pd.DataFrame({"phone": pd.Series(["x", 1, cell], dtype=object)}))
    assert (error.code, error.fields["row"], error.fields["column"]) == ("data.cell-type", 3, "phone")


def test_pandas_other_columns_do_not_matter() -> None:
    frame = pd.DataFrame({"phone": ["1"], "junk": [object()]})
    assert load(frame, ["phone"]).table.num_rows == 1


def test_pandas_names() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert fails(frame).code == "data.column-twice"
    assert load(pd.DataFrame([[1, 2]], columns=[0, "0x"]), ["0"]).table.to_pydict() == {"0": [1]}
    assert fails(frame, ["b"]).code == "data.column-missing"


def test_pandas_lone_surrogates() -> None:
    assert fails(pd.DataFrame({"a": pd.Series(["\ud800", 1], dtype=object)})).code == "data.column-damaged"


def test_empty_frames() -> None:
    assert load(pd.DataFrame({"a": pd.Series([], dtype=object)})).table.num_rows == 0
    assert load(pl.DataFrame({"a": []})).table.num_rows == 0
    assert load(pd.DataFrame()).table.num_columns == 0


@pytest.mark.parametrize("source", [None, 5, ["13800138000"], {"a": [1]}, b"in.csv", object()])
def test_what_is_no_table(source: object) -> None:
    assert fails(source).code == "data.source-unsupported"


def test_streams_that_fail() -> None:
    assert fails(Broken()).code == "data.stream-failed"
    raw = pa.array([b"ok", b"\xff"], pa.binary())
    bad = pa.table({"a": pa.Array.from_buffers(pa.string(), 2, raw.buffers())})
    error = fails(Stream(bad))
    assert (error.code, error.fields["row"]) == ("data.cell-not-utf8", 2)
