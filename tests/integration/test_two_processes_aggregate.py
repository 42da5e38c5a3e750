"""Sums over shared customers between two homes made with the command line alone: two processes, mutual TLS, CSV and Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from psc.testing.companies import Companies
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, courier_parcels, merchant_orders, plain_shared

ROWS = 100_000
SUMS = ["--select", "sum:fee", "--select", "sum:paid", "--select", "sum:weight"]
MIN_GROUP = 100
KEY = f"phone={ORDER_PHONE}"


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    folder = tmp_path_factory.mktemp("companies")
    with Companies(folder) as made:
        orders = merchant_orders(ROWS)
        pacsv.write_csv(orders, folder / "orders.csv")
        pacsv.write_csv(orders.slice(0, 3000), folder / "small.csv")
        pacsv.write_csv(pa.table({ORDER_PHONE: [f"1990000{n:04d}" for n in range(3000)]}), folder / "strangers.csv")
        pq.write_table(courier_parcels(ROWS), folder / "parcels.parquet")
        made.found()
        made.grant(
            folder / "parcels.parquet",
            f"phone={PARCEL_PHONE}:phone",
            ["status:text:16"],
            values=["fee:int64:0..5000", "paid:decimal:2:0..100", "weight:decimal:2:0..50"],
            groups=["city"],
            rows_per_key=32,
            options=["--runs-per-day", 100, "--min-group", MIN_GROUP],
        )
        made.serve()
        yield made


@pytest.fixture(scope="module")
def shared() -> pd.DataFrame:
    """The courier's rows of shared customers, by libphonenumber and pandas alone; values in units of their scale."""
    rows = plain_shared(merchant_orders(ROWS), courier_parcels(ROWS), own=["tier"])
    return rows.assign(weight_units=(rows["weight"] * 100).round().astype("int64"))


@pytest.mark.slow
def test_three_sums_by_ten_groups_equal_a_plain_merge(companies: Companies, shared: pd.DataFrame) -> None:
    folder = companies.folder
    words: list[object] = [*SUMS, "--group-by", "city", "--output", folder / "spent.parquet"]
    answer = companies.ask("aggregate", folder / "orders.csv", KEY, *words, "--json").json()
    got = pq.read_table(folder / "spent.parquet").to_pandas().set_index("city")
    assert [row["city"] for row in answer["rows"]] == got.index.tolist()
    assert len(got) == shared["city"].nunique() == 10
    for city, rows in shared.groupby("city"):
        customers = rows["key"].nunique()
        if got["withheld"][city]:
            assert customers < 1000  # the small one, and the next one that hides it
            assert got.loc[city].drop("withheld").isna().all()
            continue
        assert customers >= MIN_GROUP
        expected = (customers, rows["fee"].sum(), rows["paid"].sum(), Decimal(int(rows["weight_units"].sum())) / 100)
        assert tuple(got.loc[city, ["customers", "fee_sum", "paid_sum", "weight_sum"]]) == expected
    assert got["withheld"].sum() == 2

    receipt = folder / "receipt.json"
    companies.psc("courier", "runs", "export", answer["run_id"], "--receipt", receipt)
    companies.psc("auditor", "init", "--name", "auditor")
    for name in ("merchant", "courier"):
        companies.psc("auditor", "trust", folder / f"{name}.card")
    verified = companies.psc("auditor", "runs", "show", receipt, "--verify")
    assert "fee_sum, paid_sum, weight_sum" in verified.out
    for change in ({"minimum_group": 1}, {"membership": "owner"}):
        forged = json.loads(receipt.read_text(encoding="utf-8"))
        forged["receipt"]["aggregate"] |= change
        (folder / "forged.json").write_text(json.dumps(forged), encoding="utf-8")
        refused = companies.psc("auditor", "runs", "show", folder / "forged.json", "--verify", check=False)
        assert refused.code == 10
        assert "Traceback" not in refused.err


@pytest.mark.slow
def test_own_groups_means_spreads_and_histograms_for_both(companies: Companies, shared: pd.DataFrame) -> None:
    folder = companies.folder
    selects = ("count", "rows", "count:paid", "mean:paid", "std:weight:customer", "histogram:fee:0,1000,3000")
    words: list[object] = [word for select in selects for word in ("--select", select)]
    words += ["--group-by", "own:tier", "--output-to", "both", "--output", folder / "tiers.csv"]
    answer = companies.ask("aggregate", folder / "orders.csv", KEY, *words, "--json").json()
    got = pd.read_csv(folder / "tiers.csv").set_index("tier")
    assert set(got.index) == {"gold", "silver", "basic"}
    assert not got["withheld"].any()
    for tier, rows in shared.groupby("tier"):
        row, totals = got.loc[tier], rows.groupby("key")["weight"].sum()
        assert row["customers"] == row["count"] == rows["key"].nunique()
        assert row["rows"] == len(rows)
        assert row["paid_count"] == rows["paid"].count()
        assert row["paid_mean"] == pytest.approx(rows["paid"].dropna().astype(float).mean(), rel=1e-12)
        assert row["weight_std_per_customer"] == pytest.approx(totals.std(), rel=1e-9)
        assert (row["fee_[0,1000)"], row["fee_[1000,3000]"]) == ((rows["fee"] < 1000).sum(), (rows["fee"] >= 1000).sum())

    delivered = folder / "delivered.csv"
    companies.psc("courier", "runs", "export", answer["run_id"], "--output", delivered)
    theirs = pd.read_csv(delivered)
    assert sorted(theirs["customers"]) == sorted(got["customers"])
    assert "rows" in theirs.columns


def _ask(companies: Companies, table: str, *words: object) -> tuple[int, str, str]:
    done = companies.ask("aggregate", companies.folder / table, KEY, *words, "--json", check=False)
    assert "Traceback" not in done.err + done.out
    error = json.loads(done.err)["error"]
    return done.code, error["code"], error["message"]


REFUSED = [
    ("value", "small.csv", ["--select", "sum:amount"], 4, "policy.denied-value-not-granted"),
    ("group", "small.csv", ["--select", "sum:fee", "--group-by", "theirs:status"], 4, "policy.denied-group-not-granted"),
    ("membership", "small.csv", ["--select", "sum:fee", "--membership", "owner"], 4, "policy.denied-membership-not-allowed"),
    ("output", "small.csv", ["--select", "sum:fee", "--output-to", "responder"], 4, "policy.denied-output-not-allowed"),
    ("function", "small.csv", ["--select", "median:fee"], 2, "cli.select-function"),
    ("own group that varies", "small.csv", ["--select", "count", "--group-by", "own:items"], 3, "data.group-not-one"),
    ("too many own groups", "small.csv", ["--select", "count", "--group-by", "own:order_id"], 3, "data.groups-many"),
    ("no shared customers", "strangers.csv", ["--select", "sum:fee"], 4, "policy.denied-result-too-small"),
]


@pytest.mark.parametrize(("table", "words", "code", "error"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused_has_its_exit_code(companies: Companies, table: str, words: list[str], code: int, error: str) -> None:
    assert _ask(companies, table, *words)[:2] == (code, error)


def test_a_result_that_is_too_small_does_not_say_how_small(companies: Companies, shared: pd.DataFrame) -> None:
    count = shared["key"].nunique()
    code, error, message = _ask(companies, "orders.csv", "--select", "sum:fee", "--minimum-result", count + 1)
    assert (code, error) == (4, "operations.result-below-own-minimum")
    assert not {str(count), f"{count:,}"} & set(message.split())
