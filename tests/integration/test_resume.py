"""A match in shards that broke off goes on after the shards that both nodes kept, or starts anew where that cannot be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.errors import CancelledError, MalformedMessageError, PeerAbortedError, PscError, StorageError
from psc.node import kept
from psc.node.home import Home
from psc.node.runs import list_runs, result_of
from psc.operations import match
from psc.operations.plan import Plan
from psc.operations.results import MatchResult
from psc.policy.ledger import charges
from psc.protocols.shards import shard_bound
from psc.testing.madeup import ORDER_PHONE, plain_join
from psc.testing.nodes import PURPOSE
from tests.fault.meddling import kind_of
from tests.fault.parties import until
from tests.integration.conftest import Market
from tests.integration.test_match_count import wait_until_finished

ASK: dict[str, Any] = {"on": {"phone": ORDER_PHONE}, "dataset": "parcels", "purpose": PURPOSE, "on_bad": "skip"}
SECRET = b"a secret of nobody"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match._Match, "shard_keys", 100)  # a constant of the protocol, which no user sets


@pytest.fixture(autouse=True)
def nothing_is_left(market: Market) -> Iterator[None]:
    yield
    for home in homes(market):
        for run, _ in kept.kept_runs(home).values():
            found = kept.load(home, run.run_id)
            if found is not None:  # else its server is just removing it
                found.drop()
        until(lambda home=home: not list((home.path / "kept").iterdir()), "what was kept to go")  # type: ignore[misc]


def homes(market: Market) -> tuple[Home, Home]:
    return market.pair.merchant.home, market.pair.courier.home


def request(market: Market, **changes: Any) -> psc.Match:
    return psc.Match(changes.pop("source", market.orders), **(ASK | changes))


def plan_of(market: Market, asked: psc.Match) -> Plan:
    return market.courier.plan(asked)


def broken_off(market: Market, asked: psc.Match, frames: int, error: PscError | None = None) -> int:
    """Run until so many frames of tags came, and break off there; return how many shards both kept."""
    seen = 0

    def tap(way: str, frame: bytes) -> None:
        nonlocal seen
        seen += way == "received" and kind_of(frame) == "sender_tags"
        if seen > frames:
            raise error or CancelledError("operations.cancelled")

    with market.pair.merchant.connect("courier", tap=tap) as courier, pytest.raises(PscError):
        courier.plan(asked).run()
    mine, theirs = homes(market)
    run = list_runs(mine, limit=1)[0].run_id
    until(lambda: (now := list_runs(theirs, limit=1)[0]).run_id == run and now.status != "running", "the courier to give up")
    return min((finished for home in homes(market) for _, finished in kept.kept_runs(home).values()), default=0)


def check(market: Market, got: MatchResult, want: tuple[str, ...] = ("status",)) -> None:
    joined = plain_join(market.orders, market.parcels, want=want, max_rows_per_key=4)
    frame = got.to_pandas()
    assert frame["order_id"].tolist() == joined["order_id"].tolist()
    assert frame["status"].fillna("-").tolist() == joined["status"].fillna("-").tolist()
    assert len(frame) > 100
    for home in homes(market):
        until(lambda home=home: not kept.kept_runs(home), "what was kept to go")  # type: ignore[misc]


@pytest.mark.parametrize("protocol", ["dh-psi", "vole-psi"])
def test_goes_on_after_the_kept_shards_with_the_same_result(market: Market, protocol: str) -> None:
    asked = request(market, want=["status"], output_to="both", protocol=protocol)
    whole = plan_of(market, asked)
    finished = broken_off(market, asked, 5)
    assert finished == 5
    first = list_runs(market.pair.merchant.home, limit=1)[0]
    assert (first.status, first.code) == ("cancelled", "operations.cancelled")

    plan = plan_of(market, asked)
    assert plan.kept is not None
    count = plan.kept.run.shards
    assert plan.to_dict()["resumes"] == {"run_id": first.run_id, "finished_shards": 5, "shards": count, "damaged": None}
    assert f"Goes on with run {first.run_id}" in str(plan)
    assert "an earlier attempt finished" in str(plan)
    assert whole.estimate is not None
    assert plan.estimate is not None
    assert plan.estimate.bytes_sent < whole.estimate.bytes_sent * (1 - 4 / count)
    got = plan.run()
    check(market, got)
    for told, estimated in (
        (got.stats.bytes_received, plan.estimate.bytes_received),
        (got.stats.bytes_sent, plan.estimate.bytes_sent),
    ):
        assert abs(told - estimated) < 0.02 * estimated + 10_000  # the finished ones were not done again
    assert got.leakage == plan.leakage
    resumed = got.receipt.receipt.resumed
    assert resumed is not None
    assert (resumed.run_id, resumed.finished, resumed.attempt) == (first.run_id, 5, 2)

    wait_until_finished(market.pair.courier, got.run_id)
    delivered = result_of(market.pair.courier.home, got.run_id)
    assert delivered is not None
    assert pq.read_metadata(delivered).num_rows == plain_join(market.orders, market.parcels)["right_row"].nunique()
    charged = {charge.run_id: charge.elements for charge in charges(market.pair.courier.home)}
    assert charged[first.run_id] == plan.own_size
    assert charged[got.run_id] == (count - 5) * shard_bound(plan.own_size, count) < plan.own_size


def test_a_malicious_match_goes_on_and_says_that_it_did(market: Market) -> None:
    asked = request(market, model="malicious")
    assert broken_off(market, asked, 3) == 3
    got = plan_of(market, asked).run()
    joined = plain_join(market.orders, market.parcels)
    assert got.table.column("order_id").to_pylist() == list(dict.fromkeys(joined["order_id"]))
    assert any("charged again" in line for line in got.receipt.receipt.leakage.initiator)


def test_the_third_attempt_is_the_last_and_then_it_starts_anew(market: Market) -> None:
    asked = request(market, want=["status"], protocol="dh-psi")
    assert broken_off(market, asked, 2) == 2
    first = list_runs(market.pair.merchant.home, limit=1)[0].run_id
    assert broken_off(market, asked, 2) == 4
    assert broken_off(market, asked, 2) == 6
    runs = kept.kept_runs(market.pair.courier.home)
    assert [(run.run_id, run.attempts) for run, _ in runs.values()] == [(first, 3)]
    got = plan_of(market, asked).run()
    assert got.receipt.receipt.resumed is None
    joined = plain_join(market.orders, market.parcels, want=("status",), max_rows_per_key=4)
    assert got.to_pandas()["order_id"].tolist() == joined["order_id"].tolist()
    assert kept.kept_runs(market.pair.merchant.home) == {}


def changed_orders(market: Market) -> dict[str, Any]:
    return {"source": market.orders.slice(0, market.orders.num_rows - 100)}


def reordered(market: Market) -> dict[str, Any]:
    return {"source": pa.concat_tables([market.orders.slice(700), market.orders.slice(0, 700)])}


OTHERS: dict[str, Callable[[Market], dict[str, Any]]] = {
    "some rows less": changed_orders,
    "another order of rows": reordered,
    "other columns": lambda market: {"want": ["status", "fee"]},
    "to both": lambda market: {"output_to": "both"},
    "another minimum": lambda market: {"minimum_result": 30},
    "another protocol": lambda market: {"protocol": "vole-psi"},
    "not to go on": lambda market: {"resume": False},
}


@pytest.mark.parametrize("what", OTHERS)
def test_anything_else_starts_anew(market: Market, what: str) -> None:
    asked = request(market, want=["status"], protocol="dh-psi")
    assert broken_off(market, asked, 4) == 4
    changes: dict[str, Any] = {"want": ["status"], "protocol": "dh-psi"} | OTHERS[what](market)
    plan = plan_of(market, request(market, **changes))
    assert plan.shape is not None
    assert plan.shape.finished == 0
    got = plan.run()
    assert got.receipt.receipt.resumed is None
    assert len(got.table) > 100


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_harmed_part_is_noticed_and_computed_again(market: Market, side: int, harm: str) -> None:
    asked = request(market, want=["status"], output_to="both", protocol="vole-psi")
    assert broken_off(market, asked, 6) == 6
    home = homes(market)[side]
    run = next(iter(kept.kept_runs(home).values()))[0]
    file = home.path / "kept" / run.run_id / "00003"
    data = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if harm == "cut" else data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    plan = plan_of(market, asked)
    assert plan.shape is not None
    assert plan.shape.finished == (3 if side == 0 else 6)
    assert ("00003" in str(plan)) == (side == 0 and harm != "gone")
    got = plan.run()
    assert got.receipt.receipt.resumed is not None
    assert got.receipt.receipt.resumed.finished == 3
    check(market, got)


def test_after_a_message_that_was_refused_nothing_is_kept(market: Market) -> None:
    asked = request(market, want=["status"])
    assert broken_off(market, asked, 4, MalformedMessageError("session.message-malformed", what="harmed")) == 0
    for home in homes(market):
        assert kept.kept_runs(home) == {}


def test_a_partner_that_kept_nothing_starts_anew(market: Market) -> None:
    asked = request(market, want=["status"])
    assert broken_off(market, asked, 4) == 4
    run = next(iter(kept.kept_runs(market.pair.courier.home).values()))[0]
    found = kept.load(market.pair.courier.home, run.run_id)
    assert found is not None
    found.drop()
    got = plan_of(market, asked).run()
    assert got.receipt.receipt.resumed is None
    check(market, got)


def test_a_run_that_lives_is_not_taken_over(market: Market) -> None:
    """The same question asked twice at once: two runs, two results."""
    asked = request(market, want=["status"])
    inner: list[MatchResult] = []

    def tap(way: str, frame: bytes) -> None:
        if way == "received" and kind_of(frame) == "sender_tags" and not inner and len(kept_here()) == 1:
            plan = plan_of(market, asked)
            assert plan.kept is None
            inner.append(plan.run())

    def kept_here() -> dict[str, Any]:
        return {key: value for key, value in kept.kept_runs(market.pair.merchant.home).items() if value[1] > 2}

    with market.pair.merchant.connect("courier", tap=tap) as courier:
        got = courier.plan(asked).run()
    assert len(inner) == 1
    check(market, inner[0])
    check(market, got)


def test_nobody_else_goes_on_with_a_run(market: Market, tmp_path: Path) -> None:
    """What is kept is bound to the partner: another one that knows the hello's numbers starts anew."""
    asked = request(market, want=["status"])
    assert broken_off(market, asked, 4) == 4
    courier = market.pair.courier.home
    run = next(iter(kept.kept_runs(courier).values()))[0]
    found = kept.load(courier, run.run_id)
    assert found is not None
    from psc.operations.resume import kept_by_responder

    plan = plan_of(market, asked)
    assert plan.asking is not None
    hello = plan.asking._hello(plan, "0" * 26)
    assert kept_by_responder(courier, hello, plan.partner_size) is not None
    other = hello.model_copy(update={"initiator": "ab" * 32})
    assert kept_by_responder(courier, other, plan.partner_size) is None
    assert kept_by_responder(courier, hello, plan.partner_size + 1) is None
    resumes = hello.resumes
    assert resumes is not None
    wrong = resumes.model_copy(update={"shards": ("0" * 64, *resumes.shards[1:])})
    assert kept_by_responder(courier, hello.model_copy(update={"resumes": wrong}), plan.partner_size) is None
    last = resumes.model_copy(update={"shards": (*resumes.shards[:2], "0" * 64)})
    again = kept_by_responder(courier, hello.model_copy(update={"resumes": last}), plan.partner_size)
    assert again is not None
    assert again[1] == 2


def test_a_responder_cannot_claim_more_than_was_offered(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    from psc.operations import responder

    asked = request(market, want=["status"])
    assert broken_off(market, asked, 4) == 4
    honest = responder.kept_by_responder

    def claims(*args: Any) -> Any:
        found = honest(*args)
        return None if found is None else (found[0], found[1] + 1)

    monkeypatch.setattr(responder, "kept_by_responder", claims)
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(pytest.raises(PscError))
        plan_of(market, asked).run()
    assert caught.value.code == "operations.versions-differ"
    assert not isinstance(caught.value, PeerAbortedError)


@pytest.mark.parametrize("side", [0, 1])
def test_a_full_disk_on_one_side_is_gone_on_after(market: Market, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(market, want=["status"], protocol="vole-psi")
    honest, full = kept.Kept.keep, homes(market)[side].path

    def keep(self: kept.Kept, number: int, part: bytes, transcripts: tuple[str, str]) -> None:
        if self.home.path == full and number == 4:
            raise StorageError("node.disk-full", path=str(full))
        honest(self, number, part, transcripts)

    plan = plan_of(market, asked)
    monkeypatch.setattr(kept.Kept, "keep", keep)
    with pytest.raises(PscError) as caught:
        plan.run()
    monkeypatch.setattr(kept.Kept, "keep", honest)
    assert caught.value.code == ("transport.aborted-no-space" if side else "node.disk-full")
    got = plan_of(market, asked).run()
    assert got.receipt.receipt.resumed is not None
    assert got.receipt.receipt.resumed.finished == 4
    check(market, got)


def test_the_larger_set_of_the_sender_goes_on_too(market: Market) -> None:
    asked = request(market, output_to="both", protocol="vole-psi")
    seen = 0

    def tap(way: str, frame: bytes) -> None:
        nonlocal seen
        seen += way == "sent" and kind_of(frame) == "sender_tags"
        if seen > 4:
            raise CancelledError("operations.cancelled")

    with market.pair.merchant.connect("courier", tap=tap) as courier, pytest.raises(PscError):
        courier.plan(asked).run()
    until(lambda: list_runs(market.pair.courier.home, limit=1)[0].status != "running", "the courier to give up")
    plan = plan_of(market, asked)
    assert plan.shape is not None
    assert plan.shape.exchanged
    assert plan.shape.finished >= 3
    got = plan.run()
    assert got.receipt.receipt.resumed is not None
    every = plain_join(market.orders, market.parcels)
    assert got.table.column("order_id").to_pylist() == list(dict.fromkeys(every["order_id"]))
    wait_until_finished(market.pair.courier, got.run_id)
    delivered = result_of(market.pair.courier.home, got.run_id)
    assert delivered is not None
    assert pq.read_metadata(delivered).num_rows == every["right_row"].nunique()


def test_only_what_is_done_anew_is_held_against_the_quota(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a part of the set, a run that goes on is let through, and another one is not."""
    from psc.policy import ledger

    asked = request(market, want=["status"], protocol="dh-psi")
    assert broken_off(market, asked, 5) == 5
    plan = plan_of(market, asked)
    assert plan.kept is not None
    count = plan.kept.run.shards
    left = (count - 5) * shard_bound(plan.own_size, count)
    used = sum(charge.elements for charge in charges(market.pair.courier.home))
    honest = ledger._refusal

    def limited(charge: Any, so_far: Any, limits: Any, moment: Any) -> Any:
        return honest(charge, so_far, limits.model_copy(update={"elements_per_day": used + left}), moment)

    monkeypatch.setattr(ledger, "_refusal", limited)
    got = plan.run()
    assert got.receipt.receipt.resumed is not None
    with pytest.raises(PscError) as caught:
        plan_of(market, asked).run()
    assert caught.value.fields["rule"] == "elements-per-day"


def test_a_hello_that_was_sent_before_opens_nothing(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    from psc.operations import responder

    asked = request(market, want=["status"])
    assert broken_off(market, asked, 4) == 4
    opened = []
    honest = responder.kept_by_responder
    monkeypatch.setattr(responder, "kept_by_responder", lambda *args: opened.append(1) or honest(*args))
    plan = plan_of(market, asked)
    used = list_runs(market.pair.merchant.home, limit=1)[0].run_id
    assert plan.asking is not None
    hello = plan.asking._hello(plan, used)
    assert hello.resumes is not None
    raw = hello.canonical()
    with pytest.raises(PscError):
        market.courier._link.open(raw, bytes.fromhex(market.pair.merchant.home.identity.sign(hello)))
    assert opened == []
