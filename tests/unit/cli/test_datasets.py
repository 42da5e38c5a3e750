"""``psc dataset check | add | list | show | remove``."""

from __future__ import annotations

from pathlib import Path

import pytest

from psc.node.home import Home

from .conftest import Psc

ADD = "dataset add parcels --home c --source parcels.parquet --key phone=mobile:phone"


def test_check_needs_no_node_and_masks_what_it_shows(psc: Psc, tmp_path: Path) -> None:
    table = "id,mobile\n1,13800138000\n2,138 0013 8000\n3,13800138001转12\n4,\n5,138****8000\n6,95338\n"
    (tmp_path / "orders.csv").write_text(table, encoding="utf-8")
    done = psc("dataset check orders.csv --key phone=mobile:phone")
    assert done.code == 0
    for word in ("extension", "missing", "masked", "service", "row 3 (line 4): 138****"):
        assert word in done.out
    assert "13800138001" not in done.out
    found = psc("dataset check orders.csv --key phone=mobile:phone --json").json()
    assert (found["rows_total"], found["rows_usable"], found["key_count"]) == (6, 2, 1)
    assert found["rejected"]["extension"]["count"] == 1
    assert "13800138001" not in str(found)


def test_check_uses_the_region_of_the_home(psc: Psc, tmp_path: Path) -> None:
    Home.create(tmp_path / "hk", "x", region="HK").close()
    (tmp_path / "t.csv").write_text("tel\n51234567\n", encoding="utf-8")
    check = "dataset check t.csv --key phone=tel:phone --json"
    assert psc(f"{check} --home hk").json()["rows_usable"] == 1
    assert psc(f"{check} --region HK").json()["rows_usable"] == 1
    assert psc(f"{check} --home hk --region CN").json()["rows_usable"] == 0


def test_add_list_show_remove(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    options = "--release status:text:16 --max-rows-per-key 1"
    done = psc(f"{ADD} {options}")
    assert done.code == 0
    assert "--max-rows-per-key" in done.out  # each phone has two rows, one is released
    found = psc("dataset show parcels --home c --json").json()
    assert (found["name"], found["row_count"], found["key_count"], found["most_rows_per_key"]) == ("parcels", 60, 30, 2)
    assert "salt" not in found
    assert psc("dataset list --home c --json").json() == {"datasets": [found]}
    assert "phone=mobile:phone" in psc("dataset list --home c").out
    removed = psc("dataset remove parcels --home c --json").json()
    assert removed == {"removed": "parcels", "agreements_naming_it": []}
    assert parcels.exists()
    assert "No dataset" in psc("dataset list --home c").out


VALUES = "--value fee:decimal:1:0..50:clip --value items=fee:int64:0..59 --group town=mobile --max-rows-per-key 2"


def test_values_and_groups_are_registered_and_shown(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    shown = " ".join(psc(f"{ADD} {VALUES}").out.split())
    assert "may be aggregated fee:decimal:1:0.0..50.0:clip · 9 outside the range, counted as the end of it" in shown
    assert "items=fee:int64:0..59" in shown
    assert "may be grouped by town=mobile · 30 labels" in shown
    found = psc("dataset show parcels --home c --json").json()
    assert [value["name"] for value in found["values"]] == ["fee", "items"]
    assert found["value_counts"][0] == {"name": "fee", "nulls": 0, "clipped": 9}
    assert found["group_columns"] == [{"name": "town", "groups": 30}]


def test_check_counts_what_registration_would_refuse(psc: Psc, tmp_path: Path) -> None:
    table = "mobile,fee,city\n13800138000,1.50,杭州\n13800138000,x,上海\n13800138001,,杭州\n13800138002,99,\nabc,7,北京\n"
    (tmp_path / "orders.csv").write_text(table, encoding="utf-8")
    line = (
        "dataset check orders.csv --key phone=mobile:phone --value fee:decimal:2:0..50 --value whole=fee:int64:0..50 --group city"
    )
    found = psc(f"{line} --json").json()
    assert found["values"] == [
        {
            "name": "fee",
            "column": "fee",
            "numbers": 2,
            "nulls": 1,
            "least": "1.50",
            "greatest": "99.00",
            "range": "0.00..50.00",
            "outside": 1,
            "not_numbers": 1,
            "not_whole": 0,
            "imprecise": 0,
        },
        {
            "name": "whole",
            "column": "fee",
            "numbers": 1,
            "nulls": 1,
            "least": "99",
            "greatest": "99",
            "range": "0..50",
            "outside": 1,
            "not_numbers": 1,
            "not_whole": 1,
            "imprecise": 0,
        },
    ]
    assert found["groups"] == [{"name": "city", "column": "city", "groups": 2, "nulls": 1, "keys_in_two": 1}]
    shown = " ".join(psc(line).out.split())
    assert (
        "value fee 2 numbers, 1 without a value, from 1.50 to 99.00; 1 outside 0.00..50.00; 1 no numbers, 0 with a fraction"
        in shown
    )
    assert "group city 2 labels; 1 row without a label, 1 key in two groups" in shown
    assert (
        psc("dataset check orders.csv --key phone=mobile:phone --group nothing --json").error()["code"] == "data.column-missing"
    )


def test_remove_names_the_agreements_that_it_empties(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    assert psc(ADD).code == 0
    propose = "agreement propose --home c --with merchant --dataset parcels --allow count --purpose p --sign --json"
    agreement = psc(propose).json()["agreement"]["id"]
    assert agreement in psc("dataset remove parcels --home c").out


def test_skip_writes_the_rejected_rows(psc: Psc, homes: tuple[Home, Home], tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("mobile\n13800138000\nabc\n", encoding="utf-8")
    add = "dataset add p --home c --source p.csv --key phone=mobile:phone --json"
    assert psc(add).error()["code"] == "data.bad-keys"
    assert psc(f"{add} --on-bad skip --rejects rejects.csv").json()["counts"][0]["rows_rejected"] == 1
    assert "invalid" in (tmp_path / "rejects.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("dataset check nothing.csv --key phone=mobile:phone", "data.file-missing", 3),
        ("dataset check empty.csv --key phone=mobile:phone", "data.file-empty", 3),
        ("dataset check latin.csv --key phone=mobile:phone", "data.not-utf8", 3),
        ("dataset check parcels.parquet --key phone=tel:phone", "data.column-missing", 3),
        ("dataset check parcels.parquet --key phone=mobile:telephone", "node.spec-kind", 2),
        ("dataset check parcels.parquet --key phone", "node.spec-wrong", 2),
        ("dataset check parcels.parquet", "cli.usage", 2),
        (f"{ADD} --release status:text", "node.spec-width", 2),
        (f"{ADD} --release status:blob", "node.spec-type", 2),
        (f"{ADD} --value fee:float64:0..9", "node.spec-wrong", 2),
        (f"{ADD} --value fee:decimal:10:0..9", "node.spec-scale", 2),
        (f"{ADD} --value fee:int64:0..9.5", "node.spec-range", 2),
        (f"{ADD} --value fee:int64:9..0", "node.spec-range-wide", 2),
        (f"{ADD} --value fee:int64:0..9 --max-rows-per-key 1", "node.key-rows-many", 3),
        (f"{ADD} --value fee:int64:0..9 --max-rows-per-key 2", "data.value-range", 3),
        (f"{ADD} --value status:int64:0..9 --max-rows-per-key 2", "data.value-not-number", 3),
        (f"{ADD} --group =x", "node.spec-wrong", 2),
        (f"{ADD} --group status", "data.group-not-one", 3),
        (f"{ADD} --on-bad maybe", "cli.usage", 2),
        (f"{ADD} --max-rows-per-key 0", "node.rows-per-key-range", 2),
        ("dataset show nothing --home c", "node.dataset-unknown", 2),
        ("dataset remove nothing --home c", "node.dataset-unknown", 2),
    ],
)
def test_bad_input_has_its_code(
    psc: Psc, homes: tuple[Home, Home], parcels: Path, tmp_path: Path, line: str, code: str, exit_code: int
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "latin.csv").write_bytes("mobile\né\n".encode("latin-1"))
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert f"[{code}]" in psc(line).err


def test_a_registered_name_is_not_taken_twice(psc: Psc, homes: tuple[Home, Home], parcels: Path) -> None:
    assert psc(ADD).code == 0
    assert psc(f"{ADD} --json").error()["code"] == "node.dataset-exists"
    assert psc(f"{ADD} --replace").code == 0
