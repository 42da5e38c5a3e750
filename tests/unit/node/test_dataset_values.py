"""Datasets with values and groups: registration checks all of them, and a run gets what it asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from psc.errors import DataError, UsageError
from psc.node.datasets import add_dataset, find_dataset, get_dataset, load_dataset
from psc.node.home import Home
from psc.node.records import DatasetRecord
from psc.types import GroupColumn, Statistic, ValueColumn
from tests.homes import code_of

PHONES = [f"1380013800{n}" for n in range(4)]
TABLE: dict[str, list[Any]] = {
    "mobile": [PHONES[0], PHONES[1], PHONES[0], PHONES[2], PHONES[2], PHONES[3]],
    "order": ["a1", "b1", "a2", "c1", "c2", "d1"],
    "fee": [1.25, -0.5, 10.005, None, 99.0, 0.0],
    "items": [3, 1, 2, 4, 5, 6],
    "收件城市": ["杭州", "上海", "杭州", "杭州", "杭州", "北京"],
    "vip": [True, False, True, False, False, True],
    "status": ["new", "new", "sent", "sent", "new", "new"],
}
FEE, ITEMS = "fee:decimal:2:-10..50:clip", "items:int64:0..6"
OPTIONS: dict[str, Any] = {
    "keys": ["phone=mobile:phone"],
    "values": [FEE, ITEMS],
    "groups": ["city=收件城市", "vip"],
    "max_rows_per_key": 2,
}


def register(home: Home, folder: Path, table: dict[str, list[Any]] | None = None, **change: Any) -> DatasetRecord:
    path = folder / "orders.parquet"
    pq.write_table(pa.table(table or TABLE), path)
    return add_dataset(home, "orders", source=path, **{**OPTIONS, **change})


def statistic(kind: str, column: str | None, per: str = "row") -> Statistic:
    return Statistic.model_validate({"kind": kind, "per": per, "column": column})


def test_a_record_holds_declarations_and_counts(courier: Home, tmp_path: Path) -> None:
    record = register(courier, tmp_path)
    assert record.value_columns == (
        ValueColumn(name="fee", scale=2, low=-1000, high=5000),
        ValueColumn(name="items", scale=0, low=0, high=6),
    )
    assert [(value.type, value.clip, value.column) for value in record.values] == [
        ("decimal", True, "fee"),
        ("int64", False, "items"),
    ]
    assert [(count.name, count.nulls, count.clipped) for count in record.value_counts] == [("fee", 1, 1), ("items", 0, 0)]
    assert record.group_columns == (GroupColumn(name="city", groups=3), GroupColumn(name="vip", groups=2))
    assert record.columns == ("mobile", "fee", "items", "收件城市", "vip")
    assert get_dataset(courier, "orders") == DatasetRecord.parse(record.canonical()) == record
    with courier.store.read() as db:
        text = str(db.execute("SELECT * FROM datasets").fetchall())
    for secret in ("13800138000", "杭州", "10.005", "99.0"):
        assert secret not in text


def test_a_dataset_without_values_has_none(courier: Home, tmp_path: Path) -> None:
    record = register(courier, tmp_path, values=[], groups=[])
    assert (record.values, record.groups, record.value_counts, record.group_columns) == ((), (), (), ())
    loaded = load_dataset(courier, "orders")
    assert (loaded.labels, loaded.group_of_key.tolist(), loaded.vectors) == (((),), [0, 0, 0, 0], None)


def test_the_version_follows_values_and_groups(courier: Home, tmp_path: Path) -> None:
    versions = [
        register(courier, tmp_path, replace=True, **change).version
        for change in (
            {},
            {"values": [FEE]},
            {"values": ["fee:decimal:2:-10..51:clip", ITEMS]},
            {"values": ["fee:decimal:3:-10..50:clip", ITEMS]},
            {"values": ["fee:decimal:2:-10..99", ITEMS]},
            {"values": ["cost=fee:decimal:2:-10..50:clip", ITEMS]},
            {"groups": ["city=收件城市"]},
            {"groups": ["town=收件城市", "vip"]},
            {"values": [FEE, "items:decimal:0:0..6"]},
        )
    ]
    assert len(set(versions)) == len(versions)
    assert register(courier, tmp_path, replace=True).version == versions[0]


def test_a_run_gets_its_statistics_and_groups(courier: Home, tmp_path: Path) -> None:
    register(courier, tmp_path)
    asked = [
        statistic("sum", "fee"),
        statistic("count", None),
        statistic("count", "fee"),
        statistic("squares", "items", "customer"),
    ]
    loaded = load_dataset(courier, "orders", statistics=asked, groups=["vip", "city"])
    assert loaded.labels == (("false", "上海"), ("false", "杭州"), ("true", "北京"), ("true", "杭州"))
    assert loaded.vectors is not None
    assert loaded.vectors.dtype == np.int64
    # In the order of first appearance of the keys; 10.005 is a tie and goes to the even 10.00, 99 is clipped to 50.
    assert loaded.vectors.tolist() == [[1125, 2, 2, 25], [-50, 1, 1, 1], [5000, 2, 1, 81], [0, 1, 1, 36]]
    assert [loaded.labels[index] for index in loaded.group_of_key] == [
        ("true", "杭州"),
        ("false", "上海"),
        ("false", "杭州"),
        ("true", "北京"),
    ]
    assert "138" not in repr(loaded)


def test_csv_gives_what_parquet_gives(courier: Home, tmp_path: Path) -> None:
    register(courier, tmp_path)
    pa.csv.write_csv(pa.table(TABLE), tmp_path / "orders.csv")
    add_dataset(courier, "text", source=tmp_path / "orders.csv", **OPTIONS)
    asked = [statistic("sum", "fee"), statistic("squares", "fee"), statistic("sum", "items")]
    one, two = (load_dataset(courier, name, statistics=asked, groups=["city", "vip"]) for name in ("orders", "text"))
    assert one.vectors is not None
    assert two.vectors is not None
    assert (one.vectors == two.vectors).all()
    assert (one.labels, one.group_of_key.tolist()) == (two.labels, two.group_of_key.tolist())


def test_released_rows_and_statistics_go_together(courier: Home, tmp_path: Path) -> None:
    register(courier, tmp_path, release=["fee:float64"])
    loaded = load_dataset(courier, "orders", release=["fee"], rows_per_key=1, statistics=[statistic("count", None)])
    assert loaded.rows is not None
    assert loaded.vectors is not None
    assert (loaded.rows.rows_per_key, loaded.vectors.tolist()) == (1, [[2], [1], [2], [1]])  # the bound is for rows alone


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"statistics": [statistic("sum", "cost")]}, "node.value-not-registered"),
        ({"statistics": [statistic("sum", "status")]}, "node.value-not-registered"),
        ({"groups": ["收件城市"]}, "node.group-not-registered"),
        ({"groups": ["vip", "vip"]}, "data.group-columns"),
    ],
)
def test_what_is_not_registered_is_a_usage_error(courier: Home, tmp_path: Path, asked: dict[str, Any], code: str) -> None:
    register(courier, tmp_path)
    error = code_of(UsageError, lambda: load_dataset(courier, "orders", **asked))
    assert error.code == code


def test_a_statistic_that_may_pass_63_bits_is_refused(courier: Home, tmp_path: Path) -> None:
    register(courier, tmp_path, values=["items:int64:0..4000000000000000000"], max_rows_per_key=8)
    for kind, per in (("sum", "row"), ("squares", "row"), ("squares", "customer")):
        asked = [statistic(kind, "items", per)]
        error = code_of(UsageError, lambda asked=asked: load_dataset(courier, "orders", statistics=asked))
        assert error.code == "data.statistic-too-large"
    assert load_dataset(courier, "orders", statistics=[statistic("count", "items")]).vectors is not None


@pytest.mark.parametrize(
    ("change", "code", "row"),
    [
        ({"values": ["status:int64:0..9"]}, "data.value-not-number", 1),
        ({"values": ["vip:int64:0..0"]}, "data.value-range", 1),
        ({"values": ["fee:decimal:2:-10..50"]}, "data.value-range", 5),
        ({"values": ["fee:decimal:2:0..99:clip", "fee2=fee:decimal:2:0..99"]}, "data.value-range", 2),
        ({"values": ["fee:int64:-10..99"]}, "data.value-not-whole", 1),
        ({"values": ["price:int64:-10..99"]}, "data.column-missing", None),
        ({"groups": ["fee"]}, "data.group-cell", 1),
        ({"groups": ["status"]}, "data.group-not-one", 3),
        ({"groups": ["town"]}, "data.column-missing", None),
        ({"max_rows_per_key": 1}, "node.key-rows-many", 1),
    ],
)
def test_every_cell_is_checked_at_registration(
    courier: Home, tmp_path: Path, change: dict[str, Any], code: str, row: int | None
) -> None:
    error = code_of(DataError, lambda: register(courier, tmp_path, **change))
    assert (error.code, error.fields.get("row")) == (code, row)
    assert str(error.fields["file"]).endswith("orders.parquet")
    assert find_dataset(courier, "orders") is None
    for phone in PHONES:
        assert phone not in str(error)


def test_a_fraction_where_none_was_declared_says_how_to_declare_it(courier: Home, tmp_path: Path) -> None:
    error = code_of(DataError, lambda: register(courier, tmp_path, values=["fee:int64:-10..99"]))
    for written in ("--value NAME:decimal:2:LOW..HIGH", "--select 'weighted_sum:NAME*VALUE:2'"):
        assert written in str(error)


def test_masked_keys_stand_in_errors_about_keys(courier: Home, tmp_path: Path) -> None:
    for change, row in (({"groups": ["status"]}, "phone 138****8000"), ({"max_rows_per_key": 1}, "phone 138****8000")):
        error = code_of(DataError, lambda change=change: register(courier, tmp_path, **change))
        assert error.fields["key"] == row


def test_rows_per_key_bind_only_where_values_are_added_up(courier: Home, tmp_path: Path) -> None:
    assert register(courier, tmp_path, values=[], max_rows_per_key=1).most_rows_per_key == 2


def test_what_holds_for_all_keys_must_hold_for_any_choice_of_them(courier: Home, tmp_path: Path) -> None:
    both = {"keys": ["phone=mobile:phone", "order:text"]}
    assert register(courier, tmp_path, keys=["order:text"], groups=["status"], max_rows_per_key=1).key_count == 6
    error = code_of(DataError, lambda: register(courier, tmp_path, replace=True, groups=["status"], **both))
    assert (error.code, error.fields["key"]) == ("data.group-not-one", "phone 138****8000")
    error = code_of(DataError, lambda: register(courier, tmp_path, replace=True, max_rows_per_key=1, **both))
    assert (error.code, error.fields["found"]) == ("node.key-rows-many", 2)
    assert register(courier, tmp_path, replace=True, **both).key_count == 6
    for keys in (["phone"], ["order"], ["order", "phone"]):
        loaded = load_dataset(courier, "orders", keys=keys, statistics=[statistic("sum", "items")], groups=["city"])
        assert loaded.vectors is not None
        assert loaded.vectors.sum() == 21


def test_rows_without_a_key_say_nothing(courier: Home, tmp_path: Path) -> None:
    """A row that is left out for its key may hold anything in the columns of values and groups."""
    table = {name: [*cells, cells[0]] for name, cells in TABLE.items()}
    table["mobile"][6], table["items"][6], table["收件城市"][6] = "138****8000", 10**6, None
    record = register(courier, tmp_path, table, on_bad="skip")
    assert (record.counts[0].rows_rejected, record.group_columns[0].groups) == (1, 3)
    table["mobile"][6] = "13800138009"
    assert code_of(DataError, lambda: register(courier, tmp_path, table, replace=True)).code == "data.group-null"
    table["收件城市"][6] = "杭州"
    assert code_of(DataError, lambda: register(courier, tmp_path, table, replace=True)).code == "data.value-range"


def test_a_table_without_rows(courier: Home, tmp_path: Path) -> None:
    empty = {name: pa.array([], pa.array(cells).type) for name, cells in TABLE.items()}
    record = register(courier, tmp_path, empty)  # type: ignore[arg-type]
    assert [group.groups for group in record.group_columns] == [0, 0]
    loaded = load_dataset(courier, "orders", statistics=[statistic("sum", "fee")], groups=["city"])
    assert loaded.vectors is not None
    assert (loaded.vectors.shape, loaded.labels, loaded.group_of_key.tolist()) == ((0, 1), (), [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"values": ["fee"]}, "node.spec-wrong"),
        ({"values": [FEE, "fee=items:int64:0..9"]}, "node.spec-twice"),
        ({"groups": ["vip", "vip=status"]}, "node.spec-twice"),
        ({"groups": [f"g{n}=vip" for n in range(65)]}, "node.spec-many"),
        ({"values": [f"v{n}=items:int64:0..9" for n in range(65)]}, "node.spec-many"),
    ],
)
def test_wrong_declarations_are_usage_errors(courier: Home, tmp_path: Path, change: dict[str, Any], code: str) -> None:
    assert code_of(UsageError, lambda: register(courier, tmp_path, **change)).code == code
