"""Two homes made with the command line alone, two processes, mutual TLS: the main job as a user does it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from psc.testing.companies import Companies
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, courier_parcels, merchant_orders, plain_join

ROWS = 100_000


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    folder = tmp_path_factory.mktemp("companies")
    with Companies(folder) as made:
        pacsv.write_csv(merchant_orders(ROWS), folder / "orders.csv")
        pq.write_table(courier_parcels(ROWS), folder / "parcels.parquet")
        made.found()
        made.grant(
            folder / "parcels.parquet",
            f"phone={PARCEL_PHONE}:phone",
            ["status:text:16", "weight:float64"],
            options=["--runs-per-day", 100],
        )
        made.serve()
        yield made


@pytest.mark.slow
def test_a_hundred_thousand_dirty_rows_equal_a_plain_merge(companies: Companies) -> None:
    folder = companies.folder
    options = ["--want", "status,weight", "--output", folder / "matched.parquet", "--rejects", folder / "rejects.csv"]
    answer = companies.ask("match", folder / "orders.csv", f"phone={ORDER_PHONE}", *options, "--json").json()
    orders, parcels = merchant_orders(ROWS), courier_parcels(ROWS)
    want = plain_join(orders, parcels, want=("status", "weight"), max_rows_per_key=8)
    got = pq.read_table(folder / "matched.parquet").to_pandas()
    assert got["order_id"].tolist() == want["order_id"].tolist()
    assert got["status"].fillna("").tolist() == want["status"].fillna("").tolist()
    pd.testing.assert_series_equal(got["weight"].astype(float), want["weight"].astype(float), check_names=False)
    assert got[ORDER_PHONE].str.fullmatch(r"\S*\*{4}\S*").all()  # own phones stay masked without --unmask
    assert answer["matched_keys"] == want["key"].nunique()
    rejected = pd.read_csv(folder / "rejects.csv", dtype=str)
    assert len(rejected) == sum(answer["rejected"].values()) if "rejected" in answer else len(rejected) > 0
    assert protocol_of(companies, answer["run_id"]) == ("vole-psi", "semi-honest")  # what psc chose for sets of this size

    other = ["--want", "status,weight", "--output", folder / "by-dh-psi.parquet", "--protocol", "dh-psi", "--json"]
    slower = companies.ask("match", folder / "orders.csv", f"phone={ORDER_PHONE}", *other).json()
    assert protocol_of(companies, slower["run_id"]) == ("dh-psi", "semi-honest")
    assert pq.read_table(folder / "by-dh-psi.parquet").equals(pq.read_table(folder / "matched.parquet"))

    alone = companies.ask("match", folder / "orders.csv", f"phone={ORDER_PHONE}", "--json").json()
    assert protocol_of(companies, alone["run_id"]) == ("vole-psi", "malicious")
    assert alone["matched_keys"] == answer["matched_keys"]

    counted = companies.ask("count", folder / "orders.csv", f"phone={ORDER_PHONE}", "--json").json()
    assert counted["count"] == answer["matched_keys"]
    assert not {"rows", "table", "matched_rows"} & counted.keys()

    receipt = folder / "receipt.json"
    companies.psc("courier", "runs", "export", answer["run_id"], "--receipt", receipt)
    companies.psc("auditor", "init", "--name", "auditor")
    for name in ("merchant", "courier"):
        companies.psc("auditor", "trust", folder / f"{name}.card")
    assert companies.psc("auditor", "runs", "show", receipt, "--verify").code == 0
    forged = json.loads(receipt.read_text(encoding="utf-8"))
    forged["receipt"]["purpose"] = "marketing"
    receipt.write_text(json.dumps(forged), encoding="utf-8")
    refused = companies.psc("auditor", "runs", "show", receipt, "--verify", check=False)
    assert refused.code == 10
    assert "Traceback" not in refused.err


def protocol_of(companies: Companies, run: str) -> tuple[str, str]:
    """Return protocol and model as a run's receipt has them."""
    file = companies.folder / f"{run}.json"
    companies.psc("merchant", "runs", "export", run, "--receipt", file)
    receipt = json.loads(file.read_text(encoding="utf-8"))["receipt"]
    return receipt["protocol"], receipt["model"]


def small(companies: Companies) -> Path:
    path = companies.folder / "small.csv"
    pacsv.write_csv(merchant_orders(3000), path)
    return path


BAD = [
    ("wrong column", ["--key", "phone=nope"], 3),
    ("unreadable file", ["--input", "no-such-file.csv"], 3),
    ("unknown purpose", ["--purpose", "marketing"], 4),
    ("column not granted", ["--want", "fee"], 4),
    ("output folder missing", ["--output", "nowhere/out.csv"], 2),
    ("no such option", ["--frobnicate"], 2),
]


@pytest.mark.parametrize(("what", "change", "code"), BAD, ids=[what for what, _, _ in BAD])
def test_bad_input_has_its_exit_code_and_no_traceback(companies: Companies, what: str, change: list[str], code: int) -> None:
    base = {
        "--input": str(small(companies)),
        "--key": f"phone={ORDER_PHONE}",
        "--purpose": "delivery-reconciliation",
        "--on-bad": "skip",
    }
    extra: list[str] = []
    if change[0] in base:
        base[change[0]] = change[1]
    else:
        extra = change
    words = [word for pair in base.items() for word in pair]
    done = companies.psc("merchant", "match", "courier/parcels", *words, *extra, check=False)
    assert done.code == code, done.err
    assert done.err
    assert "Traceback" not in done.err + done.out


def test_partner_and_dataset_that_are_unknown(companies: Companies) -> None:
    words = ["--input", small(companies), "--key", f"phone={ORDER_PHONE}", "--purpose", "p", "--on-bad", "skip"]
    assert companies.psc("merchant", "match", "nobody/parcels", *words, check=False).code == 2
    assert companies.psc("merchant", "match", "courier/secrets", *words, check=False).code == 4


def test_a_dry_run_moves_nothing_and_a_refused_one_exits_4(companies: Companies) -> None:
    before = companies.psc("courier", "runs", "list", "--json").json()
    plan = companies.ask("match", small(companies), f"phone={ORDER_PHONE}", "--dry-run", "--json").json()
    assert plan["leakage"]["initiator"]
    tiny = companies.folder / "tiny.csv"
    pacsv.write_csv(pa.table({ORDER_PHONE: ["13800138000"]}), tiny)
    refused = companies.ask("match", tiny, f"phone={ORDER_PHONE}", "--dry-run", "--json", check=False)
    assert refused.code == 4
    assert refused.json()["refused_by"]["rule"] == "input-too-small"
    assert companies.psc("courier", "runs", "list", "--json").json() == before


def test_a_dead_server_is_not_ready_and_the_next_one_serves(companies: Companies) -> None:
    assert companies.server is not None
    companies.server.send_signal(signal.SIGKILL)
    companies.server.wait()
    down = companies.ask("count", small(companies), f"phone={ORDER_PHONE}", check=False)
    assert down.code == 8, down.err
    assert "Traceback" not in down.err
    companies.serve()
    assert companies.ask("count", small(companies), f"phone={ORDER_PHONE}", check=False).code == 0


def test_the_server_stops_gracefully_and_its_log_is_json_without_phones(companies: Companies) -> None:
    companies.ask("count", small(companies), f"phone={ORDER_PHONE}")
    assert companies.stop() == 0
    lines = (companies.folder / "server.log").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert any("run" in event for event in events)
    companies.serve()
