"""Match by ``vole-psi`` between two nodes over mutual TLS, in both adversary models: a plain join's answer, and ``dh-psi``'s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.audit.receipt import SignedReceipt
from psc.crypto import Rng
from psc.crypto.vole import psi_shape
from psc.errors import PolicyDeniedError, UsageError
from psc.node.runs import receipt_of, result_of
from psc.operations.plan import Plan
from psc.operations.results import ROWS_CUT, SOURCE_ROW
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE, plain_join, plain_keys
from psc.testing.nodes import PURPOSE, NodePair, grant, node_pair
from tests.integration.conftest import Market
from tests.integration.test_match_count import wait_until_finished

ON = {"phone": ORDER_PHONE}
MODES: dict[str, dict[str, Any]] = {
    "semi-honest": {"protocol": "vole-psi", "model": "semi-honest"},
    "malicious": {"protocol": "vole-psi", "model": "malicious"},
}


def request(market: Market, **more: Any) -> psc.Match:
    asked: dict[str, Any] = {"on": ON, "dataset": "parcels", "purpose": PURPOSE, "on_bad": "skip"}
    return psc.Match(market.orders, **(asked | more))


def run(market: Market, **more: Any) -> tuple[Plan, psc.MatchResult]:
    with market.pair.merchant.connect("courier") as courier:
        plan = courier.plan(request(market, **more))
        result = plan.run()
    assert isinstance(result, psc.MatchResult)
    return plan, result


# --- answers ---------------------------------------------------------------------------------------------------------------


def test_released_rows_equal_a_plain_join_and_dh_psi(market: Market) -> None:
    _, got = run(market, want=["status", "fee"], **MODES["semi-honest"])
    _, other = run(market, want=["status", "fee"], protocol="dh-psi")
    want = plain_join(market.orders, market.parcels, want=("status", "fee"), max_rows_per_key=4)
    frame = got.to_pandas()
    pd.testing.assert_frame_equal(frame, other.to_pandas())
    assert frame["order_id"].tolist() == want["order_id"].tolist()
    assert frame["status"].fillna("-").tolist() == want["status"].fillna("-").tolist()
    np.testing.assert_array_equal(frame["fee"].to_numpy(float), want["fee"].to_numpy(float))
    assert (got.matched_keys, got.matched_rows, got.cut_keys) == (other.matched_keys, other.matched_rows, other.cut_keys)
    assert frame[ROWS_CUT].any()
    assert frame["order_id"].duplicated().any()  # many to many


@pytest.mark.parametrize("mode", MODES)
def test_own_rows_alone_equal_a_plain_join(market: Market, mode: str) -> None:
    _, got = run(market, **MODES[mode])
    want = plain_join(market.orders, market.parcels)
    assert got.table.column("order_id").to_pylist() == list(dict.fromkeys(want["order_id"]))
    assert got.table.column_names == market.orders.column_names
    assert got.matched_keys == want["key"].nunique()


def test_output_to_both_is_delivered_to_the_responder(market: Market) -> None:
    _, got = run(market, want=["status"], output_to="both", **MODES["semi-honest"])
    wait_until_finished(market.pair.courier, got.run_id)
    path = result_of(market.pair.courier.home, got.run_id)
    assert path is not None
    mine = set(plain_keys(market.orders, ORDER_PHONE).dropna())
    matching = plain_keys(market.parcels, PARCEL_PHONE).isin(mine).to_numpy()
    assert pq.read_table(path).column(SOURCE_ROW).to_pylist() == (np.flatnonzero(matching) + 1).tolist()


@pytest.mark.parametrize("mode", MODES)
def test_composite_keys(tmp_path: Path, mode: str) -> None:
    theirs = pd.DataFrame(
        {
            "phone": ["13800138000", "13800138000", "13800138001", "13900139000"],
            "bill": ["sf 1000000001", "SF-1000000002", "SF1000000003", "SF1000000004"],
        }
    )
    theirs.to_parquet(tmp_path / "parcels.parquet")
    mine = pd.DataFrame(
        {
            "运单": ["SF1000000001", "SF1000000002", "SF1000000004", "SF1000000004"],
            "手机": ["+8613800138000", "138 0013 8000", "13800138000", "139-0013-9000"],
        }
    )
    with node_pair(tmp_path) as pair:
        grant(pair.courier, "merchant", "parcels", source=tmp_path / "parcels.parquet", keys=["phone:phone", "bill:waybill"])
        with pair.merchant.connect("courier") as courier:
            on = {"bill": "运单", "phone": "手机"}
            got = courier.match(mine, on=on, dataset="parcels", purpose=PURPOSE, **MODES[mode])
            assert got.to_pandas()["手机"].tolist() == [mine["手机"][0], mine["手机"][1], mine["手机"][3]]
            alone = courier.match(mine, on={"phone": "手机"}, dataset="parcels", purpose=PURPOSE, **MODES[mode])
            assert alone.matched_rows == 4


SIZES = {"0 rows": (0, 5), "1 row": (1, 1), "no overlap": (50, 60), "full overlap": (80, 80), "against nothing": (5, 0)}


def phones(count: int, shift: int = 0) -> pa.Table:
    return pa.table({"phone": pa.array([f"138{number + shift:08d}" for number in range(count)], pa.string())})


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A pair whose courier grants a dataset a size, one of 100,000 keys among them."""
    folder = tmp_path_factory.mktemp("sized")
    with node_pair(folder) as pair:
        for name, (_, count) in {**SIZES, "many": (0, 100_000)}.items():
            file = folder / f"{name}.parquet"
            pq.write_table(phones(count, 5000 if name == "no overlap" else 0), file)
            grant(pair.courier, "merchant", name.replace(" ", "-"), source=file, keys=["phone:phone"])
        yield pair


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SIZES)
def test_extreme_sizes(sized: NodePair, case: str, mode: str) -> None:
    own, theirs = SIZES[case]
    common = 0 if case == "no overlap" else min(own, theirs)
    with sized.merchant.connect("courier") as courier:
        got = courier.match(phones(own), on="phone", dataset=case.replace(" ", "-"), purpose=PURPOSE, **MODES[mode])
    assert got.table.num_rows == got.matched_keys == common


@pytest.mark.parametrize("mode", MODES)
def test_one_row_against_a_hundred_thousand(sized: NodePair, mode: str) -> None:
    with sized.merchant.connect("courier") as courier:
        for number, expected in (("13800099999", 1), ("13800100000", 0)):
            table = pa.table({"phone": [number]})
            got = courier.match(table, on="phone", dataset="many", purpose=PURPOSE, **MODES[mode])
            assert got.matched_rows == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_result_below_the_minimum_is_not_shown(market: Market, mode: str) -> None:
    common = plain_join(market.orders, market.parcels)["key"].nunique()
    with pytest.raises(PolicyDeniedError) as caught:
        run(market, minimum_result=common + 1, **MODES[mode])
    assert caught.value.code == "operations.result-below-own-minimum"
    assert str(common) not in str(caught.value).replace(str(common + 1), "")
    _, got = run(market, minimum_result=common, **MODES[mode])
    assert got.matched_keys == common


# --- plan and receipt ------------------------------------------------------------------------------------------------------

SHAPES: dict[str, dict[str, Any]] = {
    "columns to both": {"want": ["status", "fee"], "output_to": "both", **MODES["semi-honest"]},
    "one-sided": MODES["semi-honest"],
    "malicious": MODES["malicious"],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plans_bytes_are_the_runs(market: Market, shape: str) -> None:
    plan, result = run(market, **SHAPES[shape])
    assert plan.estimate is not None
    assert abs(result.stats.bytes_received - plan.estimate.bytes_received) < 0.1 * plan.estimate.bytes_received
    assert abs(result.stats.bytes_sent - plan.estimate.bytes_sent) < 0.1 * plan.estimate.bytes_sent
    assert plan.leakage == result.leakage


def test_the_statement_says_what_a_deviating_side_gets(market: Market) -> None:
    plans = {}
    with market.pair.merchant.connect("courier") as courier:
        for shape, more in SHAPES.items():
            plans[shape] = courier.plan(request(market, **more))
    codes = {
        shape: [[line.code for line in side] for side in (plan.leakage.initiator, plan.leakage.responder)]
        for shape, plan in plans.items()
        if plan.leakage is not None
    }
    assert codes["one-sided"] == [
        ["leakage.match.receiver", "leakage.match.lying", "leakage.match.sizes"],
        ["leakage.match.sender", "leakage.match.cheating", "leakage.match.sizes"],
    ]
    assert codes["malicious"] == [
        ["leakage.match.receiver", "leakage.match.malicious", "leakage.match.sizes"],
        ["leakage.match.sender", "leakage.match.withstood", "leakage.match.sizes"],
    ]
    assert codes["columns to both"][0][1] == "leakage.match.columns"
    assert codes["columns to both"][1][0] == "leakage.match.both"
    malicious = plans["malicious"]
    columns = psi_shape(malicious.own_size, malicious.partner_size, True).columns
    assert f"about {columns:,} keys" in str(malicious)
    assert malicious.to_dict()["model"] == malicious.model == "malicious"
    assert "malicious" not in str(plans["one-sided"])


@pytest.mark.parametrize("mode", MODES)
def test_receipts_carry_protocol_and_model(market: Market, mode: str) -> None:
    _, got = run(market, **MODES[mode])
    wait_until_finished(market.pair.courier, got.run_id)
    texts = [receipt_of(node.home, got.run_id) for node in (market.pair.merchant, market.pair.courier)]
    assert texts[0] is not None
    assert texts[0] == texts[1]
    receipt = SignedReceipt.parse(texts[0].encode(), file="receipt").receipt
    assert (receipt.protocol, receipt.model) == ("vole-psi", mode)
    said = " ".join(receipt.leakage.initiator + receipt.leakage.responder)
    assert ("departs from the protocol it learns which of about" in said) == (mode == "malicious")


# --- the choice ------------------------------------------------------------------------------------------------------------


def test_the_quicker_protocol_is_taken_and_the_plan_says_why(sized: NodePair) -> None:
    with sized.merchant.connect("courier") as courier:

        def plan(own: int, dataset: str, **more: Any) -> Plan:
            return courier.plan(psc.Match(phones(own), on="phone", dataset=dataset, purpose=PURPOSE, **more))

        tiny, large = plan(80, "full-overlap"), plan(100_000, "many")
        assert (tiny.protocol, tiny.model) == ("dh-psi", "semi-honest")
        assert (large.protocol, large.model) == ("vole-psi", "malicious")
        assert "dh-psi rather than vole-psi" in tiny.reason
        assert "vole-psi rather than dh-psi" in large.reason
        for made in (tiny, large):
            assert made.reason in str(made)
            assert made.to_dict()["reason"] == made.reason
        # What only vole-psi has takes vole-psi, however small the sets.
        demanded = plan(80, "full-overlap", model="malicious")
        assert (demanded.protocol, demanded.model, demanded.reason) == ("vole-psi", "malicious", "")
        weaker = plan(100_000, "many", model="semi-honest")
        assert (weaker.protocol, weaker.model) == ("vole-psi", "semi-honest")
        forced = plan(100_000, "many", protocol="dh-psi")
        assert (forced.protocol, forced.model, forced.reason) == ("dh-psi", "semi-honest", "")
        assert large.run().matched_keys == 100_000  # type: ignore[union-attr]
        both = plan(100_000, "many", output_to="both")
        assert (both.protocol, both.model) == ("vole-psi", "semi-honest")


@pytest.mark.parametrize("more", [{"want": ["status"]}, {"output_to": "both"}], ids=str)
def test_malicious_is_refused_where_it_does_not_hold(market: Market, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        request(market, model="malicious", **more)
    assert caught.value.code == "session.malicious-match-one-sided"


@pytest.mark.parametrize("more", [{"protocol": "kkrt"}, {"model": "covert"}], ids=str)
def test_what_does_not_exist_is_refused(market: Market, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        request(market, **more)
    assert caught.value.code == "operations.no-such-protocol"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A pair whose courier demands matches that withstand a malicious partner."""
    folder = tmp_path_factory.mktemp("guarded")
    table = phones(80).append_column("status", pa.array(["x"] * 80))
    pq.write_table(table, folder / "theirs.parquet")
    with node_pair(folder) as pair:
        pair.courier.add_dataset("parcels", folder / "theirs.parquet", keys=["phone:phone"], release=["status:text:8"])
        offer = psc.Offer(
            "parcels",
            ("match", "count"),
            release=("status",),
            outputs=("receiver", "both"),
            min_input=0,
            min_result=0,
            model="malicious",
        )
        with pytest.MonkeyPatch.context() as patch:  # a column that no match can have is not offered, but may be agreed
            patch.setattr("psc.policy.propose._check_malicious", lambda offer: None)
            pair.courier.grant("merchant", offer, purpose=PURPOSE)
        yield pair


REFUSED = [{"want": ["status"]}, {"output_to": "both"}, {"protocol": "dh-psi"}, {"model": "semi-honest"}]


@pytest.mark.parametrize("more", REFUSED, ids=str)
def test_an_agreement_that_demands_malicious_refuses_what_does_not_withstand_it(guarded: NodePair, more: dict[str, Any]) -> None:
    with guarded.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(phones(60), on="phone", dataset="parcels", purpose=PURPOSE, **more))
        assert plan.refusal is not None
        assert plan.refusal.rule == "model-too-weak"
        assert "withstands a malicious partner" in str(plan.refusal)
        with pytest.raises(PolicyDeniedError):
            plan.run()


def test_such_an_agreement_lets_the_one_sided_match_and_the_count_through(guarded: NodePair) -> None:
    with guarded.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(phones(60), on="phone", dataset="parcels", purpose=PURPOSE))
        assert (plan.protocol, plan.model) == ("vole-psi", "malicious")
        assert plan.run().matched_keys == 60  # type: ignore[union-attr]
        assert courier.count(phones(60), on="phone", dataset="parcels", purpose=PURPOSE).count == 60


def test_its_owner_refuses_a_weaker_model_whatever_the_asking_side_planned(guarded: NodePair) -> None:
    with guarded.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(phones(60), on="phone", dataset="parcels", purpose=PURPOSE))
        assert plan.asking is not None
        honest = plan.asking._hello(plan, Rng.system().bytes(13).hex())
        for changes in ({"model": "semi-honest"}, {"model": "semi-honest", "output_to": "both"}):
            hello = honest.model_copy(update=changes)
            signature = guarded.merchant.home.identity.sign(hello)
            with pytest.raises(PolicyDeniedError) as caught:
                courier._link.open(hello.canonical(), bytes.fromhex(signature))
            assert caught.value.rule == "model-too-weak"
