"""``psc aggregate``: what it reads, what it shows at two widths and in two languages, what it writes and what it refuses."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Group

from psc.audit.receipt import SignedReceipt
from psc.cli import show
from psc.cli.aggregates import groups_shown
from psc.cli.options import parse_group_by, parse_select
from psc.engines import available
from psc.errors import UsageError
from psc.node.runs import get_run, receipt_of
from psc.operations.select import count, histogram, mean, std, sum_of, var, weighted_sum
from psc.policy.propose import Offer
from psc.testing.nodes import PURPOSE, NodePair, node_pair
from psc.texts.cli import TEXTS

from .conftest import Psc

# --- reading -------------------------------------------------------------------------------------------------------


def test_outputs_are_read_as_the_sdk_makes_them() -> None:
    texts = [
        "count",
        "rows",
        "count:fee",
        "count:fee:customer",
        "sum:运费",
        "mean:fee",
        "mean:fee:row",
        "var:fee",
        "std:fee:customer",
    ]
    wanted = [
        count(),
        count(per="row"),
        count("fee"),
        count("fee", per="customer"),
        sum_of("运费"),
        mean("fee"),
        mean("fee"),
        var("fee"),
        std("fee", per="customer"),
    ]
    assert list(parse_select(texts)) == wanted
    assert parse_select(["histogram:fee:0, 10,50.5"]) == histogram("fee", [0, 10, "50.5"])
    assert parse_select(["histogram:fee:-1,1:customer"]) == histogram("fee", [-1, 1], per="customer")
    assert parse_select(["weighted_sum:rate*fee"]) == (weighted_sum("rate", "fee"),)
    assert parse_select(["weighted_sum: rate * fee :2"]) == (weighted_sum("rate", "fee", scale=2),)
    assert parse_group_by(["city,own:tier", "theirs:city", "city"]) == ("city", "own:tier", "theirs:city")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "cli.select-function"),
        ("median:fee", "cli.select-function"),
        ("count,sum:fee", "cli.select-commas"),
        ("avg:fee", "cli.select-average"),
        ("average", "cli.select-average"),
        ("sum", "cli.select-column"),
        ("mean:", "cli.select-column"),
        ("histogram", "cli.select-column"),
        ("mean:fee:client", "cli.select-per"),
        ("histogram:fee:0,1:rows", "cli.select-per"),
        ("sum:fee:customer", "cli.select-part"),
        ("rows:fee", "cli.select-part"),
        ("mean:fee:row:1", "cli.select-part"),
        ("weighted_sum:a*b:2:3", "cli.select-part"),
        ("histogram:fee", "cli.select-edges"),
        ("histogram:fee:10", "cli.select-edges"),
        ("histogram:fee:0,ten", "cli.select-edges"),
        ("histogram:fee:10,0", "cli.select-edges"),
        ("histogram:fee:0,0", "cli.select-edges"),
        ("histogram:fee:0,inf", "cli.select-edges"),
        ("histogram:fee:0,nan", "cli.select-edges"),
        ("histogram:fee:" + ",".join(map(str, range(66))), "operations.edges"),
        ("weighted_sum", "cli.select-weight"),
        ("weighted_sum:fee", "cli.select-weight"),
        ("weighted_sum:*fee", "cli.select-weight"),
        ("weighted_sum:rate*", "cli.select-weight"),
        ("weighted_sum:rate*fee:two", "cli.select-scale"),
        ("weighted_sum:rate*fee:10", "cli.select-scale"),
        ("sum:" + "x" * 65, "cli.name-wrong"),
        ("sum:a\u202eb", "cli.name-wrong"),
    ],
)
def test_each_mistake_in_an_output_has_its_code_and_says_what_to_write(
    text: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_select([text])
    assert caught.value.code == code
    if code.startswith("cli.select"):
        assert re.search(r"Write |For instance", str(caught.value))
        monkeypatch.setenv("PSC_LANG", "zh")
        assert re.search("请写|例如|请写成|单独写", str(caught.value))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("sum:paid,mean:paid", "Write --select sum:paid --select mean:paid"),
        ("histogram:fee:0,10,50, weighted_sum:a*b", "Write --select histogram:fee:0,10,50 --select 'weighted_sum:a*b'"),
        ("avg:paid", "Write --select mean:paid"),
        ("average", "Write --select mean:COLUMN"),
    ],
)
def test_what_was_meant_is_written_out(text: str, form: str) -> None:
    with pytest.raises(UsageError, match=re.escape(form)):
        parse_select([text])


@pytest.mark.parametrize(
    ("text", "code"),
    [("mine:city", "cli.group-side"), ("own:", "cli.group-side"), (":city", "cli.group-side"), ("x" * 65, "cli.name-wrong")],
)
def test_a_group_is_a_column_of_one_of_two_sides(text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_group_by([text])
    assert caught.value.code == code


def test_every_function_has_a_label() -> None:
    functions = ("count", "mean", "var", "std", "histogram")
    wanted = {f"cli.out-{function}-{per}" for function in functions for per in ("row", "customer")}
    who = ("hidden", "owner", "matcher")
    wanted |= {"cli.out-sum-row", *(f"cli.{kind}-{name}" for kind in ("why", "terms-membership") for name in who)}
    wanted |= {f"cli.terms-noise-{name}" for name in ("laplace", "gaussian")} | {"cli.output-responder"}
    assert wanted <= TEXTS.keys()


# --- the table on a terminal ---------------------------------------------------------------------------------------


def _shown(table: pa.Table, width: int, decimals: dict[str, int] | None = None) -> list[str]:
    stream = io.StringIO()
    console = show.console(stream)
    console.width = width
    console.print(Group(*groups_shown(table, decimals)))
    return stream.getvalue().splitlines()


def _spent(rows: int = 3) -> pa.Table:
    names = ["上海", "北京", "厦门", *(f"city {n:04d}" for n in range(rows - 3))][:rows]
    hidden = [name == "厦门" for name in names]
    return pa.table(
        {
            "city": names,
            "customers": pa.array([1234] * rows, pa.int64(), mask=np.array(hidden)),
            "fee_sum": pa.array([None if h else Decimal("1234567.80") for h in hidden], pa.decimal128(38, 2)),
            "fee_mean": pa.array([None if h else 18.0 for h in hidden], pa.float64()),
            "fee_var": pa.array([None] * rows, pa.float64()),
            "withheld": hidden,
        }
    )


def test_a_table_of_groups_is_set_as_people_read_numbers() -> None:
    assert _shown(_spent(), 80, {"fee_mean": 4}) == [
        "city   customers        fee_sum   fee_mean    fee_var",
        "─────────────────────────────────────────────────────",
        "上海       1,234   1,234,567.80    18.0000          –",
        "北京       1,234   1,234,567.80    18.0000          –",
        "厦门    withheld       withheld   withheld   withheld",
    ]


def test_withheld_is_said_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_LANG", "zh")
    line = next(line for line in _shown(_spent(), 80) if line.startswith("厦门"))
    assert line.split() == ["厦门", *["不予显示"] * 4]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_digit_is_cut_at_any_width(width: int) -> None:
    table = _spent()
    for number in range(6):
        table = table.add_column(3, f"other_{number}_per_customer", pa.array([10.0**number, 0.0, None]))
    lines = _shown(table, width)
    assert max(map(cell_len, lines)) <= width
    heads = [line for line in lines if line.startswith("city")]
    assert " ".join(heads).split().count("city") == len(heads)
    assert set(" ".join(heads).split()) == {"city", *table.column_names[1:-1]}
    assert "1,234,567.80" in "\n".join(lines)
    assert "100,000.0000" in "\n".join(lines)
    assert (len(heads) > 1) == (width <= 120)


def test_a_long_table_shows_its_beginning_and_says_so() -> None:
    lines = _shown(_spent(200), 80)
    assert len(lines) == 63
    assert lines[-1].startswith("first 60 of 200 groups")


def test_hostile_labels_stay_on_their_line() -> None:
    table = pa.table({"city": ["[red]x\x1b[2J\n\u202e", "b" * 90], "customers": [1, 2], "withheld": [False, False]})
    lines = _shown(table, 80)
    assert "\x1b" not in "".join(lines)
    assert any(line.startswith(r"[red]x\x1b[2J\n\u202e") for line in lines)
    assert sum(line.split()[-1] == "1" for line in lines) == 1


# --- runs ----------------------------------------------------------------------------------------------------------


ROWS, SHARED = 240, 160
CITIES = ("上海", "北京", "厦门")


def phone(number: int) -> str:
    return f"138{number:08d}"


def city_of(number: int) -> str:
    return "厦门" if number % 20 == 0 else CITIES[number % 2]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    """A served courier: ``parcels`` grants fee, weight and city, both ways; ``strict`` only what is hidden, of fee, no group."""
    folder = tmp_path_factory.mktemp("pair")
    theirs = [*range(SHARED), *range(1000, 1000 + ROWS - SHARED)]
    table = pa.table(
        {
            "mobile": [phone(number) for number in [*theirs, *theirs]],  # two rows each
            "fee": list(range(2 * ROWS)),
            "weight": [None if n % 7 == 0 else n / 100 for n in range(2 * ROWS)],
            "city": [city_of(number) for number in [*theirs, *theirs]],
        }
    )
    pq.write_table(table, folder / "parcels.parquet")
    with node_pair(folder) as made:
        for name, granted, membership, noise, outputs in (
            ("parcels", ["fee", "weight"], ["hidden", "owner", "matcher"], None, ["receiver", "responder", "both"]),
            ("strict", ["fee"], ["hidden"], None, ["receiver"]),
            ("noisy", ["fee"], ["hidden"], "laplace:5", ["receiver"]),
        ):
            made.courier.add_dataset(
                name,
                folder / "parcels.parquet",
                keys=["phone=mobile:phone"],
                values=["fee:int64:0..1000", "weight:decimal:2:0..10"],
                groups=["city"],
                max_rows_per_key=4,
            )
            offer = Offer(
                name,
                ["aggregate"],
                values=granted,
                groups=["city"] if name != "strict" else [],
                membership=membership,  # type: ignore[arg-type]
                outputs=outputs,  # type: ignore[arg-type]
                noise=noise,
                min_input=0,
                min_group=10,
                runs_per_day=1000,
            )
            made.courier.grant("merchant", offer, purpose=PURPOSE)
        yield made


@pytest.fixture
def orders(tmp_path: Path) -> pd.DataFrame:
    mine = [*range(SHARED), *range(5000, 5000 + ROWS - SHARED)]
    frame = pd.DataFrame(
        {
            "手机": [phone(number) for number in mine],
            "tier": ["gold" if number // 2 % 4 == 0 else "basic" for number in mine],
            "rate": [(number % 10) / 10 for number in mine],
        }
    )
    frame.to_csv(tmp_path / "orders.csv", index=False)
    return frame


@pytest.fixture
def line(pair: NodePair, orders: pd.DataFrame) -> str:
    return f"courier/parcels --home {pair.merchant.home.path} --input orders.csv --key phone=手机 --purpose {PURPOSE}"


def _plain() -> pd.DataFrame:
    rows = [*range(SHARED), *range(1000, 1000 + ROWS - SHARED)] * 2
    frame = pd.DataFrame({"number": rows, "fee": range(2 * ROWS)})
    frame["weight"] = [None if n % 7 == 0 else n / 100 for n in range(2 * ROWS)]
    frame["city"] = [city_of(number) for number in rows]
    return frame[frame["number"] < SHARED]


def test_a_table_is_shown_and_written_and_equals_pandas(psc: Psc, line: str, tmp_path: Path) -> None:
    select = "--select count --select sum:fee --select mean:weight --select histogram:fee:0,100,480"
    done = psc(f"aggregate {line} {select} --group-by city --minimum-group 9 --output spent.csv --force")
    assert done.code == 0, done.err
    assert re.search(r"groups +3 *\n", done.out)
    assert re.search(r"withheld groups +2: too small", done.out)
    assert len(re.findall(r"^厦门 +(withheld +){5}withheld$", done.out, re.MULTILINE)) == 1
    frame = pd.read_csv(tmp_path / "spent.csv").set_index("city")
    plain = _plain()
    for city in CITIES:
        row, mine = frame.loc[city], plain[plain["city"] == city]
        if row["withheld"]:
            assert row.drop("withheld").isna().all()
            continue
        assert row["customers"] == row["count"] == mine["number"].nunique()
        assert row["fee_sum"] == mine["fee"].sum()
        assert row["weight_mean"] == pytest.approx(mine["weight"].mean(), rel=1e-12)
        assert row["fee_[0,100)"] == (mine["fee"] < 100).sum()
        assert row["fee_[100,480]"] == (mine["fee"] >= 100).sum()
        assert f"{mine['fee'].sum():,}" in done.out
    assert frame["withheld"].sum() == 2
    assert psc(f"aggregate {line} {select} --output spent.csv --json").error()["code"] == "cli.output-exists"


def test_the_json_has_the_rows_exactly(psc: Psc, line: str) -> None:
    select = "--select sum:weight --group-by city --group-by own:tier --json"
    document = psc(f"aggregate {line} {select}").json()
    assert document.keys() == {
        *("operation", "run_id", "partner", "dataset", "purpose", "groups", "rows", "rejected", "leakage", "stats", "output"),
    }
    assert document["groups"] == ["city", "tier"]
    assert {row["withheld"] for row in document["rows"]} == {True, False}
    plain = _plain()
    for row in document["rows"]:
        mine = plain[(plain["city"] == row["city"]) & ((plain["number"] // 2 % 4 == 0) == (row["tier"] == "gold"))]
        if not row["withheld"]:
            assert row["customers"] == mine["number"].nunique()
            assert Decimal(row["weight_sum"]) == sum(round(weight * 100) for weight in mine["weight"].dropna()) / Decimal(100)


@pytest.mark.parametrize(
    ("membership", "protocol", "why"),
    [
        ("owner", "owner-sum", "because courier may know who matches"),
        ("matcher", "vole-sum", "because this side may know who matches"),
    ],
)
def test_a_weighted_sum_needs_that_a_side_knows_who_matches(
    psc: Psc, line: str, orders: pd.DataFrame, membership: str, protocol: str, why: str
) -> None:
    select = f"--select weighted_sum:rate*fee:1 --select sum:fee --membership {membership}"
    document = psc(f"aggregate {line} {select} --json").json()
    [row] = document["rows"]
    plain = _plain()
    assert Decimal(row["rate*fee_sum"]) == sum(
        int(fee) * (number % 10) for number, fee in zip(plain["number"], plain["fee"], strict=True)
    ) / Decimal(10)
    plan = psc(f"aggregate {line} {select} --dry-run")
    assert protocol in plan.out
    assert why in plan.out
    assert re.search(r"own weights +rate; the partner learns that a customer's sum is at most", plan.out)
    assert psc(f"aggregate {line} --select weighted_sum:rate*fee:1 --json").error()["code"] == "operations.weights-need-owner"


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_plan_says_what_how_and_why(psc: Psc, line: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    words = "--select count --select sum:fee --select std:fee:customer --select histogram:weight:0,1,2 --group-by city,own:tier"
    done = psc(f"aggregate {line} {words} --dry-run")
    assert max(map(cell_len, done.out.splitlines())) <= int(columns)
    said = " ".join(done.out.split())
    for sentence in (
        "protocol dh-sum · semi-honest model because who matches is hidden: courier's values are added up encrypted (rlwe-8192",
        "the agreement also allows --membership owner, the simplest choice",
        "computes shared customers, sum of fee, standard deviation of fee per customer, histogram of weight in 2 bins",
        "groups city of courier (at most 3), tier of the own table 2 own groups, 6 cells at most",
        "values fee from 0 to 1000, weight from 0.00 to 10.00",
        "shared customers hidden from both sides",
        "noise of a run none",
        "least group groups of fewer than 10 customers are withheld, and others from which they would follow",
        "What merchant will learn:",
    ):
        assert sentence in said, sentence
    noisy = psc(f"aggregate {line.replace('parcels', 'noisy')} --select sum:fee --dry-run")
    assert re.search(r"noise of a run +discrete Laplace, epsilon 5, added by", noisy.out)
    assert "simplest choice" not in noisy.out
    monkeypatch.setenv("PSC_LANG", "zh")
    shown = psc(f"aggregate {line} {words} --dry-run").out
    assert "本方表格的 tier" in shown
    assert "不予显示" in shown


@pytest.mark.parametrize(
    ("words", "code", "exit_code", "rule"),
    [
        ("--select sum:secret", "policy.denied-value-not-granted", 4, "value-not-granted"),
        ("--select sum:fee --group-by theirs:status", "policy.denied-group-not-granted", 4, "group-not-granted"),
        ("--select sum:fee --group-by nothing", "operations.group-unknown", 2, None),
        ("--select sum:fee --group-by own:city", "operations.group-not-own", 2, None),
        ("--select median:fee", "cli.select-function", 2, None),
        ("--select sum:fee --select sum:fee", "operations.select-twice", 2, None),
        ("--select sum:fee --group-by mine:city", "cli.group-side", 2, None),
        ("--select sum:fee --membership known", "cli.usage", 2, None),
        ("--select sum:fee --output-to me", "cli.usage", 2, None),
        ("--select sum:fee --engine rot13/1", "engines.unknown", 2, None),
        ("--select sum:fee --output x.txt", "data.output-suffix", 2, None),
        ("--select sum:fee --output x.csv --output-to responder", "cli.output-at-partner", 2, None),
        ("--select sum:fee --minimum-result 1000", "operations.result-below-own-minimum", 4, "result-too-small"),
        ("", "cli.usage", 2, None),
    ],
)
def test_bad_input_has_its_code_and_leaves_no_file(
    psc: Psc, line: str, tmp_path: Path, words: str, code: str, exit_code: int, rule: str | None
) -> None:
    before = sorted(tmp_path.iterdir())
    error = psc(f"aggregate {line} {words} --json").error()
    assert (error["code"], error["exit_code"], error["fields"].get("rule")) == (code, exit_code, rule)
    shown = psc(f"aggregate {line} {words}")
    assert (shown.code, shown.out) == (exit_code, "")
    assert f"[{code}]" in shown.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_group_that_nobody_has_names_what_there_is_to_group_by(psc: Psc, line: str) -> None:
    fields = psc(f"aggregate {line} --select sum:fee --group-by citty --json").error()["fields"]
    assert fields["theirs"] == "city"
    shown = psc(f"aggregate {line.replace('parcels', 'strict')} --select sum:fee --group-by citty").err
    assert "the partner grants (none)" in shown
    assert "theirs" not in psc(f"aggregate {line} --select sum:fee --group-by own:city --json").error()["fields"]


def test_the_record_of_a_run_has_the_partners_size_of_its_receipt(psc: Psc, line: str, pair: NodePair) -> None:
    ask = f"aggregate {line} --select sum:fee --group-by city --json"
    planned = psc(f"{ask} --dry-run").json()["partner_size_padded"]
    run_id = psc(ask).json()["run_id"]
    record, receipt = get_run(pair.merchant.home, run_id), receipt_of(pair.merchant.home, run_id)
    size = SignedReceipt.parse(str(receipt).encode(), file="receipt").receipt.responder_sizes_padded[0]
    assert record.partner_size == size < planned


NEEDS_PAILLIER = pytest.mark.skipif("paillier-2048/1" not in available(), reason="the extra is not installed")


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("--select sum:weight", "value-not-granted"),
        ("--select sum:fee --group-by theirs:city", "group-not-granted"),
        ("--select sum:fee --membership owner", "membership-not-allowed"),
        pytest.param("--select sum:fee --engine paillier-2048/1", "engine-not-allowed", marks=NEEDS_PAILLIER),
        ("--select sum:fee --output-to responder", "output-not-allowed"),
    ],
)
def test_what_the_agreement_does_not_grant_is_refused_with_its_rule(psc: Psc, line: str, words: str, rule: str) -> None:
    done = psc(f"aggregate {line.replace('parcels', 'strict')} {words} --dry-run --json")
    assert done.code == 4
    assert done.json()["refused_by"]["rule"] == rule
    shown = psc(f"aggregate {line.replace('parcels', 'strict')} {words} --dry-run").out
    assert re.search(rf"refused by +{rule}", shown)
    assert re.search(r"computes +sum of (fee|weight)", shown)


def test_a_result_for_the_partner_is_found_there(psc: Psc, line: str, pair: NodePair, tmp_path: Path) -> None:
    done = psc(f"aggregate {line} --select sum:weight --group-by city --output-to responder")
    assert done.code == 0, done.err
    assert re.search(r"result +went to courier alone", done.out)
    run = re.search(r"psc runs show (\w+)", done.out)
    assert run is not None
    _wait(psc, pair, run[1])
    courier = f"--home {pair.courier.home.path}"
    shown = psc(f"runs show {run[1]} {courier} --verify").out
    assert re.search(r"city +customers +weight_sum", shown)
    assert re.search(r"^厦门 +withheld +withheld$", shown, re.MULTILINE)
    assert re.search(r"computes +weight_sum *\n", shown)
    assert psc(f"runs export {run[1]} {courier} --output theirs.csv").code == 0
    assert pacsv.read_csv(tmp_path / "theirs.csv").column_names == ["city", "customers", "weight_sum", "withheld"]
    merchant = f"--home {pair.merchant.home.path}"
    assert psc(f"runs export {run[1]} {merchant} --output x.csv --json").error()["code"] == "cli.result-missing"
    record = psc(f"runs show {run[1]} {courier} --json").json()["run"]
    next(Path(pair.courier.home.path).rglob(record["result"])).unlink()
    assert psc(f"runs show {run[1]} {courier}").code == 0


def _wait(psc: Psc, pair: NodePair, run: str) -> None:
    import time

    from psc.node.runs import get_run

    patience = time.monotonic() + 20
    while get_run(pair.courier.home, run).status == "running" and time.monotonic() < patience:
        time.sleep(0.01)
