"""Value columns: every type of cell as exact units, every refusal by its own code, and what a customer contributes."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.data.table import load
from psc.data.units import ValueClass
from psc.data.values import (
    ENTRY_LIMIT,
    Values,
    ValueUse,
    entry_bound,
    own_weights,
    read_values,
    scan_values,
    statistic_vectors,
)
from psc.errors import DataError, UsageError
from psc.types import VALUE_LIMIT, Statistic, ValueColumn
from tests.homes import code_of

WIDE = (1 - VALUE_LIMIT, VALUE_LIMIT - 1)


def use(scale: int = 2, span: tuple[int, int] = WIDE, *, whole: bool = False, clip: bool = False) -> ValueUse:
    return ValueUse(ValueColumn(name="v", scale=scale, low=span[0], high=span[1]), "v", whole, clip)


def read(cells: Any, how: ValueUse, kind: pa.DataType | None = None) -> list[int | None]:
    table = pa.table({"v": cells if isinstance(cells, pa.Array) else pa.array(cells, kind)})
    found = read_values(table, np.arange(table.num_rows), how)
    assert not found.units[found.nulls].any()
    return [None if null else int(unit) for unit, null in zip(found.units, found.nulls)]


def rounded(text: str, scale: int) -> int:
    return int(Decimal(text).scaleb(scale).to_integral_value(ROUND_HALF_EVEN))


# --- types of cells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, -2, None, 0], pa.int8()),
        ([1, -2, None, 0], pa.int64()),
        ([1.0, -2.0, None, 0.0], pa.float64()),
        ([1.0, -2.0, float("nan"), -0.0], pa.float64()),
        ([1.0, -2.0, None, 0.0], pa.float32()),
        (["1", "-2", None, "0"], pa.string()),
        (["1", "-2", "", "0"], pa.large_string()),
        ([" 1 ", "-2.000", "  ", "+0"], pa.large_string()),
        (["1e0", "-0.2E1", None, "0e5"], pa.large_string()),
        (["1.", "-2.", None, ".0"], pa.large_string()),
        ([Decimal(1), Decimal(-2), None, Decimal(0)], pa.decimal128(5, 0)),
        ([Decimal("1.00"), Decimal("-2.00"), None, Decimal("0.00")], pa.decimal128(20, 2)),
        ([Decimal("1.000"), Decimal("-2.000"), None, Decimal(0)], pa.decimal256(70, 40)),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_cells_of_every_type_have_one_value(cells: list[Any], kind: pa.DataType, *, whole: bool) -> None:
    assert read(cells, use(2, whole=whole), kind) == [100, -200, None, 0]
    assert read(cells, use(0, whole=whole), kind) == [1, -2, None, 0]
    if kind != pa.float32() or whole:  # a single float has no nine decimals
        assert read(cells, use(9, whole=whole), kind) == [10**9, -2 * 10**9, None, 0]


def test_other_types() -> None:
    assert read([True, False, None], use(1)) == [10, 0, None]
    assert read([2**63 - 1, 5], use(0, (0, 9), clip=True), pa.uint64()) == [9, 5]
    assert read([2**64 - 1], use(0, (0, 9), clip=True), pa.uint64()) == [9]
    assert read(pa.array(["7", None, "8"]).dictionary_encode(), use(0)) == [7, None, 8]
    assert read(pa.nulls(2), use(0)) == [None, None]
    assert read([], use(3), pa.float64()) == read([], use(3), pa.large_string()) == read([], use(3), pa.decimal128(9, 1)) == []
    for column in (pa.array([b"1"]), pa.array([[1]]), pa.array([0], pa.date32()), pa.array([1.0], pa.float16())):
        error = code_of(DataError, lambda column=column: read(column, use(0)))
        assert (error.code, error.fields["column"]) == ("data.value-column-type", "v")
    assert code_of(DataError, lambda: read_values(pa.table({"w": [1]}), [0], use())).code == "data.column-missing"


def test_the_rows_are_those_asked_for_in_their_order() -> None:
    table = pa.table({"v": pa.chunked_array([[1, 2], [3], [None, 5]], pa.int64())})
    found = read_values(table, [4, 0, 3, 0], use(0))
    assert found.units.tolist() == [5, 1, 0, 1]
    assert found.nulls.tolist() == [False, False, True, False]


# --- rounding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scale", "units"),
    [
        ("0.285", 2, 28),  # the float is below the tie, its name is on it: to even
        ("0.295", 2, 30),  # the float is below the tie as well
        ("1.005", 2, 100),
        ("2.675", 2, 268),
        ("-2.675", 2, -268),
        ("0.5", 0, 0),
        ("1.5", 0, 2),
        ("-0.5", 0, 0),
        ("-1.5", 0, -2),
        ("0.15", 1, 2),
        ("0.25", 1, 2),
        ("1e-10", 9, 0),
        ("5e-10", 9, 0),
        ("1.5e-9", 9, 2),
        ("0.1", 9, 10**8),
        ("4503599627370495.5", 0, 4503599627370496),
        ("99999999999999.985", 2, 9999999999999998),
        ("100000000000.0005", 3, 100000000000000),
    ],
)
def test_decimals_are_rounded_half_to_even_by_what_is_written(text: str, scale: int, units: int) -> None:
    assert rounded(text, scale) == units
    assert read([text], use(scale)) == [units]
    if abs(units) < 2**52:
        assert read([float(text)], use(scale)) == [units]
    assert read([Decimal(text)], use(scale), pa.decimal128(38, 17)) == [units]


def test_a_single_float_is_what_its_own_shortest_name_says() -> None:
    assert read(np.array([0.1, 2.675, 16777.5], np.float32).tolist(), use(2), pa.float32()) == [10, 268, 1677750]
    for cell, whole in ((100_000.0, False), (2.0**25, True)):  # ten million hundredths are more than 24 bits tell apart
        error = code_of(DataError, lambda cell=cell, whole=whole: read([cell], use(2, whole=whole), pa.float32()))
        assert error.code == "data.value-imprecise"


@given(st.lists(st.floats(-(2.0**52), 2.0**52, allow_nan=False), max_size=20), st.integers(0, 9))
def test_any_float_is_rounded_as_its_name(cells: list[float], scale: int) -> None:
    cells = [cell for cell in cells if abs(cell) * 10**scale <= 2**52]
    assert read(cells, use(scale), pa.float64()) == [rounded(repr(cell), scale) for cell in cells]


@given(st.lists(st.integers(0, 10**15), max_size=20), st.integers(0, 9), st.sampled_from([-1, 0, 1]), st.booleans())
def test_floats_at_and_beside_a_tie_are_rounded_as_their_names(halves: list[int], scale: int, step: int, negative: bool) -> None:
    ties = np.array([(2 * half + 1) * 5 / 10 ** (scale + 1) for half in halves])
    beside = np.nextafter(ties, np.inf * step) if step else ties
    cells = [-cell if negative else cell for cell in beside.tolist() if cell * 10**scale <= 2**52]
    assert read(cells, use(scale), pa.float64()) == [rounded(repr(cell), scale) for cell in cells]


decimals = st.decimals(-(10**30), 10**30, allow_nan=False, allow_infinity=False, places=12)


@given(st.lists(decimals | st.decimals(-1000, 1000, allow_nan=False, places=4), max_size=20), st.integers(0, 9))
def test_any_decimal_and_text_is_rounded_and_clipped(cells: list[Decimal], scale: int) -> None:
    how = use(scale, (-(10**15), 10**15), clip=True)
    expected = [max(-(10**15), min(10**15, rounded(str(cell), scale))) for cell in cells]
    assert read([str(cell) for cell in cells], how, pa.string()) == expected
    assert read([f"{cell:f}" for cell in cells], how, pa.string()) == expected
    assert read(cells, how, pa.decimal128(38, 6) if not cells else None) == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.integers(0, 9))
def test_any_whole_number_is_scaled_exactly_or_outside(cells: list[int], scale: int) -> None:
    expected = [max(WIDE[0], min(WIDE[1], cell * 10**scale)) for cell in cells]
    assert read(cells, use(scale, clip=True), pa.int64()) == expected
    assert read([str(cell) for cell in cells], use(scale, clip=True, whole=True), pa.string()) == expected


def test_digits_beyond_the_widest_decimal() -> None:
    cells = ["9" * 80, "-" + "9" * 80, "0." + "0" * 60 + "1", "1" + "0" * 39, "12.5" + "0" * 50, "1e-400", "1e400", "2.5e0"]
    assert read(cells, use(0, (-9, 99), clip=True)) == [99, -9, 0, 99, 12, 0, 99, 2]
    with pytest.raises(DataError) as caught:
        read(cells, use(0, (-9, 99), clip=True, whole=True))
    assert (caught.value.code, caught.value.fields["row"], caught.value.fields["count"]) == ("data.value-not-whole", 3, 4)


# --- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "how", "code", "row", "count"),
    [
        (["1", "x", "1,234", "¥5", "0x10", "1_0", "１", "nan", "inf", "--1", "1.2.3", "1e"], use(), "not-number", 2, 11),
        ([1.0, float("inf"), float("-inf")], use(clip=True), "not-number", 2, 2),
        ([1.0, 2.5, -0.5], use(whole=True), "not-whole", 2, 2),
        (["1", "2.50", "3.0"], use(0, whole=True), "not-whole", 2, 1),
        (["1", "2e-1"], use(0, whole=True), "not-whole", 2, 1),
        ([Decimal("1.0"), Decimal("2.1")], use(0, whole=True), "not-whole", 2, 1),
        ([1.0, 2.0**53 * 0.01, -(2.0**50)], use(), "imprecise", 2, 2),
        ([1.0, 2.0**53 + 2], use(0, whole=True), "imprecise", 2, 1),
        ([0, 5, 6, -1, 7], use(0, (0, 5)), "range", 3, 3),
        (["0.00", "0.05", "0.06"], use(2, (0, 5)), "range", 3, 1),
        ([0.0, 1e300, -1e300], use(2, (0, 5)), "range", 2, 2),
        ([Decimal("0.05"), Decimal("-0.01")], use(2, (0, 5)), "range", 2, 1),
    ],
)
def test_a_bad_cell_has_its_code_its_row_and_the_number_of_such(
    cells: list[Any], how: ValueUse, code: str, row: int, count: int
) -> None:
    error = code_of(DataError, lambda: read(cells, how))
    assert (error.code, error.fields["row"], error.fields["count"]) == (f"data.value-{code}", row, count)
    assert error.fields["column"] == "v"


def test_no_error_shows_the_cell_and_each_names_its_file(tmp_path: Path) -> None:
    for name, cell in (("a.csv", "5"), ("b.csv", "987654")):
        (tmp_path / name).write_text(f"v\n1\n{cell}\n")
    source = load(tmp_path)
    error = code_of(DataError, lambda: read_values(source, np.arange(4), use(0, (0, 9))))
    assert (str(error.fields["file"]).endswith("b.csv"), error.fields["row"]) == (True, 2)
    assert "987654" not in str(error)
    assert (error.fields["low"], error.fields["high"]) == ("0", "9")


def test_clipped_cells_are_the_end_of_the_range_and_counted() -> None:
    table = pa.table({"v": [-5, 0, 3, 9, None, 10**18]})
    found = read_values(table, np.arange(6), use(2, (-100, 900), clip=True))
    assert found.units.tolist() == [-100, 0, 300, 900, 0, 900]
    assert found.clipped == 2
    floats = read_values(pa.table({"v": [1e300, -1e17, 1.0]}), np.arange(3), use(2, (-100, 900), clip=True))
    assert (floats.units.tolist(), floats.clipped) == ([900, -100, 100], 2)


def test_a_slice_of_a_column_is_read_where_it_begins() -> None:
    cells = pa.array([Decimal("9.99"), Decimal("-1.25"), None, Decimal("1.35")])
    for column in (cells, cells.cast(pa.decimal256(60, 30)), cells.cast(pa.float64()), cells.cast(pa.large_string())):
        assert read(column.slice(1), use(1)) == [-12, None, 14]


def test_a_scan_counts_and_refuses_nothing() -> None:
    table = pa.table({"v": ["1", "x", "", "2.5", "99", "-1"]})
    found = scan_values(table, np.arange(6), use(0, (0, 9), whole=True))
    names = [ValueClass(code).name for code in found.classes]
    assert names == ["OK", "NOT_NUMBER", "NULL", "NOT_WHOLE", "ABOVE", "BELOW"]
    assert found.units.tolist() == [1, 0, 0, 0, 9, 0]
    assert found.count(ValueClass.ABOVE, ValueClass.BELOW) == 2


# --- statistics ------------------------------------------------------------------------------------------------


def statistic(kind: str, per: str = "row", column: str | None = "v", **more: Any) -> Statistic:
    return Statistic.model_validate({"kind": kind, "per": per, "column": column, **more})


def values(cells: list[int | None], low: int, high: int) -> Values:
    units = np.array([cell or 0 for cell in cells], np.int64)
    return Values(ValueColumn(name="v", scale=0, low=low, high=high), units, np.array([cell is None for cell in cells], bool))


def test_each_statistic_of_an_example() -> None:
    """Three customers: 4 and -1; one null; 0, 6 and null."""
    cells = values([4, None, -1, 0, None, 6], -10, 10)
    groups = np.array([0, 1, 0, 2, 2, 2], np.uint32)
    expected = {
        statistic("count", column=None): [2, 1, 3],
        statistic("count", "customer", None): [1, 1, 1],
        statistic("count"): [2, 0, 2],
        statistic("count", "customer"): [1, 0, 1],
        statistic("sum"): [3, 0, 6],
        statistic("sum", "customer"): [3, 0, 6],
        statistic("squares"): [17, 0, 36],
        statistic("squares", "customer"): [9, 0, 36],
        statistic("bin", low=0, high=5): [1, 0, 1],
        statistic("bin", low=-1, high=0): [1, 0, 0],
        statistic("bin", "customer", low=0, high=6): [1, 0, 0],
        statistic("bin", "customer", low=0, high=7): [1, 0, 1],
        statistic("sum", weight=3): [3, 0, 6],
    }
    found = statistic_vectors(list(expected), {"v": cells}, groups, 3, 3)
    assert found.dtype == np.int64
    assert found.T.tolist() == list(expected.values())


def test_without_customers_or_statistics() -> None:
    none = np.zeros(0, np.uint32)
    assert statistic_vectors([statistic("sum")], {"v": values([], 0, 1)}, none, 0, 1).shape == (0, 1)
    assert statistic_vectors([], {}, np.zeros(2, np.uint32), 1, 2).shape == (1, 0)


M = 1 << 20


@pytest.mark.parametrize(
    ("asked", "bound"),
    [
        (statistic("count", column=None), 7),
        (statistic("count", "customer"), 1),
        (statistic("sum"), 7 * M),
        (statistic("sum", "customer"), 7 * M),
        (statistic("squares"), 7 * M * M),
        (statistic("squares", "customer"), (7 * M) ** 2),
        (statistic("bin", low=0, high=1), 7),
        (statistic("bin", "customer", low=0, high=1), 1),
    ],
)
def test_the_bound_of_an_entry_is_reached_at_the_ends_of_the_range(asked: Statistic, bound: int) -> None:
    """Seven rows at either end of the range; the bins hold what there is."""
    column = ValueColumn(name="v", scale=0, low=-M, high=M // 2)
    assert entry_bound(asked, column, 7) == bound
    asked = asked.model_copy(update={"low": -(7 * M), "high": 1}) if asked.kind == "bin" else asked
    cells = Values(column, np.full(7, -M, np.int64), np.zeros(7, bool))
    (entry,) = statistic_vectors([asked], {"v": cells}, np.zeros(7, np.uint32), 1, 7)[0].tolist()
    assert abs(entry) == bound


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (statistic("sum"), (ENTRY_LIMIT - 1) // 4),
        (statistic("squares"), 1518500249),  # its square times four is just below 2^63
        (statistic("squares", "customer"), 759250124),
        (statistic("bin", "customer", low=0, high=1), (ENTRY_LIMIT - 1) // 4),
    ],
)
def test_what_may_pass_63_bits_is_refused_and_what_cannot_is_exact(asked: Statistic, most: int) -> None:
    groups = np.zeros(4, np.uint32)
    fits = values([most] * 4, 0, most)
    entry = int(statistic_vectors([asked], {"v": fits}, groups, 1, 4)[0, 0])
    assert entry == {"sum": 4 * most, "squares": 4 * most**2 if asked.per == "row" else (4 * most) ** 2, "bin": 0}[asked.kind]
    wide = values([1] * 4, -most - 1 if asked.kind != "squares" else 0, max(most, 2**31))
    error = code_of(UsageError, lambda: statistic_vectors([asked], {"v": wide}, groups, 1, 4))
    assert (error.code, error.fields["kind"]) == ("data.statistic-too-large", asked.kind)


# --- own weights -----------------------------------------------------------------------------------------------


def weights(cells: list[Any], groups: list[int], **more: Any) -> tuple[list[int], int, int]:
    table = pa.table({"w": cells})
    keys = max(groups, default=-1) + 1
    found = own_weights(table, "w", np.arange(len(groups)), np.array(groups, np.uint32), keys, **more)
    return found.units.tolist(), found.scale, found.bound


def test_own_weights_are_summed_for_each_key() -> None:
    assert weights([3, None, -1, 4], [0, 1, 0, 2]) == ([2, 0, 4], 0, 4)
    assert weights([0.25, 0.5, -1.125], [0, 0, 1], scale=2) == ([75, -112], 2, 128)
    assert weights([1, 1], [0, 1])[2] == 1
    assert weights([None, 0], [0, 1])[2] == 1
    assert weights([5], [0])[2] == 8
    assert weights(pa.array([], pa.int64()), []) == ([], 0, 1)


def test_the_bound_of_weights_is_the_next_power_of_two() -> None:
    for sum_, bound in ((1, 1), (2, 2), (3, 4), (-4, 4), (5, 8), (2**40, 2**40), (2**40 + 1, 2**41)):
        assert weights([sum_], [0])[2] == bound


def test_weights_without_a_scale_are_whole_and_sums_stay_exact() -> None:
    assert code_of(DataError, lambda: weights([1.5], [0])).code == "data.value-not-whole"
    assert weights([2**61, 2**61], [0, 0]) == ([2**62], 0, 2**62)
    error = code_of(DataError, lambda: weights([2**61] * 4, [0] * 4))
    assert (error.code, error.fields["rows"]) == ("data.weights-too-large", 4)
    assert code_of(DataError, lambda: weights([2**62], [0])).code == "data.value-range"
