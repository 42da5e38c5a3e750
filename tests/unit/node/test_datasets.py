from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from psc.errors import DataError, UsageError
from psc.node import tables
from psc.node.datasets import add_dataset, find_dataset, get_dataset, list_datasets, load_dataset, remove_dataset
from psc.node.home import Home
from psc.node.records import DatasetRecord
from psc.node.tables import read_dataset
from tests.homes import code_of, parcels_table, register_parcels


def test_a_dataset_is_registered_at_a_version(courier: Home, tmp_path: Path) -> None:
    record = register_parcels(
        courier,
        tmp_path,
        release=["state=status:text:16", "fee:int64"],
    )
    assert (record.row_count, record.key_count, record.most_rows_per_key) == (12, 6, 2)
    assert [(key.name, key.column, key.kind) for key in record.keys] == [("phone", "mobile", "phone")]
    assert [(one.name, one.column, one.width_bytes) for one in record.release] == [("state", "status", 16), ("fee", "fee", 8)]
    assert record.columns == ("mobile", "status", "fee")
    assert len(record.version) == len(record.salt) == 64
    assert get_dataset(courier, "parcels") == record == list_datasets(courier)[0]
    with Home.open(courier.path) as again:
        assert get_dataset(again, "parcels") == record


def test_the_store_holds_no_row(courier: Home, tmp_path: Path) -> None:
    register_parcels(courier, tmp_path)
    with courier.store.read() as db:
        text = str(db.execute("SELECT * FROM datasets").fetchall())
    for secret in ("13800138000", "8613800138", "delivered", "p0@example.com", "杭州"):
        assert secret not in text


def test_the_version_is_salted_and_follows_content_and_declaration(courier: Home, merchant: Home, tmp_path: Path) -> None:
    first = register_parcels(courier, tmp_path)
    assert register_parcels(courier, tmp_path, replace=True).version == first.version
    assert register_parcels(merchant, tmp_path).version != first.version
    versions = {
        first.version,
        register_parcels(courier, tmp_path, replace=True, rows=14).version,
        register_parcels(courier, tmp_path, replace=True, max_rows_per_key=3).version,
        register_parcels(courier, tmp_path, replace=True, release=["status:text:17", "fee:int64"]).version,
        register_parcels(courier, tmp_path, replace=True, release=["status:text:16"]).version,
        register_parcels(courier, tmp_path, replace=True, on_bad="skip").version,
        register_parcels(courier, tmp_path, replace=True, keys=["phone=mobile:phone", "mail:email"]).version,
    }
    assert len(versions) == 7


def test_a_name_is_registered_once_unless_it_is_replaced(courier: Home, tmp_path: Path) -> None:
    register_parcels(courier, tmp_path)
    assert code_of(UsageError, lambda: register_parcels(courier, tmp_path, rows=4)).code == "node.dataset-exists"
    assert register_parcels(courier, tmp_path, rows=4, replace=True).row_count == 4
    assert len(list_datasets(courier)) == 1


def test_a_dataset_can_be_removed(courier: Home, tmp_path: Path) -> None:
    register_parcels(courier, tmp_path)
    remove_dataset(courier, "parcels")
    assert find_dataset(courier, "parcels") is None
    error = code_of(UsageError, lambda: remove_dataset(courier, "parcels"))
    assert (error.code, error.fields["known"]) == ("node.dataset-unknown", "")


def test_the_rows_to_release_are_the_first_of_each_key(courier: Home, tmp_path: Path) -> None:
    table = pa.table(
        {
            "mobile": ["13800138001", "13800138002", "138 0013 8001", "+8613800138001", "13800138003", "13800138002"],
            "status": ["a", "b", "c", "d", None, "f"],
            "fee": [1, 2, 3, 4, 5, None],
        }
    )
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    add_dataset(
        courier, "x", source=path, keys=["phone=mobile:phone"], release=["status:text:4", "fee:int64"], max_rows_per_key=2
    )
    loaded = load_dataset(courier, "x", release=["fee", "status"])
    assert loaded.rows is not None
    assert loaded.layout is not None
    assert loaded.keyed.key_count == 3
    rows = loaded.rows
    assert (rows.rows_per_key, rows.width_bytes) == (2, loaded.layout.width)
    assert rows.items.dtype == rows.counters.dtype == np.uint32
    decoded = loaded.layout.decode(rows.payloads, len(rows.items)).to_pylist()
    cut = loaded.layout.cut_flags(rows.payloads, len(rows.items)).tolist()
    phones = ["1", "2", "3"]
    found = sorted(
        (phones[item], int(counter), row["status"], row["fee"], flag)
        for item, counter, row, flag in zip(rows.items, rows.counters, decoded, cut)
    )
    assert found == [
        ("1", 1, "a", 1, True),
        ("1", 2, "c", 3, True),
        ("2", 1, "b", 2, False),
        ("2", 2, "f", None, False),
        ("3", 1, None, 5, False),
    ]
    only_one = load_dataset(courier, "x", release=["fee"], rows_per_key=1)
    assert only_one.rows is not None
    assert only_one.rows.counters.tolist() == [1, 1, 1]
    assert load_dataset(courier, "x", release=["fee"], rows_per_key=9).rows.rows_per_key == 2  # type: ignore[union-attr]


def test_released_rows_equal_a_plain_grouping_on_random_tables(courier: Home, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    for round_ in range(20):
        count = int(rng.integers(0, 200))
        keys = rng.permutation(count) if round_ % 3 == 0 else rng.integers(0, max(1, count // 3), count)
        table = pa.table({"k": [f"key{key}" for key in keys], "n": pa.array(range(count), pa.int64())})
        path = tmp_path / f"{round_}.parquet"
        pq.write_table(table, path)
        bound = int(rng.integers(1, 5))
        add_dataset(courier, f"d{round_}", source=path, keys=["k:text"], release=["n:int64"], max_rows_per_key=bound)
        loaded = load_dataset(courier, f"d{round_}", release=["n"])
        assert loaded.rows is not None
        assert loaded.layout is not None
        numbers = loaded.layout.decode(loaded.rows.payloads, len(loaded.rows.items)).column("n").to_pylist()
        cut = loaded.layout.cut_flags(loaded.rows.payloads, len(numbers)).tolist()
        seen: Counter[int] = Counter()
        expected = []
        totals = Counter(keys.tolist())
        for row, key in enumerate(keys.tolist()):
            seen[key] += 1
            if seen[key] <= bound:
                expected.append((row, seen[key], totals[key] > bound))
        assert [(n, int(c), f) for n, c, f in zip(numbers, loaded.rows.counters, cut)] == expected
        of_item: dict[int, int] = {}
        for item, number in zip(loaded.rows.items.tolist(), numbers):
            assert of_item.setdefault(item, keys[number]) == keys[number]


def test_nothing_is_encoded_when_nothing_is_released(courier: Home, tmp_path: Path) -> None:
    register_parcels(courier, tmp_path)
    loaded = load_dataset(courier, "parcels")
    assert (loaded.layout, loaded.rows, loaded.keyed.key_count) == (None, None, 6)
    assert "138" not in repr(loaded)


def test_some_of_the_keys_may_be_used(courier: Home, tmp_path: Path) -> None:
    record = register_parcels(courier, tmp_path, keys=["phone=mobile:phone", "mail:email", "city:text"])
    counts = {frozenset(entry.keys): entry.count for entry in record.counts}
    assert counts == {
        frozenset(keys): count
        for keys, count in [
            ({"phone", "mail", "city"}, 12),
            ({"phone"}, 6),
            ({"mail"}, 6),
            ({"city"}, 2),
            ({"mail", "phone"}, 6),
            ({"city", "mail"}, 12),
            ({"city", "phone"}, 12),
        ]
    }
    assert record.key_count == 12
    assert record.key_count_of(["city"]) == 2
    assert record.key_count_of(["city", "phone"]) == 12
    assert load_dataset(courier, "parcels", keys=["city"]).keyed.key_count == 2
    assert load_dataset(courier, "parcels", keys=["city", "phone"]).keyed.key_count == 12
    error = code_of(UsageError, lambda: load_dataset(courier, "parcels", keys=["tel"]))
    assert error.code == "node.key-not-registered"
    error = code_of(UsageError, lambda: load_dataset(courier, "parcels", release=["city"]))
    assert error.code == "node.column-not-registered"


def test_a_changed_source_is_refused(courier: Home, tmp_path: Path) -> None:
    register_parcels(courier, tmp_path)
    path = tmp_path / "parcels.parquet"
    table = parcels_table()
    pq.write_table(table.set_column(3, "fee", pa.array([*range(11), 99])), path)
    error = code_of(DataError, lambda: load_dataset(courier, "parcels"))
    assert error.code == "node.source-changed"
    pq.write_table(table.append_column("unused", pa.nulls(12)), path)  # a column that nobody uses says nothing
    assert load_dataset(courier, "parcels").keyed.key_count == 6
    path.unlink()
    code_of(DataError, lambda: load_dataset(courier, "parcels"))


def test_other_rules_or_number_metadata_are_refused(courier: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_parcels(courier, tmp_path)
    monkeypatch.setattr(tables, "metadata_hash", lambda _region: "0" * 64)
    assert code_of(DataError, lambda: load_dataset(courier, "parcels")).code == "node.rules-changed"
    monkeypatch.undo()
    monkeypatch.setattr(tables, "RULES_ID", "psc-rules/2")
    assert code_of(DataError, lambda: load_dataset(courier, "parcels")).code == "node.rules-changed"


def test_every_released_cell_is_checked_at_registration(courier: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_CHECKED_AT_ONCE", 3)
    path = tmp_path / "x.csv"
    rows = [f"1380013800{n},{'ok' if n != 8 else '派送中'},{n}" for n in range(10)]
    path.write_text("mobile,status,fee\n" + "\n".join(rows) + "\n")
    options = {"source": path, "keys": ["phone=mobile:phone"]}
    error = code_of(DataError, lambda: add_dataset(courier, "x", release=["status:text:8"], **options))
    assert error.fields["row"] == 9
    assert error.fields["column"] == "status"
    error = code_of(DataError, lambda: add_dataset(courier, "x", release=["status:int64"], **options))
    assert error.fields["row"] == 1
    assert find_dataset(courier, "x") is None
    assert add_dataset(courier, "x", release=["status:text:9", "fee:int64"], **options).row_count == 10


def test_bad_keys_are_an_error_or_skipped_into_a_file(courier: Home, tmp_path: Path) -> None:
    path, rejects = tmp_path / "x.csv", tmp_path / "rejects.csv"
    path.write_text("mobile,status\n13800138000,a\n138****8000,b\n,c\n13800138001,d\n")
    options = {"source": path, "keys": ["phone=mobile:phone"], "release": ["status:text:4"]}
    error = code_of(DataError, lambda: add_dataset(courier, "x", **options))
    assert error.code == "data.bad-keys"
    assert "13800138" not in str(error)
    record = add_dataset(courier, "x", on_bad="skip", rejects=rejects, **options)
    assert (record.row_count, record.key_count, record.counts[0].rows_rejected) == (4, 2, 2)
    assert pyarrow.csv.read_csv(rejects).num_rows == 2
    loaded = load_dataset(courier, "x", release=["status"])
    assert loaded.rows is not None
    assert len(loaded.rows.items) == 2


def test_a_table_without_rows_is_a_dataset_of_no_keys(courier: Home, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("mobile,status\n")
    record = add_dataset(courier, "x", source=path, keys=["phone=mobile:phone"], release=["status:text:4"])
    assert (record.row_count, record.key_count, record.most_rows_per_key) == (0, 0, 0)
    loaded = load_dataset(courier, "x", release=["status"])
    assert loaded.rows is not None
    assert (len(loaded.rows.items), loaded.rows.payloads) == (0, b"")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"keys": []}, "node.keys-missing"),
        ({"keys": ["phone=mobile:phone", "phone=mail:email"]}, "node.spec-twice"),
        ({"release": ["a=status:text:4", "a=fee:int64"]}, "node.spec-twice"),
        ({"release": [f"g{n}=fee:int64" for n in range(65)]}, "node.spec-many"),
        ({"keys": [f"g{n}=city:text" for n in range(9)]}, "node.spec-many"),
        ({"max_rows_per_key": 0}, "node.rows-per-key-range"),
        ({"max_rows_per_key": 1025}, "node.rows-per-key-range"),
        ({"name": "a b"}, "node.name-wrong"),
    ],
)
def test_wrong_declarations_are_usage_errors(courier: Home, tmp_path: Path, options: dict[str, object], code: str) -> None:
    assert code_of(UsageError, lambda: register_parcels(courier, tmp_path, **options)).code == code
    assert list_datasets(courier) == ()


@pytest.mark.parametrize(
    "options",
    [
        {"keys": ["phone=mobil:phone"]},
        {"release": ["stat:text:4"]},
    ],
)
def test_a_missing_column_is_a_data_error(courier: Home, tmp_path: Path, options: dict[str, object]) -> None:
    error = code_of(DataError, lambda: register_parcels(courier, tmp_path, **options))
    assert "column" in error.fields


def test_a_relative_source_is_found_from_anywhere(courier: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(parcels_table(), tmp_path / "p.parquet")
    monkeypatch.chdir(tmp_path)
    record = add_dataset(courier, "p", source="p.parquet", keys=["phone=mobile:phone"])
    assert record.source == str(tmp_path / "p.parquet")
    monkeypatch.chdir("/")
    assert load_dataset(courier, "p").keyed.key_count == 6


def test_a_record_survives_its_bytes(courier: Home, tmp_path: Path) -> None:
    record = register_parcels(courier, tmp_path, release=["fee:int64"])
    assert DatasetRecord.parse(record.canonical()) == record


# --- several keys, some blank ------------------------------------------------------------------------------------------

MIXED = {
    "mobile": ["13800138000", "13800138001", None, None, "13800138001", "13800138002"],
    "mail": ["a@example.com", None, "b@example.com", "b@example.com", "c@example.com", None],
    "status": ["s0", "s1", "s2", "s3", "s4", "s5"],
}


def mixed(home: Home, folder: Path, extra: dict[str, str | None] | None = None, **options: object) -> DatasetRecord:
    cells = {name: [*values, *([] if extra is None else [extra.get(name)])] for name, values in MIXED.items()}
    pq.write_table(pa.table(cells), folder / "mixed.parquet")
    keys = ["phone=mobile:phone", "mail:email"]
    return add_dataset(
        home, "mixed", source=folder / "mixed.parquet", keys=keys, release=["status:text:8"], max_rows_per_key=4, **options
    )


def test_blank_cells_are_counted_for_each_choice_of_keys(courier: Home, tmp_path: Path) -> None:
    record = mixed(courier, tmp_path)
    assert {entry.keys: (entry.count, entry.rows_rejected) for entry in record.counts} == {
        ("phone",): (3, 2),
        ("mail",): (3, 2),
        ("phone", "mail"): (2, 4),
    }
    assert (record.row_count, record.rows_rejected, record.most_rows_per_key) == (6, 0, 2)
    assert load_dataset(courier, "mixed", keys=["phone"]).keyed.row_of.tolist() == [0, 1, 4, 5]
    assert load_dataset(courier, "mixed", keys=["mail"]).keyed.row_of.tolist() == [0, 2, 3, 4]
    assert load_dataset(courier, "mixed").keyed.row_of.tolist() == [0, 4]


def test_a_row_without_any_key_or_with_a_cell_that_is_none_is_bad(courier: Home, tmp_path: Path) -> None:
    for extra, reason in (({"status": "x"}, "missing"), ({"mobile": "x", "mail": "d@example.com"}, "invalid")):
        error = code_of(DataError, lambda extra=extra: mixed(courier, tmp_path, extra, replace=True))
        assert error.code == "data.bad-key-cells"
        assert reason in str(error)
        record = mixed(courier, tmp_path, extra, on_bad="skip", rejects=tmp_path / "r.csv", replace=True)
        assert record.rows_rejected == 1
        assert "7," in (tmp_path / "r.csv").read_text()
    assert record.key_count_of(["mail"]) == 4  # the row with a bad phone is there by its mail


def test_keys_that_no_row_has_together_can_be_registered(courier: Home, tmp_path: Path) -> None:
    table = pa.table({"mobile": ["13800138000", None], "mail": [None, "a@example.com"]})
    pq.write_table(table, tmp_path / "apart.parquet")
    keys = ["phone=mobile:phone", "mail:email"]
    record = add_dataset(courier, "apart", source=tmp_path / "apart.parquet", keys=keys)
    assert {entry.keys: entry.count for entry in record.counts} == {("phone",): 1, ("mail",): 1, ("phone", "mail"): 0}
    assert load_dataset(courier, "apart").keyed.key_count == 0


def test_a_dataset_is_read_by_several_keys_at_once(courier: Home, tmp_path: Path) -> None:
    record = mixed(courier, tmp_path)
    loaded = read_dataset(record, keys=["mail"], further=[["phone"]], release=["status"])
    assert len(loaded.alternatives) == 2
    for part, name in zip(loaded.alternatives, ("mail", "phone"), strict=True):
        alone = read_dataset(record, keys=[name], release=["status"])
        assert part.keyed.row_of.tolist() == alone.keyed.row_of.tolist()
        assert part.rows is not None
        assert alone.rows is not None
        assert part.rows.payloads == alone.rows.payloads
    assert code_of(UsageError, lambda: read_dataset(record, keys=["mail"], further=[["tel"]])).code == "node.key-not-registered"
