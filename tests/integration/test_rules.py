"""What an agreement does not grant is refused, with the rule named on both sides, before data moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psc
from psc.errors import (
    DataError,
    ParameterMismatchError,
    PeerAbortedError,
    PolicyDeniedError,
    PscError,
    Rule,
    UsageError,
)
from psc.node.clock import now
from psc.node.datasets import add_dataset
from psc.node.runs import list_runs
from psc.operations import initiator, play, responder
from psc.operations.plan import Plan
from psc.policy.agreements import revoke, sign
from psc.policy.ledger import charges
from psc.policy.propose import Offer, propose
from psc.testing.madeup import ORDER_PHONE, PARCEL_PHONE
from psc.testing.nodes import PURPOSE, grant
from tests.integration.conftest import Market

ON = {"phone": ORDER_PHONE}


def plan_of(market: Market, **changes: Any) -> Plan:
    options: dict[str, Any] = {"on": ON, "dataset": "parcels", "purpose": PURPOSE, "on_bad": "skip", "want": ["status"]}
    return market.courier.plan(psc.Match(market.orders, **(options | changes)))


REFUSED: list[tuple[dict[str, Any], Rule]] = [
    ({"dataset": "secrets"}, Rule.DATASET_NOT_GRANTED),
    ({"purpose": "marketing"}, Rule.PURPOSE_NOT_ALLOWED),
    ({"want": ["weight"]}, Rule.COLUMN_NOT_RELEASED),
    ({"want": ["no-such-column"]}, Rule.COLUMN_NOT_RELEASED),
    ({"on": {"email": ORDER_PHONE}}, Rule.KEY_NOT_GRANTED),
]


@pytest.mark.parametrize(("changes", "rule"), REFUSED)
def test_the_plan_names_the_rule_and_nothing_moves(market: Market, changes: dict[str, Any], rule: Rule) -> None:
    before = len(list_runs(market.pair.courier.home))
    plan = plan_of(market, **changes)
    assert plan.refusal is not None
    assert plan.refusal.rule == rule
    with pytest.raises(PolicyDeniedError):
        plan.run()
    assert len(list_runs(market.pair.courier.home)) == before


def only(market: Market, name: str, **limits: Any) -> str:
    """Grant another dataset of the same parcels under a name of its own; return the agreement's id."""
    options: dict[str, Any] = {"keys": [f"phone={PARCEL_PHONE}:phone"], "release": ["status:text:16"]}
    stored = grant(market.pair.courier, "merchant", name, source=market.folder / "parcels.parquet", **(options | limits))
    return stored.signed.agreement.id


def test_operation_and_output_that_were_not_granted(market: Market) -> None:
    only(market, "counted", operations=("count",), outputs=("receiver",), release=())
    plan = plan_of(market, dataset="counted", want=[])
    assert plan.refusal is not None
    assert plan.refusal.rule == Rule.OPERATION_NOT_ALLOWED
    with market.pair.merchant.connect("courier") as courier:
        request = psc.Count(market.orders, on=ON, dataset="counted", purpose=PURPOSE, on_bad="skip", output_to="both")
        refusal = courier.plan(request).refusal
    assert refusal is not None
    assert refusal.rule == Rule.OUTPUT_NOT_ALLOWED


def test_a_drained_quota_and_its_charge_for_cancelled_runs(market: Market) -> None:
    only(market, "twice", runs_per_day=2)
    cancel = psc.Cancel()
    cancel.set()
    with pytest.raises(PscError):
        plan_of(market, dataset="twice").run(cancel=cancel)
    plan_of(market, dataset="twice").run()
    charged = [charge for charge in charges(market.pair.courier.home) if charge.dataset == "twice"]
    if len(charged) == 1:  # the cancel was quicker than the hello
        plan_of(market, dataset="twice").run()
    refused = plan_of(market, dataset="twice")
    assert refused.refusal is not None
    assert refused.refusal.rule == Rule.RUNS_PER_DAY
    assert len([charge for charge in charges(market.pair.courier.home) if charge.dataset == "twice"]) == 2


AFTER_THE_PLAN: dict[str, tuple[Callable[[Market, str], None], str]] = {
    "revoked": (lambda market, agreement: revoke(market.pair.courier.home, agreement) and None, Rule.AGREEMENT_REVOKED),
    "re-registered": (
        lambda market, _: only(market, "moving", max_rows_per_key=2) and None,
        Rule.DATASET_CHANGED,
    ),
}


@pytest.mark.parametrize("what", AFTER_THE_PLAN)
def test_terms_that_change_after_the_plan_refuse_the_run(market: Market, what: str) -> None:
    agreement = only(market, "moving")
    plan = plan_of(market, dataset="moving")
    assert plan.refusal is None
    change, rule = AFTER_THE_PLAN[what]
    change(market, agreement)
    with pytest.raises(PolicyDeniedError) as caught:
        plan.run()
    assert caught.value.rule == rule
    assert list_runs(market.pair.merchant.home, limit=1)[0].status == "refused"


def test_expired_and_not_yet_valid_agreements_do_not_show_and_refuse(market: Market) -> None:
    home = market.pair.courier.home
    source = market.folder / "parcels.parquet"
    for name, start in (("past", now() - timedelta(days=9)), ("future", now() + timedelta(days=1))):
        add_dataset(home, name, source=source, keys=[f"phone={PARCEL_PHONE}:phone"], on_bad="skip")
        offer = Offer(name, ["match"], min_input=0, min_result=0)
        until = start + timedelta(days=2)
        stored = propose(home, partner="merchant", offers=[offer], purpose=[PURPOSE], valid_from=start, valid_until=until)
        sign(home, stored.signed.agreement.id)
        plan = plan_of(market, dataset=name, want=[])
        assert plan.refusal is not None
        assert plan.refusal.rule == Rule.DATASET_NOT_GRANTED


def test_the_catalogue_shows_only_what_was_granted(market: Market) -> None:
    add_dataset(
        market.pair.courier.home,
        "unseen",
        source=market.folder / "parcels.parquet",
        keys=[f"phone={PARCEL_PHONE}:phone"],
        on_bad="skip",
    )
    with market.pair.merchant.connect("courier") as courier:
        catalogue = courier.catalogue()
    text = catalogue.canonical().decode()
    assert "unseen" not in text
    assert "weight" not in text
    assert PARCEL_PHONE not in text
    assert str(market.folder) not in text


def test_a_result_below_the_minimum_is_refused_without_its_size(market: Market) -> None:
    only(market, "minimum", min_result=500)
    with pytest.raises(PolicyDeniedError) as caught:
        plan_of(market, dataset="minimum").run()
    assert caught.value.rule == Rule.RESULT_TOO_SMALL
    assert set(caught.value.fields) == {"rule", "min_result", "run_id"}
    record = list_runs(market.pair.merchant.home, limit=1)[0]
    assert record.status == "refused"
    assert record.bytes_received > 0
    impossible = plan_of(market, minimum_result=10_000)  # more than there are keys: the plan says so
    assert impossible.refusal is not None
    assert impossible.refusal.code == "operations.result-below-own-minimum"
    own = plan_of(market, minimum_result=impossible.own_keys)
    assert own.refusal is None
    with pytest.raises(PolicyDeniedError) as refused:
        own.run()
    assert refused.value.code == "operations.result-below-own-minimum"
    assert refused.value.fields["run_id"]


def test_a_source_that_changed_at_the_responder_is_data_not_ready(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    path = market.folder / "changing.parquet"
    pq.write_table(market.parcels, path)
    grant(
        market.pair.courier, "merchant", "changing", source=path, keys=[f"phone={PARCEL_PHONE}:phone"], release=["status:text:16"]
    )
    plan_of(market, dataset="changing").run()
    pq.write_table(market.parcels.slice(1), path)
    with pytest.raises(PeerAbortedError) as caught:
        plan_of(market, dataset="changing").run()
    assert caught.value.abort_code == "data-not-ready"
    assert caught.value.exit_code == 8
    before = charges(market.pair.courier.home)
    reads: list[str] = []
    monkeypatch.setattr(responder, "read_dataset", lambda *_, **__: reads.append("read"))
    with pytest.raises(PeerAbortedError):
        plan_of(market, dataset="changing").run()
    assert not reads  # a source known to be useless costs nothing, for it is not charged
    assert charges(market.pair.courier.home) == before


def test_a_source_that_failed_is_read_again_after_a_while(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL has no size or time to tell that it works again: only the clock ends what is remembered of it."""
    only(market, "remote")
    original, clock, answers = responder.read_dataset, [0.0], [DataError("data.file-missing", file="x", folder="y")]

    def flaky(*args: Any, **options: Any) -> Any:
        if answers:
            raise answers.pop()
        return original(*args, **options)

    monkeypatch.setattr(responder, "source_state", lambda _: None)
    monkeypatch.setattr(responder, "read_dataset", flaky)
    monkeypatch.setattr(responder, "monotonic", lambda: clock[0])
    for _ in range(2):
        with pytest.raises(PeerAbortedError):
            plan_of(market, dataset="remote").run()
    clock[0] = 61.0
    assert isinstance(plan_of(market, dataset="remote").run(), psc.MatchResult)


def test_a_used_run_id_is_refused_and_what_is_read_is_charged(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    only(market, "charged", runs_per_day=3)
    reads: list[str] = []
    original = responder.read_dataset

    def counting(*args: Any, **options: Any) -> Any:
        reads.append("read")
        return original(*args, **options)

    monkeypatch.setattr(responder, "read_dataset", counting)
    monkeypatch.setattr(initiator.secrets, "choice", lambda alphabet: alphabet[-1])  # every run has the same id
    plan_of(market, dataset="charged").run()
    for _ in range(4):
        plan = plan_of(market, dataset="charged", want=[])
        with pytest.raises(PscError):
            plan.run()
    assert len(reads) == 1
    assert len([charge for charge in charges(market.pair.courier.home) if charge.dataset == "charged"]) == 1


def test_an_agreement_revoked_while_the_dataset_is_read_refuses(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    agreement = only(market, "slow")
    original = responder.read_dataset

    def slow(*args: Any, **options: Any) -> Any:
        loaded = original(*args, **options)
        revoke(market.pair.courier.home, agreement)
        return loaded

    plan = plan_of(market, dataset="slow")
    monkeypatch.setattr(responder, "read_dataset", slow)
    with pytest.raises(PolicyDeniedError) as caught:
        plan.run()
    assert caught.value.rule == Rule.AGREEMENT_REVOKED


def test_a_responder_that_offers_another_size_than_its_catalogue_is_refused(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(market, "sized")
    plan = plan_of(market, dataset="sized")
    monkeypatch.setattr(play, "padded_size", lambda count: 2 * count + 64)
    with pytest.raises(ParameterMismatchError) as caught:
        plan.run()
    assert caught.value.code == "operations.size-differs"


def test_a_release_of_many_long_columns_still_ends_with_a_receipt(market: Market) -> None:
    names = [f"{n:02d}" + "宽" * 60 for n in range(40)]
    table = market.parcels.select([PARCEL_PHONE])
    for name in names:
        table = table.append_column(name, pa.array([1] * table.num_rows, pa.int64()))
    path = market.folder / "wide.parquet"
    pq.write_table(table, path)
    keys, release = [f"phone={PARCEL_PHONE}:phone"], [f"{name}:int64" for name in names]
    grant(market.pair.courier, "merchant", "wide", source=path, keys=keys, release=release)
    result = plan_of(market, dataset="wide", want=names).run()
    assert isinstance(result, psc.MatchResult)
    assert set(names) <= set(result.table.column_names)


def test_a_transfer_over_the_limit_is_refused_before_anything_moves(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    home = market.pair.merchant.home
    limits = replace(home.settings.limits, transfer_bytes=50_000)
    monkeypatch.setattr(home, "settings", home.settings.model_copy(update={"limits": limits}))
    with pytest.raises(UsageError) as caught:
        plan_of(market)
    assert caught.value.code == "operations.transfer-over-limit"


BAD_TABLES: dict[str, tuple[object, str]] = {
    "wrong column": (pa.table({"other": ["13800138000"]}), "data.column-missing"),
    "bad cells": (pa.table({ORDER_PHONE: ["13800138000", "123"]}), "data.bad-keys"),
    "all cells bad": (pa.table({ORDER_PHONE: ["x", "123"]}), "data.all-keys-bad"),
    "missing file": (Path("no-such-file.csv"), "data.file-missing"),
    "not a table": (42, "data.source-unsupported"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_own_table_is_an_error_before_anything_moves(market: Market, case: str) -> None:
    source, code = BAD_TABLES[case]
    before = len(list_runs(market.pair.courier.home))
    with market.pair.merchant.connect("courier") as courier, pytest.raises(DataError) as caught:
        courier.match(source, on=ON, dataset="parcels", purpose=PURPOSE)
    assert caught.value.code == code
    assert len(list_runs(market.pair.courier.home)) == before
