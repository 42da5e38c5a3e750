"""Group columns: labels of every type, tuples of several columns, and every reason why a table cannot be grouped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.data.groups import GROUP_COLUMNS_MAX, Labels, group_labels, group_rows
from psc.data.keys import KeyUse, prepare_keys
from psc.data.source import as_source
from psc.errors import DataError, UsageError
from psc.types import GROUPS_MAX
from tests.homes import code_of
from tests.hostile_text import HIDDEN


def group(
    table: dict[str, Any], columns: Sequence[str], keys: Sequence[int] | None = None, rows: Sequence[int] | None = None
) -> tuple[Labels, list[int]]:
    arrow = pa.table(table)
    at = np.arange(arrow.num_rows) if rows is None else np.array(rows, np.int64)
    of_row = np.arange(len(at), dtype=np.uint32) if keys is None else np.array(keys, np.uint32)
    labels, index = group_labels(arrow, columns, at, of_row, len(set(of_row.tolist())))
    assert index.dtype == np.int32
    return labels, index.tolist()


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["b", "a", "b"], ("a", "b", (1, 0, 1))),
        (["上海", "杭州", "上海"], ("上海", "杭州", (0, 1, 0))),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b", (1, 0, 1))),
        (pa.array(["b", "a", "b"], pa.string_view()), ("a", "b", (1, 0, 1))),
        ([10, 9, 10], ("10", "9", (0, 1, 0))),
        ([1.0, -2.0, 1.0], ("-2", "1", (1, 0, 1))),
        ([Decimal("1.00"), Decimal("2.00"), Decimal("1.00")], ("1", "2", (0, 1, 0))),
        ([True, False, True], ("false", "true", (1, 0, 1))),
        ([date(2026, 11, 21), date(2025, 1, 2), date(2026, 11, 21)], ("2025-01-02", "2026-11-21", (1, 0, 1))),
        ([datetime(2026, 11, 21), datetime(2025, 1, 2), datetime(2026, 11, 21)], ("2025-01-02", "2026-11-21", (1, 0, 1))),
        ([" a", "a", " a"], (" a", "a", (0, 1, 0))),
    ],
)
def test_labels_of_every_type(cells: Any, labels: tuple[Any, ...]) -> None:
    assert group({"c": cells}, ["c"]) == (tuple((label,) for label in labels[:2]), list(labels[2]))


def test_several_columns_make_tuples_in_their_order() -> None:
    table = {"c": ["b", "a", "b", "a"], "n": [2, 10, 1, 10]}
    assert group(table, ["c", "n"]) == ((("a", "10"), ("b", "1"), ("b", "2")), [2, 0, 1, 0])
    assert group(table, ["n", "c"]) == ((("1", "b"), ("10", "a"), ("2", "b")), [2, 1, 0, 1])
    assert group(table, []) == (((),), [0, 0, 0, 0])
    assert group({"c": pa.array([], pa.string())}, ["c"]) == ((), [])
    assert group({"c": pa.array([], pa.string())}, []) == (((),), [])


def test_only_rows_with_a_key_count() -> None:
    table = {"c": ["x", None, "a", "b", "a"]}
    assert group(table, ["c"], keys=[1, 0, 1], rows=[2, 3, 4]) == ((("a",), ("b",)), [1, 0])
    error = code_of(DataError, lambda: group(table, ["c"]))
    assert (error.code, error.fields["row"], error.fields["count"]) == ("data.group-null", 2, 1)


cells = st.sampled_from(["", "a", "b", "ab", "B", "1", "é", "上海", "~"]).map(lambda text: text or "z")


@given(st.lists(st.tuples(cells, st.integers(-3, 3), st.booleans()), max_size=30), st.data())
def test_any_grouping_is_pythons(of_keys: list[tuple[str, int, bool]], data: st.DataObject) -> None:
    """Keys with one to several rows each, in any order."""
    keys = [key for key in range(len(of_keys)) for _ in range(data.draw(st.integers(1, 3)))]
    keys = data.draw(st.permutations(keys))
    names = ("c", "n", "t")
    kinds = (pa.string(), pa.int32(), pa.bool_())
    table = {name: pa.array([of_keys[key][i] for key in keys], kinds[i]) for i, name in enumerate(names)}
    columns = data.draw(st.permutations(names).flatmap(lambda order: st.sampled_from([order[:n] for n in range(4)])))
    shown = [tuple(str(of_keys[key][names.index(c)]).replace("True", "true").replace("False", "false") for c in columns)
             for key in range(len(of_keys))]  # fmt: skip
    labels, index = group(table, columns, keys=keys)
    assert list(labels) == (sorted(set(shown)) if columns else [()])
    assert [labels[number] for number in index] == shown


@pytest.mark.parametrize(
    ("column", "code", "row", "count"),
    [
        (pa.array(["a", None, "", " "]), "group-null", 2, 3),
        (pa.array([1.0, None, float("nan")]), "group-null", 2, 2),
        (pa.nulls(2), "group-null", 1, 2),
        (pa.array([1.0, 2.5, 0.5, 2.5]), "group-cell", 2, 3),
        (pa.array([1.0, 2.0**60]), "group-cell", 2, 1),
        (pa.array([Decimal("1.5")]), "group-cell", 1, 1),
        (pa.array([datetime(2026, 1, 1), datetime(2026, 1, 1, 12), None]), "group-cell", 2, 1),
        (pa.array([0, 10**7], pa.date32()), "group-cell", 2, 1),
        (pa.array(["a", "x" * 64, "x" * 65, "上" * 22]), "group-label-long", 3, 2),
    ],
)
def test_a_cell_that_is_no_label_is_named(column: pa.Array, code: str, row: int, count: int) -> None:
    error = code_of(DataError, lambda: group({"c": column}, ["c"]))
    assert (error.code, error.fields["row"], error.fields["count"], error.fields["column"]) == (f"data.{code}", row, count, "c")


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_labels_hold_nothing_hidden(hidden: str) -> None:
    error = code_of(DataError, lambda: group({"c": ["a", f"x{hidden}y"]}, ["c"]))
    assert (error.code, error.fields["row"]) == ("data.group-not-plain", 2)


def test_types_without_labels() -> None:
    for column in (pa.array([b"1"]), pa.array([[1]]), pa.array([1], pa.time32("s")), pa.array([{"a": 1}])):
        assert code_of(DataError, lambda column=column: group({"c": column}, ["c"])).code == "data.group-column-type"
    assert code_of(DataError, lambda: group({"c": [1]}, ["d"])).code == "data.column-missing"


def test_too_many_groups_are_refused_of_one_column_and_of_several() -> None:
    most = [f"{n:04d}" for n in range(GROUPS_MAX)]
    assert len(group({"c": most}, ["c"])[0]) == GROUPS_MAX
    for cells in ([*most, "x"], [str(n) for n in range(10_000)]):
        error = code_of(DataError, lambda cells=cells: group({"c": cells}, ["c"]))
        assert (error.code, error.fields["count"], error.fields["limit"]) == ("data.groups-many", len(cells), GROUPS_MAX)
    table = {"c": [n // 33 for n in range(33 * 33)], "d": [n % 33 for n in range(33 * 33)]}
    error = code_of(DataError, lambda: group(table, ["c", "d"]))
    assert (error.code, error.fields["columns"], error.fields["count"]) == ("data.groups-many", "c, d", 33 * 33)
    assert len(group({name: cells[:1000] for name, cells in table.items()}, ["c", "d"])[0]) == 1000


def test_columns_are_few_and_each_once() -> None:
    for columns in (["c", "c"], [f"c{n}" for n in range(GROUP_COLUMNS_MAX + 1)]):
        assert code_of(UsageError, lambda columns=columns: group({"c": [1]}, columns)).code == "data.group-columns"


def test_a_key_in_two_groups_is_named_with_its_key_masked() -> None:
    table = pa.table(
        {
            "mobile": ["13800138000", "13800138001", "13800138000", "13800138001", "13800138000"],
            "mail": ["anna@qq.com", "bert@qq.com", "anna@qq.com", "bert@qq.com", "anna@qq.com"],
            "city": ["杭州", "上海", "杭州", "北京", "上海"],
        }
    )
    uses = [KeyUse("phone", "mobile", "phone"), KeyUse("mail", "mail", "email")]
    keyed = prepare_keys(as_source(table), uses)
    error = code_of(
        DataError,
        lambda: group_labels(table, ["city"], keyed.row_of, keyed.group_of_row, keyed.key_count, uses=uses),
    )
    assert (error.code, error.fields["row"], error.fields["count"]) == ("data.group-not-one", 4, 2)
    assert error.fields["key"] == "phone 138****8001, mail b****@qq.com"
    assert "13800138001" not in str(error)


def test_nulls_may_be_let_pass() -> None:
    found = group_rows(pa.table({"c": ["b", None, "", "a"]}), "c", np.arange(4), nulls=True)
    assert (found.labels, found.of_row.tolist()) == (("a", "b"), [1, -1, -1, 0])
    first, conflicts = found.of_keys(np.array([0, 0, 1, 2], np.uint32), 3)
    assert (first.tolist(), conflicts.tolist()) == ([1, -1, 0], [1])
