"""A match whose result goes to both has the larger set on the sender's side, whoever asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

import psc
from psc.errors import AbortCode, PeerAbortedError, PolicyDeniedError, Rule
from psc.node.runs import get_run, result_of
from psc.operations import match
from psc.testing.madeup import ORDER_PHONE, plain_join
from psc.testing.nodes import PURPOSE
from tests.integration.conftest import Market
from tests.integration.test_match_count import wait_until_finished

ASK: dict[str, Any] = {"on": {"phone": ORDER_PHONE}, "dataset": "parcels", "purpose": PURPOSE, "on_bad": "skip"}


@pytest.mark.parametrize("protocol", ["dh-psi", "vole-psi"])
@pytest.mark.parametrize("shard_keys", [1 << 20, 100])
def test_the_larger_set_is_the_senders(market: Market, protocol: str, shard_keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match._Match, "shard_keys", shard_keys)
    plan = market.courier.plan(psc.Match(market.orders, **ASK, output_to="both", protocol=protocol))
    assert plan.shape is not None
    assert plan.own_size > plan.partner_size
    assert plan.shape.exchanged
    assert f"{protocol} with us as its sender rather than {protocol}" in plan.reason
    assert plan.leakage is not None
    assert "it learns this from courier" in plan.leakage.initiator[0].render("en")
    assert "learns this first" in plan.leakage.responder[0].render("en")
    got = plan.run()
    every = plain_join(market.orders, market.parcels)
    assert got.table.column("order_id").to_pylist() == list(dict.fromkeys(every["order_id"]))
    assert got.matched_rows == every["left_row"].nunique()
    assert got.leakage == plan.leakage
    assert got.receipt.receipt.initiator_role == "sender"
    assert plan.estimate is not None
    for moved, planned in (
        (got.stats.bytes_received, plan.estimate.bytes_received),
        (got.stats.bytes_sent, plan.estimate.bytes_sent),
    ):
        assert abs(moved - planned) < 0.03 * planned + 10_000
    wait_until_finished(market.pair.courier, got.run_id)
    delivered = result_of(market.pair.courier.home, got.run_id)
    assert delivered is not None
    assert pq.read_metadata(delivered).num_rows == every["right_row"].nunique()


@pytest.mark.parametrize("changes", [{}, {"output_to": "both", "want": ["status"]}, {"source": "few"}])
def test_elsewhere_the_initiator_receives(market: Market, changes: dict[str, Any]) -> None:
    changes = {"output_to": "both"} | changes if changes.get("source") else dict(changes)
    source = market.orders.slice(0, 300) if changes.pop("source", None) else market.orders
    plan = market.courier.plan(psc.Match(source, **ASK, **changes))
    assert plan.shape is not None
    assert not plan.shape.exchanged
    assert plan.run().receipt.receipt.initiator_role == "receiver"


def test_a_result_below_the_minimum_is_shown_to_neither(market: Market) -> None:
    common = plain_join(market.orders, market.parcels)[ORDER_PHONE].nunique()
    asked = psc.Match(market.orders, **ASK, output_to="both", minimum_result=common + 200)
    plan = market.courier.plan(asked)
    assert plan.shape is not None
    assert plan.shape.exchanged
    with pytest.raises(PolicyDeniedError) as caught:
        plan.run()
    assert caught.value.rule is Rule.RESULT_TOO_SMALL
    run_id = str(caught.value.fields["run_id"])
    wait_until_finished(market.pair.courier, run_id)
    assert result_of(market.pair.courier.home, run_id) is None
    assert get_run(market.pair.courier.home, run_id).status == "finished"


def test_nobody_takes_the_senders_part_with_the_smaller_set(market: Market) -> None:
    """A sender's keys are never encoded for the other side; an initiator must not choose that for itself."""
    plan = market.courier.plan(psc.Match(market.orders.slice(0, 300), **ASK, output_to="both"))
    assert plan.shape is not None
    assert not plan.shape.exchanged
    plan.shape = replace(plan.shape, exchanged=True)
    with pytest.raises(PeerAbortedError) as caught:
        plan.run()
    assert caught.value.abort_code is AbortCode.PARAMETER_MISMATCH
