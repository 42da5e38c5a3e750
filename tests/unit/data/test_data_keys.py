"""Keys of a table: every row is kept or refused by name, and nothing shows a whole cell."""

from __future__ import annotations

import csv
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.data import keys, phones
from psc.data.check import check_keys
from psc.data.keys import Keyed, KeyUse, prepare_alternatives, prepare_keys, read_keys, rows_with_keys
from psc.data.phones import classify_phone
from psc.data.table import load
from psc.errors import DataError, UsageError
from psc.testing import madeup

PHONE = KeyUse("phone", "mobile", "phone")
CELLS = ["13800138000", "+86 138-0013-8000", "138****8000", None, "13912345678", "13912345678-12", "95588", "x", "13800138000"]
CLASSES = {"extension": 1, "invalid": 1, "masked": 1, "missing": 1, "service": 1}


@pytest.fixture
def source():
    return load(pa.table({"mobile": CELLS, "n": range(len(CELLS))}))


def keys_of(keyed: Keyed) -> dict[int, bytes]:
    return {int(row): keyed.items.get(int(group)) for row, group in zip(keyed.row_of, keyed.group_of_row)}


def fails(source: object, *on: KeyUse, **more: object) -> DataError:
    with pytest.raises(UsageError) as caught:
        prepare_keys(load(source), on, **more)
    assert "13912345678" not in str(caught.value)
    assert "13800138000" not in str(caught.value)
    return caught.value


# --- what is kept --------------------------------------------------------------------------------------------------


def test_skip_keeps_good_rows_and_accounts_for_the_others(source) -> None:
    keyed = prepare_keys(source, [PHONE], on_bad="skip")
    assert keyed.rows_total == len(CELLS)
    assert keyed.row_of.tolist() == [0, 1, 4, 8]
    assert keyed.group_of_row.tolist() == [0, 0, 1, 0]
    assert (keyed.group_of_row.dtype, keyed.row_of.dtype) == (np.uint32, np.uint32)
    assert keyed.key_count == len(keyed.items) == 2
    assert b"+8613800138000" in keyed.items.get(0)
    assert keyed.table.num_rows == len(CELLS)
    assert keyed.rejected.counts() == CLASSES
    assert len(keyed.row_of) + keyed.rejected.total == keyed.rows_total


def test_error_is_the_default_and_shows_a_table(source, monkeypatch: pytest.MonkeyPatch) -> None:
    error = fails(source, PHONE)
    assert error.code == "data.bad-keys"
    assert (error.fields["count"], error.fields["total"]) == (5, 9)
    for word in ("masked", "138****8000", "row 3", "mobile (phone)", "--rejects"):
        assert word in str(error).replace("13****", "138****8000"), word
    monkeypatch.setenv("PSC_LANG", "zh")
    assert "第 3 行" in str(fails(source, PHONE))
    assert pickle.loads(pickle.dumps(error)).fields == error.fields  # noqa: S301


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_all_cells_bad(policy: str) -> None:
    error = fails(pa.table({"mobile": ["", None, "张三丰", "138****8000"]}), PHONE, on_bad=policy)
    assert error.code == "data.all-keys-bad"
    assert "张三丰" not in str(error)


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("mobile\n")
    for source in (load(tmp_path / "in.csv"), load(pd.DataFrame({"mobile": pd.Series([], dtype=object)}))):
        keyed = prepare_keys(source, [PHONE])
        assert (keyed.key_count, keyed.rows_total, len(keyed.row_of)) == (0, 0, 0)
        assert keyed.rejected.total == 0
        assert check_keys(source, [PHONE]).rows_per_key_max == 0


def test_one_row() -> None:
    assert prepare_keys(load(pa.table({"mobile": ["13800138000"]})), [PHONE]).key_count == 1


def test_float_column_of_pandas() -> None:
    frame = pd.DataFrame({"mobile": [13800138000, np.nan, 13912345678]})
    keyed = prepare_keys(load(frame), [PHONE], on_bad="skip")
    assert keyed.row_of.tolist() == [0, 2]
    assert keyed.rejected.counts() == {"missing": 1}


def test_kinds_never_meet() -> None:
    table = load(pa.table({"a": ["12345678"]}))
    items = [prepare_keys(table, [KeyUse("k", "a", kind)]).items.get(0) for kind in ("text", "waybill", "integer")]
    assert len(set(items)) == 3


# --- composite keys ------------------------------------------------------------------------------------------------


def test_composite_keys_need_every_cell() -> None:
    table = pa.table({"p": ["13800138000", "13800138000", "x", "13800138000"], "c": ["深圳", "上海", "上海", None]})
    on = [KeyUse("phone", "p", "phone"), KeyUse("city", "c", "text")]
    keyed = prepare_keys(load(table), on, on_bad="skip")
    assert keyed.row_of.tolist() == [0, 1]
    assert keyed.key_count == 2
    assert {(row.name, row.examples[0].column) for row in keyed.rejected.classes} == {("invalid", "p"), ("missing", "c")}


def test_the_order_of_keys_does_not_matter() -> None:
    table = load(pa.table({"p": ["13800138000"], "c": ["深圳"]}))
    on = [KeyUse("phone", "p", "phone"), KeyUse("city", "c", "text")]
    assert prepare_keys(table, on).items.get(0) == prepare_keys(table, on[::-1]).items.get(0)


def test_composite_keys_are_injective() -> None:
    on = [KeyUse("a", "a", "text"), KeyUse("b", "b", "text")]
    table = pa.table({"a": ["ab", "a", "abc"], "b": ["c", "bc", "x"]})
    assert prepare_keys(load(table), on).key_count == 3


def test_no_key_and_key_twice(source) -> None:
    assert fails(source).code == "data.no-key"
    assert fails(source, PHONE, KeyUse("phone", "n", "integer")).code == "data.key-twice"


def test_wrong_columns(source) -> None:
    error = fails(source, KeyUse("phone", "Mobil", "phone"))
    assert (error.code, error.fields["near"]) == ("data.column-missing-near", "mobile")
    error = fails(pa.table({"mobile": [True]}), PHONE)
    assert (error.code, error.fields["column"], error.fields["type"]) == ("data.column-type", "mobile", "bool")
    assert fails(source, PHONE, region="XX").code == "data.region-unknown"


# --- rejects -------------------------------------------------------------------------------------------------------


def test_rejects_file_names_row_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("n,mobile\n1,13800138000\n\n2,138****8000\n3,\n4,13912345678-12\n")
    rejects = tmp_path / "rejects.csv"
    prepare_keys(load(path), [PHONE], on_bad="skip", rejects=rejects)
    with rejects.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["row"], row["line"], row["class"], row["column"]) for row in rows] == [
        ("2", "4", "masked", "mobile"),
        ("3", "5", "missing", "mobile"),
        ("4", "6", "extension", "mobile"),
    ]
    assert {row["file"] for row in rows} == {str(path)}
    assert "13912345678" not in rejects.read_text()
    assert rows[1]["value"] == ""
    assert rejects.stat().st_mode & 0o777 == 0o600


def test_rejects_are_written_before_the_error_too(source, tmp_path: Path) -> None:
    rejects = tmp_path / "r.parquet"
    fails(source, PHONE, rejects=rejects)
    assert pq.read_table(rejects).column("class").to_pylist() == ["masked", "missing", "extension", "service", "invalid"]


def test_rejects_file_without_rejected_rows(tmp_path: Path) -> None:
    prepare_keys(load(pa.table({"mobile": ["13800138000"]})), [PHONE], rejects=tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text().strip() == '"file","row","line","column","class","value"'


def test_rejects_that_cannot_be_written(source, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        prepare_keys(source, [PHONE], on_bad="skip", rejects=tmp_path / "no" / "r.csv")
    assert fails(source, PHONE, on_bad="skip", rejects=tmp_path / "r.txt").code == "data.output-suffix"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from(CELLS[:1] + CELLS[4:]), st.text(max_size=20)), min_size=1, max_size=20))
def test_every_row_is_accounted_for(cells: list[str | None]) -> None:
    reading, _ = read_keys(load(pa.table({"mobile": pa.array(cells, pa.string())})), [PHONE])
    summary = reading.summary()
    assert len(reading.kept) + summary.total == len(cells)
    for row in reading.rejected_rows(np.flatnonzero(reading.classes)):
        cell = cells[row.row - 1]
        assert cell is None or not cell.strip() or row.masked != cell
        assert not re.search(r"\d{8}", row.masked)


# --- check ---------------------------------------------------------------------------------------------------------


def test_check_report(source, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_keys(source, [PHONE])
    assert (report.rows_total, report.rows_usable, report.key_count) == (9, 4, 2)
    assert (report.keys_repeated, report.rows_per_key_max) == (1, 3)
    assert report.rows_per_key == ((1, 1, 1), (3, 4, 1))
    assert report.rejected.counts() == CLASSES
    assert report.notes == ("data.note-intermediary",)
    text = str(report)
    assert "9 rows, 4 with a usable key" in text
    assert "13912345678" not in text + repr(report.to_dict())
    monkeypatch.setenv("PSC_LANG", "zh")
    assert "共 9 行" in str(report)
    assert "中间号" in str(report)


def test_check_counts_virtual_operators_and_bad_tables() -> None:
    report = check_keys(load(pa.table({"mobile": ["17012345678", "16512345678", "+86 171 1234 5678", "13800138000"]})), [PHONE])
    assert report.virtual_operator_rows == 3
    assert report.notes == ("data.note-intermediary", "data.note-virtual-operators")
    assert "3 rows have numbers of virtual operators" in str(report)
    report = check_keys(load(pa.table({"mobile": ["x", None]})), [PHONE])
    assert (report.key_count, report.rows_per_key_max, report.rejected.total) == (0, 0, 2)
    report = check_keys(load(pa.table({"m": ["a@b.com"]})), [KeyUse("email", "m", "email")])
    assert report.notes == ()
    with pytest.raises(DataError):
        check_keys(load(pa.table({"a": [1]})), [PHONE])


def test_check_of_many_rows_a_key() -> None:
    report = check_keys(load(pa.table({"mobile": ["13800138000"] * 70 + ["13800138001"] * 20})), [PHONE])
    assert report.rows_per_key == ((17, 64, 1), (65, None, 1))
    assert report.to_dict()["rows_per_key"][1] == {"least": 65, "most": None, "keys": 1}


# --- against the oracle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_keys_of_made_up_orders_are_those_of_the_library(seed: int) -> None:
    orders = madeup.merchant_orders(5_000, seed)
    keyed = prepare_keys(load(orders), [KeyUse("phone", madeup.ORDER_PHONE, "phone")], on_bad="skip")
    plain = madeup.plain_keys(orders, madeup.ORDER_PHONE)
    found = keys_of(keyed)
    assert sorted(found) == np.flatnonzero(plain.notna()).tolist()
    assert all(found[row].endswith(plain[row].encode()) for row in found)
    assert set(keyed.rejected.counts()) >= {"missing", "masked", "extension"}


def test_no_key_in_a_repr(source) -> None:
    keyed = prepare_keys(source, [PHONE], on_bad="skip")
    for shown in (repr(keyed), repr(keyed.rejected), repr(read_keys(source, [PHONE])[0])):
        assert "13912345678" not in shown
        assert "13800138000" not in shown


# --- several keys of one table ---------------------------------------------------------------------------------------

MAIL = KeyUse("mail", "mail", "email")
NAME, ZIP = KeyUse("name", "name", "text"), KeyUse("zip", "zip", "text")
SEVERAL = {
    "mobile": ["13800138000", None, "", "x", "x", None, "13912345678", None],
    "mail": ["a@example.com", "b@example.com", None, "c@example.com", None, None, "not mail", None],
    "name": [None, "Li", "Li", None, None, "Li", None, None],
    "zip": [None, "1", None, None, None, None, None, "1"],
}
"""Rows: both keys; mail alone; neither, and half of a composite one; bad phone with a mail; bad phone; half; bad mail; half."""


def test_a_blank_cell_is_none_of_a_row_that_has_another_key(tmp_path: Path) -> None:
    table, rejects = load(pa.table(SEVERAL)), tmp_path / "r.csv"
    phone, mail, both = prepare_alternatives(table, [[PHONE], [MAIL], [ZIP, NAME]], on_bad="skip", rejects=rejects)
    assert (phone.row_of.tolist(), mail.row_of.tolist(), both.row_of.tolist()) == ([0, 6], [0, 1, 3], [1])
    assert phone.rejected == mail.rejected == both.rejected
    assert phone.rejected.counts() == {"missing": 3, "invalid": 3}
    with rejects.open() as file:
        found = [(int(row["row"]), row["column"], row["class"]) for row in csv.DictReader(file)]
    assert found == [
        (3, "mobile", "missing"),
        (4, "mobile", "invalid"),
        (5, "mobile", "invalid"),
        (6, "mobile", "missing"),
        (7, "mail", "invalid"),
        (8, "mobile", "missing"),
    ]


def test_other_bad_cells_are_an_error_unless_skipped() -> None:
    table = load(pa.table(SEVERAL))
    with pytest.raises(DataError) as caught:
        prepare_alternatives(table, [[PHONE], [MAIL]])
    assert caught.value.code == "data.bad-key-cells"
    assert (caught.value.fields["count"], caught.value.fields["total"]) == (6, 8)
    assert "13800138000" not in str(caught.value)
    assert "b@example.com" not in str(caught.value)
    good = load(table.table.take([0, 1]))
    phone, mail = prepare_alternatives(good, [[PHONE], [MAIL]])
    assert (phone.key_count, mail.key_count, phone.rejected.total) == (1, 2, 0)


def test_a_key_that_no_row_has_gives_an_empty_set() -> None:
    phone, mail = prepare_alternatives(
        load(
            pa.table(
                {"mobile": [None, None], "mail": ["a@x.cn", "a@x.cn"]},
                schema=pa.schema([("mobile", pa.string()), ("mail", pa.string())]),
            )
        ),
        [[PHONE], [MAIL]],
    )
    assert (phone.key_count, mail.key_count) == (0, 1)
    with pytest.raises(DataError) as caught:
        prepare_alternatives(load(pa.table({"mobile": ["x"], "mail": ["y"]})), [[PHONE], [MAIL]], on_bad="skip")
    assert caught.value.code == "data.all-keys-bad"


def test_one_alternative_is_the_key_itself() -> None:
    table = load(pa.table(SEVERAL))
    (keyed,) = prepare_alternatives(table, [[PHONE]], on_bad="skip")
    alone = prepare_keys(table, [PHONE], on_bad="skip")
    assert (keyed.row_of.tolist(), keyed.rejected) == (alone.row_of.tolist(), alone.rejected)
    assert keyed.rejected.counts() == {"missing": 4, "invalid": 2}


def test_rows_that_were_judged_before_are_not_judged_again() -> None:
    source = load(pa.table(SEVERAL))
    keyed = rows_with_keys(source, [PHONE]).keyed(source.table)
    assert (keyed.row_of.tolist(), keyed.rejected.total) == ([0, 6], 0)
    assert len(rows_with_keys(load(pa.table({"mobile": ["x"]})), [PHONE]).items) == 0


def test_a_column_may_serve_two_keys() -> None:
    uses = [[PHONE, MAIL], [KeyUse("tel", "mobile", "text"), MAIL], [PHONE]]
    first, second, third = prepare_alternatives(load(pa.table(SEVERAL)), uses, on_bad="skip")
    assert (first.row_of.tolist(), second.row_of.tolist(), third.row_of.tolist()) == ([0], [0, 3], [0, 6])


def test_a_cell_is_asked_about_once_in_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(cell: str, region: str) -> Any:
        asked.append(cell)
        return classify_phone(cell, region)

    monkeypatch.setattr(keys, "_BATCH_ROWS", 3)
    monkeypatch.setattr(phones, "classify_phone", counted)
    cells = ["010-62771234", "13800138000", "10086", None] * 5
    reading, items = read_keys(load(pa.table({"mobile": pa.array(cells, pa.string())})), [PHONE])
    assert len(asked) == len(set(asked)) > 0
    assert (len(items), reading.summary().total) == (10, 10)
    assert reading.kept.tolist() == [row for row in range(20) if row % 4 < 2]
