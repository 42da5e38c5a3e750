"""A match by any of several keys between two nodes over mutual TLS: what each side gets, is told beforehand, and keeps of it."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.audit.receipt import SignedReceipt
from psc.errors import PolicyDeniedError, Rule
from psc.node.runs import get_run, list_runs, receipt_of, result_of
from psc.node.trust import party_of
from psc.operations import responder
from psc.operations.results import MATCHED_BY, ROWS_CUT, SOURCE_ROW
from psc.operations.terms import PLAYS
from psc.policy.ledger import usage
from psc.testing.nodes import PURPOSE, NodePair, grant, node_pair
from tests.integration.test_match_count import wait_until_finished
from tests.integration.test_wire_scan import contents, files_of
from tests.scanner import Scanner, patterns_of

ON = psc.any_of({"phone": "mobile"}, {"email": "mail"}, ["name", "zip"])
KEYS = ["phone=mobile:phone", "email:email", "name:text", "zip:text"]
ASK: dict[str, Any] = {"on": ON, "dataset": "parcels", "purpose": PURPOSE}


def people(numbers: list[int], seed: int) -> pd.DataFrame:
    """One row a person, with each key in some rows only; every row has one."""
    rng = random.Random(seed)
    rows = []
    for number in numbers:
        has = [rng.random() < 0.6, rng.random() < 0.6, rng.random() < 0.5]
        has[rng.randrange(3)] = True
        rows.append(
            {
                "mobile": f"138{number:08d}" if has[0] else None,
                "email": f"person{number}@example.com" if has[1] else None,
                "name": f"name {number % 50}" if has[2] else None,
                "zip": f"{number // 50:06d}" if has[2] else None,
            }
        )
    return pd.DataFrame(rows, dtype=object)


@dataclass
class Market:
    """A running pair and its tables."""

    pair: NodePair
    orders: pd.DataFrame
    parcels: pd.DataFrame


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("any-of")
    orders = people([number for number in range(240) for _ in range(1 + number % 2)], 1).rename(columns={"email": "mail"})
    orders.insert(0, "order", range(len(orders)))
    parcels = people([number for number in range(120, 400) for _ in range(1 + number % 3)], 2)
    parcels["status"] = [f"s{row}" for row in range(len(parcels))]
    pq.write_table(pa.Table.from_pandas(parcels, preserve_index=False), folder / "parcels.parquet")
    with node_pair(folder) as pair:
        source = folder / "parcels.parquet"
        grant(
            pair.courier,
            "merchant",
            "parcels",
            source=source,
            keys=KEYS,
            release=["status:text:8"],
            max_rows_per_key=2,
            on_bad="error",
        )
        yield Market(pair, orders, parcels)


def expected(market: Market, bound: int = 2) -> pd.DataFrame:
    """Own rows with the first rows of the first key that matches."""
    parts, taken = [], set()
    for mine, theirs, label in (
        (["mobile"], ["mobile"], "phone"),
        (["mail"], ["email"], "email"),
        (["name", "zip"], ["name", "zip"], "name+zip"),
    ):
        having = market.parcels.dropna(subset=theirs).copy()
        groups = having.groupby(theirs)["status"]
        having["n"], having["cut"] = groups.cumcount(), groups.transform("size") > bound
        left = market.orders[~market.orders["order"].isin(taken)].dropna(subset=mine)
        having = having[having["n"] < bound][[*theirs, "n", "cut", "status"]]
        joined = left[["order", *mine]].merge(having, left_on=mine, right_on=theirs)
        parts.append(joined.assign(by=label))
        taken |= set(joined["order"])
    return pd.concat(parts).sort_values(["order", "n"], kind="stable")


@pytest.mark.parametrize("protocol", ["dh-psi", "vole-psi"])
def test_rows_take_the_first_key_that_matches(market: Market, protocol: str) -> None:
    with market.pair.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(market.orders, want=["status"], protocol=protocol, **ASK))  # type: ignore[arg-type]
        got = plan.run()
    assert isinstance(got, psc.MatchResult)
    want, frame = expected(market), got.to_pandas()
    assert frame["order"].tolist() == want["order"].tolist()
    assert frame[MATCHED_BY].tolist() == want["by"].tolist()
    assert frame["status"].tolist() == want["status"].tolist()
    assert frame[ROWS_CUT].tolist() == want["cut"].tolist()
    assert set(frame[MATCHED_BY]) == {"phone", "email", "name+zip"}
    assert got.table.column_names == [*market.orders.columns, MATCHED_BY, "status", ROWS_CUT]
    by = want.drop_duplicates("order")["by"].value_counts()
    assert [each.matched_rows for each in got.alternatives] == [by["phone"], by["email"], by["name+zip"]]
    assert got.to_dict()["alternatives"] == [dataclasses.asdict(each) for each in got.alternatives]
    assert plan.estimate is not None
    assert abs(got.stats.bytes_received - plan.estimate.bytes_received) < 0.02 * plan.estimate.bytes_received + 1500
    assert abs(got.stats.bytes_sent - plan.estimate.bytes_sent) < 0.02 * plan.estimate.bytes_sent + 1500
    assert plan.leakage == got.leakage


def test_both_sides_keep_one_receipt_with_every_key_and_size(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        got = courier.match(market.orders, **ASK)
    wait_until_finished(market.pair.courier, got.run_id)
    texts = [receipt_of(node.home, got.run_id) for node in (market.pair.merchant, market.pair.courier)]
    assert texts[0] is not None
    assert texts[0] == texts[1]
    receipt = SignedReceipt.parse(texts[0].encode(), file="receipt").receipt
    assert [[key.name for key in keys] for keys in receipt.keys] == [["phone"], ["email"], ["name", "zip"]]
    assert len(receipt.initiator_sizes_padded) == len(receipt.responder_sizes_padded) == 3
    record = get_run(market.pair.courier.home, got.run_id)
    assert (record.partner_size, record.own_size) == (sum(receipt.initiator_sizes_padded), sum(receipt.responder_sizes_padded))
    said = " ".join(receipt.leakage.initiator)
    assert "by which of them its rows match" in said
    assert "phone, email, name+zip" in said
    assert receipt.self_rules == ("The initiator shows no matches by an alternative that has fewer than 0 common keys.",)


def test_what_is_announced_of_all_keys_is_read_once(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, honest = [], responder.read_dataset

    def read(*args: Any, **options: Any) -> Any:
        reads.append((options["keys"], *options["further"]))
        return honest(*args, **options)

    monkeypatch.setattr(responder, "read_dataset", read)
    with market.pair.merchant.connect("courier") as courier:
        for keys in (ON, psc.any_of(["zip", "name"], {"phone": "mobile"})):
            courier.match(market.orders, want=["status"], output_to="both", on_bad="skip", **(ASK | {"on": keys}))
    assert reads == [(("phone",), ("email",), ("name", "zip")), (("name", "zip"), ("phone",))]


def test_all_alternatives_are_charged(market: Market) -> None:
    def charged() -> tuple[int, int]:
        party = party_of(market.pair.courier.home, market.pair.merchant.identity)
        assert party is not None
        used = usage(market.pair.courier.home, party.party, "parcels")
        return used.runs, used.elements

    with market.pair.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(market.orders, **ASK))
        before = charged()
        plan.run()
    assert plan.own_size == sum(each.own_size for each in plan.alternatives)
    after = charged()
    assert (after[0] - before[0], after[1] - before[1]) == (1, plan.own_size)


def test_a_malicious_partner_is_withstood_key_by_key(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(market.orders, model="malicious", **ASK))
        got = plan.run()
    assert isinstance(got, psc.MatchResult)
    assert got.table.column("order").to_pylist() == expected(market)["order"].drop_duplicates().tolist()
    said = got.receipt.receipt.leakage
    assert got.receipt.receipt.model == "malicious"
    assert "no theorem covers them together" in " ".join(said.initiator)
    assert "no theorem covers them together" in " ".join(said.responder)
    # 1.1 columns a key and 256, for each key by itself.
    rooms = "; ".join(f"{each.key} {-(-11 * each.own_size // 10) + 256:,}" for each in plan.alternatives)
    assert rooms in " ".join(said.initiator)


def test_the_partner_is_told_by_which_key_its_rows_match(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        got = courier.match(market.orders, output_to="both", **ASK)
    wait_until_finished(market.pair.courier, got.run_id)
    path = result_of(market.pair.courier.home, got.run_id)
    assert path is not None
    told = pq.read_table(path).to_pandas()
    want: dict[int, str] = {}
    for mine, theirs, label in (
        (["mobile"], ["mobile"], "phone"),
        (["mail"], ["email"], "email"),
        (["name", "zip"], ["name", "zip"], "name+zip"),
    ):
        common = set(map(tuple, market.orders.dropna(subset=mine)[mine].to_numpy()))
        for row, cells in market.parcels.dropna(subset=theirs)[theirs].iterrows():
            if tuple(cells) in common:
                want.setdefault(int(row) + 1, label)  # type: ignore[arg-type]
    assert dict(zip(told[SOURCE_ROW], told[MATCHED_BY], strict=True)) == dict(sorted(want.items()))
    assert "for each alternative key" in " ".join(got.receipt.receipt.leakage.responder)


def test_a_key_by_which_few_match_is_withheld_from_both(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        counts = [each.matched_keys or 0 for each in courier.match(market.orders, **ASK).alternatives]
        assert len(set(counts)) == 3
        least = sorted(counts)[1]
        got = courier.match(market.orders, output_to="both", minimum_result=least, **ASK)
        few = [each for each in got.alternatives if each.withheld]
        assert [each.matched_keys for each in got.alternatives] == [count if count >= least else None for count in counts]
        assert len(few) == 1
        assert few[0].matched_rows == 0
        assert few[0].key not in set(got.table.column(MATCHED_BY).to_pylist())
        wait_until_finished(market.pair.courier, got.run_id)
        path = result_of(market.pair.courier.home, got.run_id)
        assert path is not None
        assert set(pq.read_table(path).column(MATCHED_BY).to_pylist()) == {e.key for e in got.alternatives} - {few[0].key}
        with pytest.raises(PolicyDeniedError) as caught:
            courier.match(market.orders, minimum_result=max(counts) + 1, **ASK)
    assert caught.value.rule is Rule.RESULT_TOO_SMALL
    run_id = list_runs(market.pair.merchant.home, limit=1)[0].run_id
    wait_until_finished(market.pair.courier, run_id)  # the partner saw a run like any other


def test_large_sets_run_in_shards(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (("match", "dh-psi"), ("match", "vole-psi")):
        monkeypatch.setattr(PLAYS[key], "shard_keys", 100, raising=False)  # type: ignore[index]
    with market.pair.merchant.connect("courier") as courier:
        got = courier.match(market.orders, want=["status"], output_to="both", **ASK)
    assert got.table.column("status").to_pylist() == expected(market)["status"].tolist()
    assert "split at random into parts" in " ".join(got.receipt.receipt.leakage.initiator)


def test_rules_hold_for_each_alternative(market: Market) -> None:
    courier_node, merchant = market.pair.courier, market.pair.merchant
    source = Path(courier_node.home.path).parent / "parcels.parquet"
    courier_node.add_dataset("some", source, keys=KEYS)
    offer = psc.Offer("some", ("match",), keys=("phone", "email"), min_input=150, min_result=0)
    courier_node.grant("merchant", offer, purpose=PURPOSE)
    with merchant.connect("courier") as courier:

        def refused(on: psc.AnyOf, table: pd.DataFrame) -> PolicyDeniedError:
            refusal = courier.plan(psc.Match(table, on=on, dataset="some", purpose=PURPOSE)).refusal
            assert refusal is not None
            return refusal

        assert refused(psc.any_of({"phone": "mobile"}, "zip"), market.orders).rule is Rule.KEY_NOT_GRANTED
        two = psc.any_of({"phone": "mobile"}, {"email": "mail"})
        few = market.orders.assign(mail=market.orders["mail"].where(market.orders["order"] < 100))
        assert refused(two, few[few["mobile"].notna() | few["mail"].notna()]).rule is Rule.INPUT_TOO_SMALL


def test_nothing_of_any_key_is_on_the_wire_or_stored(market: Market) -> None:
    frames: list[tuple[str, bytes]] = []
    with market.pair.merchant.connect("courier", tap=lambda way, frame: frames.append((way, frame))) as courier:
        for protocol in ("dh-psi", "vole-psi"):
            courier.match(market.orders, want=["status"], output_to="both", protocol=protocol, **ASK)
    tables = (market.orders, market.parcels)
    numbers = sorted({cell for table in tables for cell in table["mobile"].dropna()})
    mails = {cell for table, name in zip(tables, ("mail", "email"), strict=True) for cell in table[name].dropna()}
    scanner = Scanner([*patterns_of(numbers), *((f"mail {mail}", mail.encode()) for mail in sorted(mails))])
    places = {f"all {way}": b"".join(contents(frames, way)) for way in ("sent", "received")}
    for node in (market.pair.merchant, market.pair.courier):
        files = [path for path in files_of(node.home.path) if path.parent != node.home.results_folder]
        places |= {f"{path.name} of {node.name}": path.read_bytes() for path in files}
    assert sum(map(len, places.values())) > 100_000
    assert [hit for place, data in places.items() for hit in scanner.search(data, place)] == []
