"""``--or-key`` of ``psc match``, and several keys in ``psc dataset check`` and ``add``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psc.cli.options import parse_any_of
from psc.errors import UsageError
from psc.operations.anyof import any_of
from psc.testing.nodes import PURPOSE, NodePair, grant, node_pair

from .conftest import Psc

KEYS = ["phone=mobile:phone", "email:email", "name:text", "zip:text"]


def table(first: int, rows: int) -> pa.Table:
    """People of whom each third has only a phone, only a mail, only a name."""
    numbers = range(first, first + rows)
    cells = {
        "mobile": [f"138{n:08d}" if n % 3 == 0 else None for n in numbers],
        "email": [f"p{n}@example.com" if n % 3 == 1 else None for n in numbers],
        "name": [f"n{n}" if n % 3 == 2 else None for n in numbers],
        "zip": ["310000" if n % 3 == 2 else None for n in numbers],
        "status": [f"s{n}" for n in numbers],
    }
    return pa.table(cells)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    folder = tmp_path_factory.mktemp("pair")
    with node_pair(folder) as made:
        pq.write_table(table(0, 90), folder / "parcels.parquet")
        grant(made.courier, "merchant", "parcels", source=folder / "parcels.parquet", keys=KEYS, release=["status:text:8"])
        yield made


@pytest.fixture
def line(pair: NodePair, tmp_path: Path) -> str:
    pq.write_table(table(60, 60), tmp_path / "orders.parquet")
    keys = "--key phone=mobile --or-key email --or-key name,zip=zip"
    return f"match courier/parcels --home {pair.merchant.home.path} --input orders.parquet {keys} --purpose {PURPOSE}"


def test_each_or_key_is_another_key(pair: NodePair, line: str, psc: Psc, tmp_path: Path) -> None:
    found = psc(f"{line} --want status --output out.csv --json").json()
    assert [(each["key"], each["matched_rows"], each["matched_keys"]) for each in found["alternatives"]] == [
        ("phone", 10, 10),
        ("email", 10, 10),
        ("name+zip", 10, 10),
    ]
    assert (found["matched_rows"], found["matched_keys"]) == (30, 30)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["psc_matched_by"] for row in rows] == ["phone", "email", "name+zip"] * 10
    assert {row["mobile"] for row in rows} == {"", "138****0060"} | {f"138****{n:04d}" for n in range(60, 90, 3)}
    assert [row["parcels.status"] for row in rows] == [f"s{n}" for n in range(60, 90)]


def test_the_terminal_shows_the_keys(pair: NodePair, line: str, psc: Psc) -> None:
    plan = psc(f"{line} --dry-run").out
    assert "by each key" in plan
    assert "phone: 20 own keys (64 padded), 64 of the partner (padded); 40 rows have none" in plan
    shown = psc(line).out
    assert "name+zip: 10 rows (10 matching keys)" in shown
    assert "psc_matched_by" in shown
    assert "13800000060" not in shown
    few = psc(f"{line} --minimum-result 11")
    assert few.code == 4
    run = psc(f"runs list --home {pair.merchant.home.path} --json").json()["runs"][1]["run_id"]
    receipt = psc(f"runs show {run} --home {pair.merchant.home.path}").out
    assert "phone:phone · email:email · name:text, zip:text" in receipt
    assert "64 / 64 · 64 / 64 · 64 / 64" in receipt


def test_a_key_with_few_matches_is_said_to_be_withheld(line: str, psc: Psc, tmp_path: Path) -> None:
    cells = table(60, 60)
    mobile = pa.array([cell if n < 9 else None for n, cell in enumerate(cells["mobile"].to_pylist())], pa.string())
    mail = pa.array([f"p{n}@example.com" if n % 3 != 2 else None for n in range(60, 120)])
    pq.write_table(cells.set_column(0, "mobile", mobile).set_column(1, "email", mail), tmp_path / "orders.parquet")
    shown = psc(f"{line} --minimum-result 5").out
    assert "phone: not shown, fewer than 5 keys match" in shown
    assert "email: 10 rows (10 matching keys)" in shown


def test_dry_run_as_json_has_every_key(line: str, psc: Psc) -> None:
    found = psc(f"{line} --dry-run --json").json()
    assert [each["key"] for each in found["alternatives"]] == ["phone", "email", "name+zip"]
    assert found["alternatives"][0] == {"key": "phone", "own_keys": 20, "rows_without": 40, "own_size": 64, "partner_size": 64}
    assert (found["own_size_padded"], found["partner_size_padded"]) == (192, 192)


def test_what_the_options_mean() -> None:
    assert parse_any_of(["phone=mobile"], []) == {"phone": "mobile"}
    assert parse_any_of(["phone=mobile"], ["email=mail", "name, zip=plz"]) == any_of(
        {"phone": "mobile"}, {"email": "mail"}, {"name": "name", "zip": "plz"}
    )
    assert parse_any_of(["name", "zip=plz"], ["email"]) == any_of({"name": "name", "zip": "plz"}, "email")


@pytest.mark.parametrize(
    ("keys", "further", "code"),
    [
        (["phone"], ["phone=landline"], "operations.any-of-twice"),
        (["a"], ["b", "c", "d", "e"], "operations.any-of-count"),
        (["phone"], ["email,"], "cli.option-form"),
        (["phone"], ["=mail"], "cli.option-form"),
        (["phone"], ["email=mail:email"], "cli.key-has-kind"),
        (["phone"], ["name,name"], "cli.option-twice"),
    ],
)
def test_what_is_refused(keys: list[str], further: list[str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_any_of(keys, further)
    assert caught.value.code == code
    assert "--key" in str(caught.value) or "--or-key" in str(caught.value) or code == "operations.any-of-twice"


def test_count_has_no_other_keys(psc: Psc) -> None:
    assert psc("count courier/parcels --input x.csv --key phone --or-key email --purpose p").code == 2


def test_several_keys_are_checked_and_registered_with_their_blanks(psc: Psc, tmp_path: Path) -> None:
    pq.write_table(table(0, 30), tmp_path / "parcels.parquet")
    keys = " ".join(f"--key {key}" for key in KEYS)
    report = psc(f"dataset check parcels.parquet {keys} --json").json()
    assert (report["rows_usable"], report["rejected"]) == (0, {})
    assert report["keys"][0] == {"name": "phone", "keys": 10, "rows_without": 20}
    assert "email: 10; 20 rows have none" in psc(f"dataset check parcels.parquet {keys}").out
    assert psc("init --name courier --home courier").code == 0
    done = psc(f"dataset add parcels --source parcels.parquet {keys} --home courier")
    assert done.code == 0, done.err
    added = done.out
    assert "name+zip: 10; 20 rows have none" in added
    assert "phone+email: 0; 30 rows have none" in added
