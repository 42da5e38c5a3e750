"""What surrounds an aggregate: charges and quotas, terms and data that change, receipts, delivered tables, estimates, reprs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import psc
from psc.audit.receipt import SignedReceipt, verify_receipt
from psc.cli.main import commands
from psc.errors import AuditError, BudgetExhaustedError, DataError, PeerAbortedError, PolicyDeniedError, Rule, UsageError
from psc.node.runs import get_run, list_runs, receipt_of, result_of
from psc.node.trust import known_identities, partner_named
from psc.operations import aggregate, responder
from psc.operations.plan import Plan
from psc.policy.agreements import revoke, with_partner
from psc.policy.ledger import charges
from psc.protocols.cells import GroupLabels
from psc.protocols.padding import padded_size
from psc.session.codec import decode
from psc.testing.nodes import PURPOSE, NodePair, node_pair
from psc.types import Noise
from tests.integration.test_aggregate import GROUPINGS, WIDE, Tables, check, plain, publish, tables
from tests.integration.test_match_count import wait_until_finished

MEMBERSHIPS = ["hidden", "owner", "matcher"]
SUMS = [psc.sum("fee"), psc.mean("weight")]


@dataclass
class Linked(NodePair):
    """A pair whose merchant has connected."""

    partner: psc.Partner


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    with node_pair(tmp_path_factory.mktemp("aggregate-runs")) as made, made.merchant.connect("courier") as partner:
        yield Linked(made.merchant, made.courier, made.serving, partner)


@pytest.fixture(scope="module")
def case() -> Tables:
    return tables(np.random.default_rng(20), 900, 900)


def plan_of(pair: Linked, case: Tables, dataset: str, **changes: Any) -> Plan:
    ask: dict[str, Any] = {"on": "phone", "dataset": dataset, "select": SUMS, "group_by": ["tier", "city"], "purpose": PURPOSE}
    return pair.partner.plan(psc.Aggregate(case.own, **(ask | changes)))


def run(pair: Linked, case: Tables, dataset: str, **changes: Any) -> psc.AggregateResult:
    ask: dict[str, Any] = {"on": "phone", "dataset": dataset, "select": SUMS, "group_by": ["tier", "city"], "purpose": PURPOSE}
    return pair.partner.aggregate(case.own, **(ask | changes))


def charged(pair: Linked, dataset: str) -> list[tuple[str, int, int]]:
    return [(one.operation, one.runs, one.elements) for one in charges(pair.courier.home) if one.dataset == dataset]


def agreement_of(pair: Linked, dataset: str) -> str:
    """Return the id of the newest agreement on a dataset."""
    agreements = with_partner(pair.courier.home, partner_named(pair.courier.home, "merchant"), ours=True)
    stored = [one for one in agreements if one.signed.agreement.terms_of(dataset)]
    return max(stored, key=lambda one: one.sequence).signed.agreement.id


# --- charges -----------------------------------------------------------------------------------------------------------------


def test_an_aggregate_is_charged_by_its_padded_size(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "charged")
    sizes = []
    for membership, groups in (("hidden", []), ("hidden", ["tier"]), ("owner", ["tier"])):
        result = run(pair, case, "charged", membership=membership, group_by=groups)
        sizes.append(result.receipt.receipt.initiator_sizes_padded[0])
    distinct = case.own["phone"].nunique()
    by_tier = case.own.drop_duplicates("phone")["tier"].value_counts()
    assert sizes == [padded_size(distinct), sum(padded_size(size) for size in by_tier), padded_size(distinct)]
    assert charged(pair, "charged") == [("aggregate", 1, size) for size in sizes]


def test_quotas_of_runs_and_elements_end_aggregates(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "twice", runs_per_day=len(MEMBERSHIPS))
    for membership in MEMBERSHIPS:
        run(pair, case, "twice", membership=membership)
    for membership in MEMBERSHIPS:
        refusal = plan_of(pair, case, "twice", membership=membership).refusal
        assert refusal is not None
        assert refusal.rule is Rule.RUNS_PER_DAY
    assert len(charged(pair, "twice")) == len(MEMBERSHIPS)
    # Padding by groups makes the set larger, and it is the padded size that counts.
    few = replace(case, own=case.own.iloc[:90])
    publish(pair, case.theirs, "elements", elements_per_day=padded_size(few.own["phone"].nunique()))
    grouped = plan_of(pair, few, "elements").refusal
    assert grouped is not None
    assert grouped.rule is Rule.ELEMENTS_PER_DAY
    run(pair, few, "elements", group_by=[])
    with pytest.raises(BudgetExhaustedError):
        run(pair, few, "elements", group_by=[])


def test_a_plan_costs_nothing_and_a_run_that_fails_is_charged(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "failing")
    plan = plan_of(pair, case, "failing")
    assert charged(pair, "failing") == []
    cancel = psc.Cancel()

    def stop(progress: Any) -> None:
        if progress.stage == "computing":
            cancel.set()

    with pytest.raises(psc.errors.CancelledError):
        plan.run(progress=stop, cancel=cancel)
    assert len(charged(pair, "failing")) == 1
    with pytest.raises(UsageError) as caught:
        plan.run()
    assert caught.value.code == "operations.plan-used"


# --- what changes between plan and run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_a_dataset_that_changed_since_the_plan_refuses(pair: Linked, case: Tables, membership: str) -> None:
    publish(pair, case.theirs, "moving")
    plan = plan_of(pair, case, "moving", membership=membership)
    publish(pair, case.theirs.assign(fee=1), "moving")
    with pytest.raises(PolicyDeniedError) as denied:
        plan.run()
    assert denied.value.rule in (Rule.DATASET_CHANGED, Rule.AGREEMENT_CHANGED)
    plan = plan_of(pair, case, "moving", membership=membership)
    before = charged(pair, "moving")
    path = pair.courier.home.path.parent / "moving.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)  # the file, not the registration
    with pytest.raises(PeerAbortedError) as aborted:
        plan.run()
    assert aborted.value.abort_code == "data-not-ready"
    assert charged(pair, "moving") == before


def test_the_own_table_must_be_what_the_plan_read(pair: Linked, case: Tables, tmp_path: Path) -> None:
    publish(pair, case.theirs, "own")
    path = tmp_path / "own.parquet"
    case.own.to_parquet(path)
    ask: dict[str, Any] = {"on": "phone", "dataset": "own", "select": SUMS, "group_by": ["tier"], "purpose": PURPOSE}
    plan = pair.partner.plan(psc.Aggregate(path, **ask))
    case.own.assign(tier=case.own["tier"].map(lambda tier: "gold" if tier == "basic" else tier)).to_parquet(path)  # groups only
    with pytest.raises(DataError) as caught:
        plan.run()
    assert caught.value.code == "operations.own-table-changed"
    assert charged(pair, "own") == []


def test_an_agreement_revoked_while_data_is_read_refuses(pair: Linked, case: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(pair, case.theirs, "slow")
    agreement, original = agreement_of(pair, "slow"), responder.read_dataset
    plan = plan_of(pair, case, "slow")

    def slow(*arguments: Any, **options: Any) -> Any:
        loaded = original(*arguments, **options)
        revoke(pair.courier.home, agreement)
        return loaded

    monkeypatch.setattr(responder, "read_dataset", slow)
    with pytest.raises(PolicyDeniedError) as caught:
        plan.run()
    assert caught.value.rule is Rule.AGREEMENT_REVOKED
    assert list_runs(pair.courier.home, limit=1)[0].status == "refused"


def test_an_agreement_revoked_during_a_run_refuses_the_next(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "revoked")
    agreement = agreement_of(pair, "revoked")
    done: list[str] = []

    def tap(way: str, frame: bytes) -> None:
        if way == "received" and len(done) < 4:
            done.append(way)
            if len(done) == 3:
                revoke(pair.courier.home, agreement)

    ask: dict[str, Any] = {"on": "phone", "dataset": "revoked", "select": SUMS, "purpose": PURPOSE}
    with pair.merchant.connect("courier", tap=tap) as courier:
        second = courier.plan(psc.Aggregate(case.own, **ask))
        result = courier.aggregate(case.own, **ask)  # what was accepted is finished
        check(result, plain(case.shared(), [], SUMS, case.own))
        with pytest.raises(PolicyDeniedError) as caught:
            second.run()
        assert caught.value.rule is Rule.AGREEMENT_REVOKED
        assert courier.plan(psc.Aggregate(case.own, **ask)).refusal is not None


# --- receipts and delivered tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_the_receipt_has_the_terms_and_nothing_of_the_result(pair: Linked, case: Tables, membership: str) -> None:
    noise = None if membership == "matcher" else Noise(mechanism="laplace", budget_thousandths=4000)
    publish(pair, case.theirs, "receipts", min_group=3, **({} if noise is None else {"noise": noise}))
    plan = plan_of(pair, case, "receipts", membership=membership, output_to="both")
    result = plan.run()
    wait_until_finished(pair.courier, result.run_id)
    texts = [receipt_of(node.home, result.run_id) for node in (pair.merchant, pair.courier)]
    assert texts[0] == texts[1] is not None
    signed = SignedReceipt.parse(str(texts[0]).encode(), file="receipt")
    terms = signed.receipt.aggregate
    assert plan.shape is not None
    assert terms == plan.shape.aggregate is not None
    assert [entry.name for entry in terms.values] == ["fee", "weight"]
    assert [(group.name, group.groups) for group in terms.groups] == [("city", 5)]
    assert (terms.own_columns, terms.own_groups, terms.membership) == (("tier",), 3, membership)
    assert (terms.minimum_group, terms.rows_bound) == (3, 32)
    assert signed.receipt.noise == noise
    assert (signed.receipt.operation, signed.receipt.output_to) == ("aggregate", "both")
    assert bool(signed.receipt.self_rules) == (membership != "owner")
    for side in signed.receipt.leakage.initiator, signed.receipt.leakage.responder:
        assert side
    for label in (*case.own["tier"].unique(), *case.theirs["city"].unique()):
        assert label not in str(texts[0])
    known = known_identities(pair.courier.home)
    verify_receipt(signed, known)
    weaker = signed.receipt.model_copy(update={"aggregate": terms.model_copy(update={"minimum_group": 2})})
    for forged in (
        weaker,
        signed.receipt.model_copy(update={"aggregate": None}),
        signed.receipt.model_copy(update={"noise": Noise(mechanism="laplace", budget_thousandths=9000)}),
    ):
        with pytest.raises(AuditError):
            verify_receipt(replace(signed, receipt=forged), known)


@pytest.mark.parametrize("membership", MEMBERSHIPS)
@pytest.mark.parametrize("output_to", ["responder", "both"])
def test_a_delivered_table_is_exported(pair: Linked, case: Tables, membership: str, output_to: str, tmp_path: Path) -> None:
    publish(pair, case.theirs, "delivered")
    result = run(pair, case, "delivered", membership=membership, output_to=output_to)
    wait_until_finished(pair.courier, result.run_id)
    path = result_of(pair.courier.home, result.run_id)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert get_run(pair.courier.home, result.run_id).result == path.name
    assert result_of(pair.merchant.home, result.run_id) is None
    out = tmp_path / "theirs.csv"
    command = ["runs", "export", result.run_id, "--home", str(pair.courier.home.path), "--output", str(out)]
    assert CliRunner().invoke(commands(), command).exit_code == 0
    want = plain(case.shared(), ["tier", "city"], [psc.sum("fee"), psc.count("weight")], case.own)
    rows = pd.read_csv(out).to_dict("records")
    assert {(row["tier"], row["city"]): (row["customers"], row["fee_sum"], row["weight_count"]) for row in rows} == {
        label: (cell["customers"], cell["fee_sum"], cell["weight_count"]) for label, cell in want.items()
    }
    assert (result.table is None) == (output_to == "responder")


@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_nothing_is_delivered_where_only_the_asking_side_learns(pair: Linked, case: Tables, membership: str) -> None:
    publish(pair, case.theirs, "quiet")
    result = run(pair, case, "quiet", membership=membership)
    wait_until_finished(pair.courier, result.run_id)
    assert result_of(pair.courier.home, result.run_id) is None
    assert not list(pair.courier.home.results_folder.glob(f"{result.run_id}*"))


# --- minimum sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_the_stricter_minimum_of_both_sides_holds(pair: Linked, membership: str) -> None:
    case = tables(np.random.default_rng(22), 3_000, 3_000)
    sizes = case.shared().groupby(["tier", "city"])["phone"].nunique()
    agreed, stricter = (int(least) for least in np.sort(sizes)[[2, 5]])
    assert 1 < agreed < stricter
    publish(pair, case.theirs, "minima", min_group=agreed)
    withheld = []
    for own, least in ((None, agreed), (1, agreed), (stricter, stricter)):
        result = run(pair, case, "minima", membership=membership, minimum_group=own, output_to="both")
        assert result.receipt.receipt.aggregate is not None
        assert result.receipt.receipt.aggregate.minimum_group == least
        wait_until_finished(pair.courier, result.run_id)
        path = result_of(pair.courier.home, result.run_id)
        assert path is not None
        for table in (result.to_arrow(), pq.read_table(path)):
            rows = {(row["tier"], row["city"]): row for row in table.to_pylist()}
            for label, size in sizes.items():
                row = rows[label]
                assert row["withheld"] or row["customers"] == size >= least
                assert not row["withheld"] or (row["customers"], row["fee_sum"]) == (None, None)
            withheld.append(sum(row["withheld"] for row in rows.values()))
    assert 0 < withheld[0] == withheld[1] == withheld[2] == withheld[3] < withheld[4] == withheld[5] < len(sizes)


# --- estimates -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("membership", MEMBERSHIPS)
@pytest.mark.parametrize("output_to", ["receiver", "both"])
def test_a_plan_tells_the_bytes_that_a_run_moves(pair: Linked, membership: str, output_to: str) -> None:
    case = tables(np.random.default_rng(21), 2_000, 3_000)
    publish(pair, case.theirs, "measured")
    for groups in GROUPINGS:
        for select in ([psc.count()], [psc.sum("fee")], SUMS):
            plan = plan_of(pair, case, "measured", membership=membership, output_to=output_to, group_by=groups, select=select)
            assert plan.estimate is not None
            stats = plan.run().stats
            told, moved = plan.estimate.bytes_sent + plan.estimate.bytes_received, stats.bytes_sent + stats.bytes_received
            # Of the partner's groups only the number is known: the plan tells the most that their padding makes.
            padding = 32 * 64 * 15 if membership == "hidden" and {"city", "zone"} & set(groups) else 0
            assert moved * 0.99 <= told <= moved * 1.1 + padding, (groups, len(select))
            if select != [psc.count()]:
                assert abs(stats.bytes_sent / plan.estimate.bytes_sent - 1) < 0.1
                assert abs(stats.bytes_received / plan.estimate.bytes_received - 1) < 0.1


# --- nothing personal ----------------------------------------------------------------------------------------------------------


def test_no_repr_shows_a_row(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "reprs")
    plan = plan_of(pair, case, "reprs")
    result = plan.run()
    assert plan.own is not None
    forms: list[Callable[[pd.DataFrame], object]] = [lambda frame: frame, pa.Table.from_pandas]
    requests = [psc.Aggregate(make(case.own), on="phone", dataset="reprs", select=SUMS, purpose=PURPOSE) for make in forms]
    requests += [psc.Match(case.own, on="phone", dataset="reprs", purpose=PURPOSE)]
    shown = [plan, plan.own, plan.own.groups, plan.own.keyed, plan.shape, result, *requests]
    text = "".join(map(repr, shown)) + str(plan) + json.dumps(plan.to_dict())
    for phone in case.own["phone"]:
        assert phone not in text
    for label in (*case.own["tier"].unique(), *case.theirs["city"].unique()):
        assert label not in text


def test_no_error_or_log_shows_a_row(pair: Linked, case: Tables, caplog: pytest.LogCaptureFixture) -> None:
    publish(pair, case.theirs, "errors")
    own = case.own.copy()
    phone = own["phone"].iloc[0]
    own = pd.concat([own, own.iloc[:1].assign(tier="another")], ignore_index=True)  # no function of the key
    with caplog.at_level(0), pytest.raises(DataError) as caught:
        plan_of(pair, replace(case, own=own), "errors")
    assert phone not in str(caught.value)
    assert phone not in repr(caught.value)
    run(pair, case, "errors", output_to="both")
    for one in (*case.own["phone"], *case.theirs["phone"]):
        assert one not in caplog.text


# --- groups that the one who withholds does not know by name, and weights ----------------------------------------------------


def crossed(tier: str, zone: str) -> pd.DataFrame:
    """Customers in four groups of two columns, of whom (B,F)=5 (B,M)=100 (S,F)=90 (S,M)=30: all four must go, or 5 follows."""
    sizes = {("B", "F"): 5, ("B", "M"): 100, ("S", "F"): 90, ("S", "M"): 30}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    frame = pd.DataFrame(labels, columns=[tier, zone])
    return frame.assign(phone=[f"1370{number:07d}" for number in range(len(frame))])


VALUES = {"fee": 7, "weight": None, "wide": 1}


def test_an_owner_withholds_what_follows_by_columns_that_it_does_not_know_by_name(pair: Linked) -> None:
    own = crossed("tier", "sex")
    publish(pair, own[["phone"]].assign(city="x", zone="y", **VALUES), "crossed", min_group=20)
    ask: dict[str, Any] = {"on": "phone", "dataset": "crossed", "select": psc.sum("fee"), "purpose": PURPOSE}
    plan = pair.partner.plan(psc.Aggregate(own, group_by=["tier", "sex"], membership="owner", **ask))
    assert plan.shape is not None
    assert plan.shape.terms.own_places == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert plan.shape.terms.own_columns == ()
    assert plan.leakage is not None
    assert any("made of its group columns" in line.render() for line in plan.leakage.responder)
    result = plan.run()
    assert isinstance(result, psc.AggregateResult)
    assert result.to_pandas()["withheld"].all()
    alone = pair.partner.aggregate(own, group_by=["tier"], membership="owner", **ask)
    assert alone.to_pandas()["customers"].tolist() == [105, 120]
    hidden = pair.partner.plan(psc.Aggregate(own, group_by=["tier", "sex"], **ask))
    assert hidden.shape is not None
    assert hidden.shape.terms.own_places == ()  # here the initiator withholds, and the owner needs not know


def test_an_initiator_withholds_what_follows_by_columns_that_it_is_not_told_the_names_of(pair: Linked) -> None:
    theirs = crossed("city", "zone").assign(**VALUES)
    publish(pair, theirs, "crossed", min_group=20)
    frames: list[bytes] = []
    with pair.merchant.connect("courier", tap=lambda direction, frame: frames.append(frame)) as partner:
        result = partner.aggregate(
            theirs[["phone"]],
            on="phone",
            dataset="crossed",
            select=psc.sum("fee"),
            group_by=["theirs:city", "theirs:zone"],
            output_to="responder",
            purpose=PURPOSE,
        )
    wait_until_finished(pair.courier, result.run_id)
    path = result_of(pair.courier.home, result.run_id)
    assert path is not None
    table = pq.read_table(path).to_pandas()
    assert len(table) == 4
    assert table["withheld"].all()
    told = [message.labels for message in map(decode, frames) if isinstance(message, GroupLabels)]
    assert told == [(b"[0,0]", b"[0,1]", b"[1,0]", b"[1,1]"), (b"[]",)]
    assert any("label in common" in line.render() for line in result.leakage.initiator)


@pytest.mark.parametrize("output_to", ["receiver", "both"])
def test_a_weight_column_has_no_name_where_the_responder_learns_no_result(pair: Linked, case: Tables, output_to: str) -> None:
    publish(pair, case.theirs, "weighted")
    own = case.own.assign(margin=case.own["rate"] * 2)
    chosen = [psc.weighted_sum("margin", "fee"), psc.weighted_sum("rate", "fee")]
    ask: dict[str, Any] = {"on": "phone", "dataset": "weighted", "select": chosen, "purpose": PURPOSE, "membership": "owner"}
    result = pair.partner.aggregate(own, group_by="tier", output_to=output_to, **ask)
    check(result, plain(case.shared(), ["tier"], [psc.weighted_sum("rate", "fee")], case.own))
    twice = result.to_pandas()
    assert [2 * total for total in twice["rate*fee_sum"]] == twice["margin*fee_sum"].tolist()
    terms = result.receipt.receipt.aggregate
    assert terms is not None
    names = ["weight 1", "weight 2"] if output_to == "receiver" else ["margin", "rate"]
    assert [weight.name for weight in terms.weights] == names
    document = result.receipt.receipt.canonical().decode()
    assert ("margin" in document) == (output_to == "both")
    assert any("to a factor of two" in line.render() and names[0] in line.render() for line in result.leakage.responder)


def test_weights_of_two_to_the_32_are_refused_before_anything_is_charged(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "heavy")
    before = charged(pair, "heavy")
    ask: dict[str, Any] = {"on": "phone", "dataset": "heavy", "purpose": PURPOSE, "membership": "owner"}
    for rate, scale in ((1 << 32, 0), (-(1 << 32), 0), ((1 << 62) - 1, 0), (5, 9)):
        own = case.own.drop_duplicates("phone").assign(rate=rate)
        with pytest.raises(UsageError) as caught:
            pair.partner.plan(psc.Aggregate(own, select=psc.weighted_sum("rate", "fee", scale=scale), **ask))
        assert (caught.value.code, caught.value.fields["name"]) == ("operations.weight-too-large", "rate")
    assert charged(pair, "heavy") == before
    own = case.own.drop_duplicates("phone").head(100).assign(rate=(1 << 32) - 1)  # the largest that there is
    result = pair.partner.aggregate(own, select=psc.weighted_sum("rate", "weight"), **ask)
    total = case.theirs[case.theirs["phone"].isin(own["phone"])]["weight"].sum()
    assert result.to_arrow().to_pylist()[0]["rate*weight_sum"] == ((1 << 32) - 1) * total > 0


def test_an_owner_draws_its_noise_before_its_first_message(pair: Linked, case: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The samplers' time depends on what they draw: after the exact table is known, the answer would show it."""
    publish(pair, case.theirs, "noisy", noise="laplace:4")
    events: list[str] = []
    honest = aggregate.draw_noise

    def drawn(*arguments: Any) -> Any:
        events.append("draw")
        return honest(*arguments)

    monkeypatch.setattr(aggregate, "draw_noise", drawn)
    with pair.merchant.connect("courier", tap=lambda direction, frame: events.append(type(decode(frame)).__name__)) as partner:
        partner.aggregate(
            case.own, on="phone", dataset="noisy", select=psc.sum("fee"), membership="owner", group_by="city", purpose=PURPOSE
        )
    assert events.count("draw") == 1
    assert events.index("draw") < events.index("BlindedItems") < events.index("ReleasedTable")


def test_a_question_too_wide_or_too_deep_is_refused_when_it_is_planned(pair: Linked, case: Tables) -> None:
    publish(pair, case.theirs, "limits")
    path = pair.courier.home.path.parent / "limits.parquet"
    names = [f"w{number}" for number in range(60)]
    registered: dict[str, Any] = {"keys": ["phone:phone"], "max_rows_per_key": 32, "replace": True}
    values = [f"{name}=wide:int64:-{WIDE}..{WIDE}" for name in names]
    pair.courier.add_dataset("limits", path, values=values, **registered)
    limits: dict[str, Any] = {"min_input": 0, "min_result": 0, "min_group": 20, "runs_per_day": 100}
    allowed: dict[str, Any] = {"membership": ("hidden", "owner", "matcher"), "outputs": ("receiver", "responder", "both")}
    pair.courier.grant("merchant", psc.Offer("limits", ("aggregate",), values=names, **limits, **allowed), purpose=PURPOSE)
    ask: dict[str, Any] = {"on": "phone", "dataset": "limits", "purpose": PURPOSE}
    for output_to in ("receiver", "responder", "both"):
        wide = psc.Aggregate(case.own, select=[psc.sum(name) for name in names], output_to=output_to, **ask)
        if output_to == "receiver":
            assert pair.partner.plan(wide).refusal is None
            continue
        with pytest.raises(UsageError) as caught:
            pair.partner.plan(wide)
        assert caught.value.code == "session.sums-too-wide"
        assert "two runs" in str(caught.value)
    bits = {f"b{bit}": [f"{number >> bit & 1}" for number in range(len(case.own))] for bit in range(7)}
    own = case.own.assign(**bits, last=[f"{number // 128}" for number in range(len(case.own))]).drop_duplicates("phone")
    for membership in MEMBERSHIPS:
        deep = psc.Aggregate(own, select=psc.count(), group_by=[*bits, "last"], membership=membership, **ask)
        with pytest.raises(UsageError) as caught:
            pair.partner.plan(deep)
        assert caught.value.code == "policy.table-too-deep"
