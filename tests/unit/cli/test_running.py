"""``psc match | count`` and what belongs to a run: plans, output files, masking, receipts, ``psc doctor``; one served pair."""

from __future__ import annotations

import json
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from psc.cli.plans import refused_own_side
from psc.errors import Rule
from psc.node.runs import get_run
from psc.operations.plan import Plan
from psc.operations.requests import Count
from psc.policy.decide import Deny
from psc.testing.nodes import PURPOSE, NodePair, grant, node_pair

from .conftest import Psc

ROWS, SHARED = 120, 40


def phone(number: int) -> str:
    return f"138{number:08d}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    """A served courier: ``parcels`` with small least sizes, ``strict`` with the default ones, ``private`` without agreement."""
    folder = tmp_path_factory.mktemp("pair")
    theirs = [*range(SHARED), *range(1000, 1000 + ROWS - SHARED)]
    table = pa.table(
        {
            "mobile": [phone(number) for number in [*theirs, *theirs]],  # two rows each
            "status": ["signed"] * ROWS + ["returned"] * ROWS,
            "fee": list(range(2 * ROWS)),
        }
    )
    pq.write_table(table, folder / "parcels.parquet")
    with node_pair(folder) as made:
        source = folder / "parcels.parquet"
        options = {"source": source, "keys": ["phone=mobile:phone"], "release": ["status:text:16", "fee:int64"]}
        grant(made.courier, "merchant", "parcels", max_rows_per_key=1, **options)  # type: ignore[arg-type]
        grant(made.courier, "merchant", "strict", min_input=1000, outputs=["receiver"], **options)  # type: ignore[arg-type]
        yield made


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    mine = [*range(SHARED), *range(5000, 5000 + ROWS - SHARED)]
    table = pa.table(
        {"order": [f"O{n}" for n in range(ROWS)], "手机": [phone(number) for number in mine], "city": ["深圳"] * ROWS}
    )
    pacsv.write_csv(table, tmp_path / "orders.csv")
    return tmp_path / "orders.csv"


@pytest.fixture
def line(pair: NodePair, orders: Path) -> str:
    return f"courier/parcels --home {pair.merchant.home.path} --input orders.csv --key phone=手机 --purpose {PURPOSE}"


def _wait_until_finished(pair: NodePair, run: str) -> None:
    """Wait until the responder has stored what the initiator already has."""
    patience = time.monotonic() + 20
    while get_run(pair.courier.home, run).status == "running" and time.monotonic() < patience:
        time.sleep(0.01)


def test_match_writes_masked_keys_and_says_what_was_learned(psc: Psc, line: str, tmp_path: Path) -> None:
    done = psc(f"match {line} --want status,fee --output matched.csv")
    assert done.code == 0
    assert f"{SHARED} of {ROWS}" in done.out
    assert "What merchant learned:" in done.out
    assert "What courier learned:" in done.out
    assert "138****0000" in done.out
    assert phone(0) not in done.out
    rows = pacsv.read_csv(tmp_path / "matched.csv").to_pylist()
    assert len(rows) == SHARED
    assert rows[0] == {
        "order": "O0",
        "手机": "138****0000",
        "city": "深圳",
        "status": "signed",
        "fee": 0,
        "psc_rows_cut": True,
    }
    assert stat.S_IMODE((tmp_path / "matched.csv").stat().st_mode) == 0o600


def test_unmasking_is_recorded_with_the_run(psc: Psc, line: str, tmp_path: Path, pair: NodePair) -> None:
    found = psc(f"match {line} --output open.parquet --unmask --json").json()
    assert pq.read_table(tmp_path / "open.parquet").column("手机")[0].as_py() == phone(0)
    shown = psc(f"runs show {found['run_id']} --home {pair.merchant.home.path} --json").json()
    [entry] = shown["unmasked"]
    assert (entry["file"], entry["rows"]) == (str(tmp_path / "open.parquet"), SHARED)
    assert "in full" in psc(f"runs show {found['run_id']} --home {pair.merchant.home.path}").out
    masked = psc(f"match {line} --output masked.parquet --json").json()
    assert psc(f"runs show {masked['run_id']} --home {pair.merchant.home.path} --json").json()["unmasked"] == []


def test_the_json_of_a_match_has_figures_and_no_rows(psc: Psc, line: str) -> None:
    found = psc(f"match {line} --want status --json")
    document = found.json()
    assert document.keys() == {
        *("operation", "run_id", "partner", "dataset", "purpose", "matched_rows", "matched_keys", "result_rows", "cut_keys"),
        *("rejected", "leakage", "stats", "output", "unmasked"),
    }
    assert (document["matched_rows"], document["cut_keys"], document["output"]) == (SHARED, SHARED, None)
    assert found.err == ""
    assert "****" not in found.out


def test_count_gives_the_number_alone(psc: Psc, line: str) -> None:
    document = psc(f"count {line} --json").json()
    assert document["count"] == SHARED
    assert document.keys() == {"operation", "run_id", "partner", "dataset", "purpose", "count", "rejected", "leakage", "stats"}
    shown = psc(f"count {line}")
    assert "****" not in shown.out
    assert f"common keys   {SHARED} of {ROWS} own keys" in shown.out
    assert "left out" not in shown.out


def test_count_shows_the_rows_that_were_left_out(psc: Psc, line: str, orders: Path) -> None:
    orders.write_text(orders.read_text(encoding="utf-8") + "O999,95338,深圳\n", encoding="utf-8")
    shown = psc(f"count {line} --on-bad skip").out
    assert "own rows left out" in shown
    assert "1 (service 1)" in shown


def test_a_dry_run_moves_nothing(psc: Psc, line: str, pair: NodePair) -> None:
    runs = f"runs list --home {pair.merchant.home.path} --json"
    before = psc(runs).json()
    plan = psc(f"match {line} --want status --dry-run --output never.csv --json").json()
    assert plan["refused_by"] is None
    assert (plan["own_keys"], plan["released"], plan["operation"]) == (ROWS, ["status"], "match")
    shown = psc(f"count {line} --dry-run")
    assert (shown.code, "What merchant will learn:" in shown.out) == (0, True)
    assert psc(runs).json() == before
    assert not Path("never.csv").exists()


def test_a_refused_dry_run_prints_the_plan_and_exits_4(psc: Psc, line: str) -> None:
    done = psc(f"match {line.replace('parcels', 'strict')} --dry-run --json")
    assert done.code == 4
    assert done.json()["refused_by"]["rule"] == "input-too-small"
    assert json.loads(done.err)["error"]["fields"]["rule"] == "input-too-small"
    shown = psc(f"match {line.replace('parcels', 'strict')} --dry-run")
    assert (shown.code, "input-too-small" in shown.out) == (4, True)
    assert re.search(r"own table +orders\.csv", shown.out)


@pytest.mark.parametrize(("keys", "said"), [(0, "0 distinct keys"), (1, "1 distinct key"), (1200, "1,200 distinct keys")])
def test_a_refused_plan_names_the_own_table_and_its_keys(keys: int, said: str) -> None:
    refusal = Deny(Rule.INPUT_TOO_SMALL, {"side": "initiator", "size": keys, "min_input": 2000}).error()
    request = Count("data/orders.csv", on={"phone": "mobile"}, dataset="parcels", purpose=PURPOSE)
    assert refused_own_side(Plan(request, "courier", refusal)) == f"orders.csv, {said}"
    assert f"The initiator's {keys} distinct {'key is' if keys == 1 else 'keys are'} fewer" in str(refusal)


def test_a_refusal_names_the_own_table_on_stderr(psc: Psc, line: str) -> None:
    done = psc(f"count {line.replace('parcels', 'strict')}")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("own table: orders.csv\nError: ")


def test_a_dataset_that_is_not_granted_names_those_that_are(psc: Psc, line: str) -> None:
    assert "Granted: " in psc(f"count {line.replace('parcels', 'parcel')}").err
    assert "parcels" in psc(f"count {line.replace('parcels', 'parcel')} --json").error()["fields"]["granted"].split(", ")


@pytest.mark.parametrize("key", ["tel=手机", "手机"])
def test_a_key_that_the_dataset_has_not_says_how_to_write_it(psc: Psc, line: str, key: str) -> None:
    error = psc(f"count {line.replace('phone=手机', key)} --json").error()
    assert error["code"] == "policy.denied-key-not-granted"
    assert "--key phone=COLUMN" in error["message"]
    assert "text" not in error["message"]


def test_output_to_both_is_delivered_and_exported(psc: Psc, line: str, pair: NodePair, tmp_path: Path) -> None:
    courier = pair.courier.home.path
    run = psc(f"match {line} --output-to both --json").json()["run_id"]
    _wait_until_finished(pair, run)
    assert "psc runs export" in psc(f"runs show {run} --home {courier}").out
    assert psc(f"runs export {run} --home {courier} --output theirs.csv").code == 0
    assert pacsv.read_csv(tmp_path / "theirs.csv").column("mobile")[0].as_py() == "138****0000"
    assert psc(f"runs export {run} --home {courier} --output open.csv --unmask").code == 0
    assert str(pacsv.read_csv(tmp_path / "open.csv").column("mobile")[0].as_py()) == phone(0)
    assert len(psc(f"runs show {run} --home {courier} --json").json()["unmasked"]) == 1
    assert (
        psc(f"runs export {run} --home {pair.merchant.home.path} --output x.csv --json").error()["code"] == "cli.result-missing"
    )


def test_a_third_home_with_two_cards_verifies_a_receipt_file(psc: Psc, line: str, pair: NodePair, tmp_path: Path) -> None:
    run = psc(f"count {line} --json").json()["run_id"]
    _wait_until_finished(pair, run)
    merchant = pair.merchant.home.path
    assert psc(f"runs export {run} --home {merchant} --receipt receipt.json").code == 0
    assert psc("init --home third --name auditor").code == 0
    assert psc("runs show receipt.json --home third --verify --json").error()["exit_code"] == 10
    for node in (pair.merchant, pair.courier):
        card = tmp_path / f"{node.name}.card"
        card.write_text(node.card_json(), encoding="utf-8")
        assert psc(f"trust {card} --home third").code == 0
    verified = psc("runs show receipt.json --home third --verify --json").json()["verified"]
    assert verified == {"initiator": "merchant", "responder": "courier"}
    for home in (merchant, pair.courier.home.path):
        assert "✓" in psc(f"runs show {run[:8]} --home {home} --verify").out
    text = (tmp_path / "receipt.json").read_text(encoding="utf-8").replace('"count"', '"match"')
    (tmp_path / "forged.json").write_text(text, encoding="utf-8")
    assert psc("runs show forged.json --home third --json").error()["exit_code"] == 10


def test_skip_counts_bad_rows_and_lists_them(psc: Psc, line: str, orders: Path, tmp_path: Path) -> None:
    orders.write_text(orders.read_text(encoding="utf-8") + "O999,95338,深圳\n", encoding="utf-8")
    error = psc(f"match {line} --json").error()
    assert (error["code"], error["exit_code"]) == ("data.bad-keys", 3)
    found = psc(f"match {line} --on-bad skip --rejects rejects.csv --json").json()
    assert found["rejected"] == {"service": 1}
    assert "95****" in (tmp_path / "rejects.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "code", "exit_code"),
    [
        (("courier/parcels", "courier"), "cli.target-wrong", 2),
        (("courier/parcels", "courier/a/b"), "cli.target-wrong", 2),
        (("courier/parcels", "nobody/parcels"), "node.partner-unknown", 2),
        (("courier/parcels", "courier/private"), "policy.denied-dataset-not-granted", 4),
        (("courier/parcels", "courier/strict"), "policy.denied-input-too-small", 4),
        (("phone=手机", "phone="), "cli.option-form", 2),
        (("phone=手机", "phone=mobile"), "data.column-missing", 3),
        (("phone=手机", "phone=手机 --key phone=city"), "cli.option-twice", 2),
        (("phone=手机", "mail=手机"), "policy.denied-key-not-granted", 4),
        (("phone=手机", "phone=city"), "data.all-keys-bad", 3),
        ((PURPOSE, "marketing"), "policy.denied-purpose-not-allowed", 4),
        ((PURPOSE, f"{PURPOSE} --want secret"), "policy.denied-column-not-released", 4),
        ((PURPOSE, f"{PURPOSE} --minimum-result 1000"), "operations.result-below-own-minimum", 4),
        (("orders.csv", "nothing.csv"), "data.file-missing", 3),
        (("orders.csv", "empty.csv"), "data.file-empty", 3),
        ((PURPOSE, f"{PURPOSE} --output x.txt"), "data.output-suffix", 2),
        ((PURPOSE, f"{PURPOSE} --output exists.csv"), "cli.output-exists", 2),
        ((PURPOSE, f"{PURPOSE} --output no/x.csv"), "data.output-folder-missing", 2),
        ((PURPOSE, f"{PURPOSE} --output orders.csv --force"), "cli.output-is-input", 2),
        ((PURPOSE, f"{PURPOSE} --output x.csv --rejects x.csv"), "cli.output-twice", 2),
        ((PURPOSE, f"{PURPOSE} --unmask"), "cli.output-needed", 2),
    ],
)
def test_bad_input_has_its_code_and_leaves_no_file(
    psc: Psc, line: str, tmp_path: Path, change: tuple[str, str], code: str, exit_code: int
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "exists.csv").write_text("mine", encoding="utf-8")
    before = sorted(path.name for path in tmp_path.iterdir())
    error = psc(f"match {line.replace(*change)} --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    shown = psc(f"match {line.replace(*change)}")
    assert (shown.code, shown.out) == (exit_code, "")
    assert f"[{code}]" in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "exists.csv").read_text(encoding="utf-8") == "mine"


def test_a_full_disk_leaves_no_half_file(psc: Psc, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    psc(f"match {line} --dry-run")  # so that the node has its certificate: that is written, too
    monkeypatch.setattr("psc.data.output.os.fsync", full)
    error = psc(f"match {line} --output x.csv --json").error()
    assert (error["code"], error["exit_code"]) == ("data.disk-full", 9)
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_verbose_tells_the_stages_on_stderr(psc: Psc, line: str) -> None:
    done = psc(f"count {line} -v")
    for stage in ("connecting", "computing", "finishing", "done"):
        assert stage in done.err
    assert "Plan" in done.err


def test_doctor_finds_nothing_wrong(psc: Psc, pair: NodePair) -> None:
    done = psc(f"doctor courier --home {pair.merchant.home.path}")
    assert done.code == 0
    assert "✗" not in done.out
    found = psc(f"doctor courier --home {pair.merchant.home.path} --json").json()
    assert found["ok"]
    names = [check["check"] for check in found["checks"]]
    assert names == [
        *("card", "own-certificate", "port", "tls", "gateway", "certificate", "identity", "clock", "series", "protocols"),
        *("rules", "number-metadata", "limits", "catalogue"),
    ]
    assert "courier/parcels" in found["checks"][-1]["said"]


def test_doctor_says_that_the_other_side_does_not_listen_or_wait(psc: Psc, pair: NodePair) -> None:
    found = psc(f"doctor merchant --home {pair.courier.home.path} --json")
    assert found.code == 8
    assert found.json()["checks"][-1]["status"] == "fail"


def test_everything_is_said_in_chinese_too(psc: Psc, line: str, pair: NodePair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_LANG", "zh")
    assert "得知" in psc(f"match {line} --want status").out
    assert "将得知" in psc(f"count {line} --dry-run").out
    assert "证书" in psc(f"doctor courier --home {pair.merchant.home.path}").out
    assert "请求 courier" in psc(f"runs list --home {pair.merchant.home.path}").out


def test_a_receipt_shows_its_agreement_by_id_and_digest(
    psc: Psc, line: str, pair: NodePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = psc(f"count {line} --json").json()["run_id"]
    _wait_until_finished(pair, run)
    home = pair.courier.home.path
    document = psc(f"runs show {run} --home {home} --json").json()
    agreements = {entry["agreement"]["id"]: entry for entry in psc(f"agreement list --home {home} --json").json()["agreements"]}
    assert agreements[document["agreement"]]["digest"] == document["receipt"]["agreement_digest"]
    shown = psc(f"runs show {run} --home {home}").out
    assert document["agreement"] in shown
    assert document["receipt"]["agreement_digest"] in shown
    monkeypatch.setenv("PSC_LANG", "zh")
    chinese = psc(f"runs show {run} --home {home}").out
    assert "英文" in chinese
    assert document["receipt"]["leakage"]["initiator"][0][:20] in chinese  # as it was signed
