"""Match and count between two nodes over mutual TLS: the answer is a plain join's."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import psc
from psc.audit.receipt import SignedReceipt, verify_receipt
from psc.errors import DataError, PolicyDeniedError, UsageError
from psc.node.runs import get_run, receipt_of, result_of
from psc.node.trust import known_identities
from psc.operations import responder
from psc.operations.results import ROWS_CUT, SOURCE_ROW
from psc.testing.madeup import ORDER_PHONE, plain_join, plain_keys
from psc.testing.nodes import PURPOSE, grant, node_pair
from tests.integration.conftest import Market

ON = {"phone": ORDER_PHONE}


def sources(market: Market, folder: Path) -> dict[str, object]:
    """The merchant's table in every form that the SDK takes."""
    pacsv.write_csv(market.orders, folder / "orders.csv")
    pq.write_table(market.orders, folder / "orders.parquet")
    (folder / "parts").mkdir()
    pq.write_table(market.orders.slice(0, 700), folder / "parts" / "a.parquet")
    pq.write_table(market.orders.slice(700), folder / "parts" / "b.parquet")
    return {
        "csv": folder / "orders.csv",
        "parquet": str(folder / "orders.parquet"),
        "folder": folder / "parts",
        "arrow": market.orders,
        "pandas": market.orders.to_pandas(),
        "polars": pl.from_arrow(market.orders),
    }


def wait_until_finished(node: psc.Node, run_id: str) -> None:
    """Wait for the responder's own end of a run: it stores receipt and result after the last message."""
    until = time.monotonic() + 20
    while time.monotonic() < until and get_run(node.home, run_id).status == "running":
        time.sleep(0.02)
    assert get_run(node.home, run_id).status == "finished"


@pytest.mark.parametrize("form", ["csv", "parquet", "folder", "arrow", "pandas", "polars"])
def test_match_equals_a_plain_join_for_every_form_of_input(market: Market, tmp_path: Path, form: str) -> None:
    source = sources(market, tmp_path)[form]
    with market.pair.merchant.connect("courier") as courier:
        got = courier.match(source, on=ON, dataset="parcels", want=["status", "fee"], purpose=PURPOSE, on_bad="skip")
    want = plain_join(market.orders, market.parcels, want=("status", "fee"), max_rows_per_key=4)
    frame = got.to_pandas()
    assert frame["order_id"].tolist() == want["order_id"].tolist()
    assert frame["status"].fillna("-").tolist() == want["status"].fillna("-").tolist()
    np.testing.assert_array_equal(frame["fee"].to_numpy(float), want["fee"].to_numpy(float))
    assert got.matched_keys == want["key"].nunique()
    assert got.matched_rows == want["order_id"].nunique()
    every = plain_join(market.orders, market.parcels)
    per_order = every.groupby("order_id").size()
    assert frame[ROWS_CUT].tolist() == [bool(per_order[order] > 4) for order in frame["order_id"]]
    assert frame[ROWS_CUT].any()
    assert got.cut_keys == (every.groupby("key")["right_row"].nunique() > 4).sum()


def test_match_without_released_columns_gives_own_rows_alone(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        got = courier.match(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip")
    want = plain_join(market.orders, market.parcels)
    assert got.table.column_names == market.orders.column_names
    assert got.table.column("order_id").to_pylist() == list(dict.fromkeys(want["order_id"]))


def test_count_gives_the_number_alone(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        got = courier.count(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip")
    common = set(plain_keys(market.orders, ORDER_PHONE).dropna()) & set(plain_keys(market.parcels, "mobile").dropna())
    assert got.count == len(common)
    assert result_of(market.pair.courier.home, got.run_id) is None


def test_output_to_both_is_delivered_to_the_responder(market: Market) -> None:
    home = market.pair.courier.home
    with market.pair.merchant.connect("courier") as courier:
        got = courier.match(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip", output_to="both")
        counted = courier.count(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip", output_to="both")
    for run in (got, counted):
        wait_until_finished(market.pair.courier, run.run_id)
    path = result_of(home, got.run_id)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    mine = set(plain_keys(market.orders, ORDER_PHONE).dropna())
    matching = plain_keys(market.parcels, "mobile").isin(mine).to_numpy()
    assert pq.read_table(path).column(SOURCE_ROW).to_pylist() == (np.flatnonzero(matching) + 1).tolist()
    told = result_of(home, counted.run_id)
    assert told is not None
    assert pq.read_table(told).to_pydict() == {"count": [counted.count]}


def test_both_sides_store_one_receipt_that_verifies_on_a_third_home(market: Market, tmp_path: Path) -> None:
    pair = market.pair
    with pair.merchant.connect("courier") as courier:
        got = courier.count(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip")
    wait_until_finished(pair.courier, got.run_id)
    texts = [receipt_of(node.home, got.run_id) for node in (pair.merchant, pair.courier)]
    assert texts[0] is not None
    assert texts[0] == texts[1]
    with psc.Node.create(tmp_path / "auditor", "auditor") as auditor:
        for node in (pair.merchant, pair.courier):
            card = tmp_path / f"{node.name}.json"
            card.write_text(node.card_json(), encoding="utf-8")
            auditor.trust(card)
        signed = SignedReceipt.parse(texts[0].encode(), file="receipt")
        assert verify_receipt(signed, known_identities(auditor.home)).initiator == "merchant"
    records = [get_run(node.home, got.run_id) for node in (pair.merchant, pair.courier)]
    assert {record.status for record in records} == {"finished"}
    assert records[0].bytes_sent == records[1].bytes_received > 0
    assert records[0].own_size == records[1].partner_size


def test_the_plan_runs_once_and_only_on_what_it_showed(market: Market, tmp_path: Path) -> None:
    pacsv.write_csv(market.orders, tmp_path / "orders.csv")
    frame = market.orders.to_pandas()
    with market.pair.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Count(frame, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip"))
        plan.run()
        with pytest.raises(UsageError, match="run before"):
            plan.run()
        changed = courier.plan(psc.Count(tmp_path / "orders.csv", on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip"))
        pacsv.write_csv(market.orders.slice(1), tmp_path / "orders.csv")
        with pytest.raises(DataError, match="changed after the plan"):
            changed.run()


def test_plan_figures_are_the_runs(market: Market) -> None:
    with market.pair.merchant.connect("courier") as courier:
        plan = courier.plan(psc.Match(market.orders, on=ON, dataset="parcels", want=["status"], purpose=PURPOSE, on_bad="skip"))
        result = plan.run()
    assert plan.estimate is not None
    assert abs(result.stats.bytes_received - plan.estimate.bytes_received) < 0.02 * plan.estimate.bytes_received + 1000
    assert abs(result.stats.bytes_sent - plan.estimate.bytes_sent) < 0.02 * plan.estimate.bytes_sent + 1000
    assert plan.leakage == result.leakage
    assert "learns which of its own keys" in str(plan)
    assert plan.to_dict()["runs_left_today"] == plan.quota_left


def test_the_async_facade_and_cancelling_its_task(market: Market) -> None:
    async def ask() -> int:
        async with (
            await psc.aio.Node.open(market.pair.merchant.home.path) as node,
            await node.connect("courier") as courier,
        ):
            plan = await courier.plan(psc.Count(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip"))
            first = await courier.run(plan)
            assert isinstance(first, psc.CountResult)
            task = asyncio.create_task(courier.count(market.orders, on=ON, dataset="parcels", purpose=PURPOSE, on_bad="skip"))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return first.count

    assert asyncio.run(ask()) > 0


def test_composite_keys_and_own_column_names(tmp_path: Path) -> None:
    theirs = pd.DataFrame(
        {
            "phone": ["13800138000", "13800138000", "13800138001", "13900139000"],
            "bill": ["sf 1000000001", "SF-1000000002", "SF1000000003", "SF1000000004"],
            "status": ["a", "b", "c", None],
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
        grant(
            pair.courier,
            "merchant",
            "parcels",
            source=tmp_path / "parcels.parquet",
            keys=["phone:phone", "bill:waybill"],
            release=["status:text:8"],
        )
        with pair.merchant.connect("courier") as courier:
            options = {"dataset": "parcels", "purpose": PURPOSE}
            got = courier.match(mine, on={"bill": "运单", "phone": "手机"}, want=["status"], **options)
            assert got.to_pandas()["status"].fillna("-").tolist() == ["a", "b", "-"]
            assert courier.count(mine, on={"phone": "手机"}, **options).count == 2


SIZES = {"0 rows": (0, 5), "1 row": (1, 1), "no overlap": (50, 60), "full overlap": (80, 80), "against nothing": (5, 0)}


@pytest.mark.parametrize("case", SIZES)
def test_extreme_sizes_compute_when_allowed_and_are_refused_by_default(case: str, tmp_path: Path) -> None:
    n, m = SIZES[case]
    shift = 5000 if case == "no overlap" else 0
    mine = pa.table({"phone": pa.array([f"138{i:08d}" for i in range(n)], pa.string())})
    theirs = pa.table({"phone": pa.array([f"138{i + shift:08d}" for i in range(m)], pa.string())})
    pq.write_table(theirs, tmp_path / "theirs.parquet")
    common = len(set(mine["phone"].to_pylist()) & set(theirs["phone"].to_pylist()))
    with node_pair(tmp_path) as pair:
        options = {"source": tmp_path / "theirs.parquet", "keys": ["phone:phone"]}
        grant(pair.courier, "merchant", "open", **options)  # type: ignore[arg-type]
        grant(pair.courier, "merchant", "usual", min_input=1000, min_result=20, **options)  # type: ignore[arg-type]
        with pair.merchant.connect("courier") as courier:
            assert courier.count(mine, on="phone", dataset="open", purpose=PURPOSE).count == common
            got = courier.match(mine, on="phone", dataset="open", purpose=PURPOSE)
            assert got.table.num_rows == common
            with pytest.raises(PolicyDeniedError) as caught:
                courier.match(mine, on="phone", dataset="usual", purpose=PURPOSE)
            assert caught.value.rule == "input-too-small"


@pytest.mark.slow
def test_one_row_against_a_hundred_thousand(tmp_path: Path) -> None:
    theirs = pa.table({"phone": pa.array([f"138{i:08d}" for i in range(100_000)], pa.string())})
    pq.write_table(theirs, tmp_path / "theirs.parquet")
    with node_pair(tmp_path) as pair:
        grant(pair.courier, "merchant", "open", source=tmp_path / "theirs.parquet", keys=["phone:phone"])
        with pair.merchant.connect("courier") as courier:
            for number, expected in (("13800099999", 1), ("13800100000", 0)):
                table = pa.table({"phone": [number]})
                assert courier.match(table, on="phone", dataset="open", purpose=PURPOSE).matched_rows == expected


@pytest.mark.parametrize(("most_rows", "kept"), [(1 << 22, 2), (1500, 1)])
def test_large_datasets_are_not_cached_beside_one_another(
    market: Market, most_rows: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "_CACHED_ROWS", most_rows)
    cache = responder._DatasetCache(market.pair.courier.home)
    for want in ([], ["status"], ["fee"], ["fee"]):
        plan = market.courier.plan(psc.Match(market.orders, on=ON, dataset="parcels", want=want, purpose=PURPOSE, on_bad="skip"))
        assert plan.asking is not None
        cache.load(responder._Use.of(plan.asking._hello(plan, "0" * 26)))
    assert len(cache._kept) == kept
