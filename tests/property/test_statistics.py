"""What customers contribute adds up to what pandas computes on the plain rows, for any table, exactly."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from psc.data.values import ENTRY_LIMIT, ValueUse, entry_bound, read_values, statistic_vectors
from psc.types import VALUE_LIMIT, Statistic, ValueColumn

ROWS_BOUND = 4


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[int], list[int | None], ValueColumn]:
    """Draw the key of each row, the value of each row in units, and the column; values are often the ends of the range."""
    keys = [key for key in range(draw(st.integers(0, 8))) for _ in range(draw(st.integers(1, ROWS_BOUND)))]
    keys = list(draw(st.permutations(keys)))
    # Half of the ranges are as wide as squares over all rows of a customer allow.
    most = draw(st.sampled_from([0, 1, 7, 10**6, 759_250_124]) | st.integers(1, 759_250_124))
    low, high = sorted((draw(st.integers(-most, most)), draw(st.sampled_from([-most, most]))))
    cell = st.none() | st.sampled_from([low, high]) | st.integers(low, high)
    scale = draw(st.integers(0, 9))
    return keys, [draw(cell) for _ in keys], ValueColumn(name="v", scale=scale, low=low, high=high)


FORMS: dict[str, Callable[[list[int | None], int], pa.Array]] = {
    "decimal": lambda units, scale: pa.array(
        [None if u is None else Decimal(u).scaleb(-scale) for u in units], pa.decimal128(30, 12)
    ),
    "text": lambda units, scale: pa.array([None if u is None else str(Decimal(u).scaleb(-scale)) for u in units], pa.string()),
    "float": lambda units, scale: pa.array(
        [None if u is None else float(Decimal(u).scaleb(-scale)) for u in units], pa.float64()
    ),
}


@given(tables(), st.sampled_from(sorted(FORMS)), st.integers(), st.integers(1, 10**6))
def test_contributions_are_what_pandas_groups(
    table: tuple[list[int], list[int | None], ValueColumn], form: str, edge: int, width: int
) -> None:
    keys, units, column = table
    low = column.low + edge % (column.high - column.low + 1)
    edges = {"low": low, "high": low + width}
    read = read_values(
        pa.table({"v": FORMS[form](units, column.scale)}), np.arange(len(keys)), ValueUse(column, "v", whole=False)
    )
    assert [None if null else unit for unit, null in zip(read.units.tolist(), read.nulls.tolist())] == units

    frame = pd.DataFrame({"key": pd.Series(keys, dtype="int64"), "v": pd.Series(units, dtype=object)})
    rows = frame.groupby("key")["v"]
    present = frame.dropna().astype({"v": object})
    totals = present.groupby("key")["v"].sum()  # customers with a value; whole numbers of Python, exact
    count = len(frame.groupby("key"))

    def per_key(found: Any) -> list[int]:
        series = pd.Series(found, dtype=object)
        return [int(series.get(key, 0)) for key in range(count)]

    def inside(values: Any) -> Any:
        return values.map(lambda value: edges["low"] <= value < edges["high"])

    expected = {
        _statistic("count", column=None): per_key(rows.size()),
        _statistic("count"): per_key(rows.count()),
        _statistic("count", "customer"): per_key(rows.count() > 0),
        _statistic("sum"): per_key(totals),
        _statistic("sum", "customer"): per_key(totals),
        _statistic("squares"): per_key(present.assign(v=present.v.map(lambda v: v * v)).groupby("key")["v"].sum()),
        _statistic("squares", "customer"): per_key(totals.map(lambda v: v * v)),
        _statistic("bin", **edges): per_key(inside(present.v).groupby(present.key).sum()),
        _statistic("bin", "customer", **edges): per_key(inside(totals)),
    }
    vectors = statistic_vectors(list(expected), {"v": read}, np.array(keys, np.uint32), count, ROWS_BOUND)
    for statistic, found in zip(expected, vectors.T.tolist(), strict=True):
        assert found == expected[statistic], statistic
        bound = entry_bound(statistic, column if statistic.column else None, ROWS_BOUND)
        assert bound < ENTRY_LIMIT
        assert all(abs(entry) <= bound for entry in found)


@given(st.lists(st.integers(1 - VALUE_LIMIT, VALUE_LIMIT - 1), min_size=1, max_size=2))
def test_sums_at_the_ends_of_64_bits(units: list[int]) -> None:
    column = ValueColumn(name="v", scale=0, low=1 - VALUE_LIMIT, high=VALUE_LIMIT - 1)
    read = read_values(pa.table({"v": units}), np.arange(len(units)), ValueUse(column, "v", whole=True))
    key = np.zeros(len(units), np.uint32)
    assert statistic_vectors([_statistic("sum")], {"v": read}, key, 1, 2)[0, 0] == sum(units)


def _statistic(kind: str, per: str = "row", column: str | None = "v", **edges: int) -> Statistic:
    return Statistic.model_validate({"kind": kind, "per": per, "column": column, **edges})
