"""A match in shards between two nodes over mutual TLS: the answer, the plan and the receipt are the whole's."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

import psc
from psc.node.runs import result_of
from psc.operations import match
from psc.protocols.shards import SHARD_KEYS
from psc.testing.madeup import ORDER_PHONE, plain_join
from psc.testing.nodes import PURPOSE
from tests.integration.conftest import Market
from tests.integration.test_match_count import wait_until_finished

ON = {"phone": ORDER_PHONE}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both nodes split the made-up tables into several shards."""
    assert match.DhPsiMatch.shard_keys == match.VolePsiMatch.shard_keys == SHARD_KEYS
    monkeypatch.setattr(match._Match, "shard_keys", 100)  # a constant of the protocol, which no user sets


@pytest.mark.parametrize("protocol", ["dh-psi", "vole-psi"])
def test_rows_to_both_in_shards(market: Market, protocol: str) -> None:
    got_progress: list[psc.Progress] = []
    request = psc.Match(
        market.orders,
        on=ON,
        dataset="parcels",
        want=["status"],
        purpose=PURPOSE,
        on_bad="skip",
        output_to="both",
        protocol=protocol,
    )
    plan = market.courier.plan(request)
    assert plan.protocol == protocol
    assert "split at random into" in str(plan)
    got = plan.run(progress=got_progress.append)
    want = plain_join(market.orders, market.parcels, want=("status",), max_rows_per_key=4)
    frame = got.to_pandas()
    assert frame["order_id"].tolist() == want["order_id"].tolist()
    assert frame["status"].fillna("-").tolist() == want["status"].fillna("-").tolist()
    assert plan.estimate is not None
    assert abs(got.stats.bytes_received - plan.estimate.bytes_received) < 0.02 * plan.estimate.bytes_received + 10_000
    assert abs(got.stats.bytes_sent - plan.estimate.bytes_sent) < 0.02 * plan.estimate.bytes_sent + 10_000
    assert plan.leakage == got.leakage
    done = [step.done for step in got_progress]
    assert done == sorted(done)
    assert len(set(done)) > 5
    wait_until_finished(market.pair.courier, got.run_id)
    delivered = result_of(market.pair.courier.home, got.run_id)
    assert delivered is not None
    every = plain_join(market.orders, market.parcels)
    assert pq.read_metadata(delivered).num_rows == every["right_row"].nunique()


def test_malicious_match_in_shards(market: Market) -> None:
    request = psc.Match(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip", model="malicious")
    plan = market.courier.plan(request)
    assert plan.shape is not None
    split = match.VolePsiMatch().split(plan.shape)
    assert split.count > 5
    got = plan.run()
    want = plain_join(market.orders, market.parcels)
    assert got.table.column("order_id").to_pylist() == list(dict.fromkeys(want["order_id"]))
    assert got.receipt.receipt.model == "malicious"
