"""An aggregate whose terms do not add up, in the hello or in the accept: refused before it is charged, or anything sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import psc
from psc.errors import AbortCode, ParameterMismatchError, PeerAbortedError, PolicyDeniedError, Rule
from psc.node.runs import list_runs
from psc.operations.terms import play_of
from psc.policy.ledger import charges
from psc.session.hello import Accept, Hello
from psc.testing.nodes import PURPOSE
from psc.transport.handler import Answer
from psc.types import canonical_json
from tests.fault.parties import MIN_GROUP, Parties, parties
from tests.fault.test_hostile_hello import check_log, hello_of, send, sign_bytes

Edit = Callable[[dict[str, Any], dict[str, Any]], object]
"""Changes a hello's fields and its terms, in place."""

FEE = {"high": 5000, "low": 0, "name": "fee", "scale": 0}
SUM = {"column": "fee", "high": None, "kind": "sum", "low": None, "per": "row", "weight": None}
ITEMS = {"high": 16, "low": -16, "name": "items", "scale": 0}


def terms(**changes: Any) -> Edit:
    return lambda hello, aggregate: aggregate.update(changes)


def whole(**changes: Any) -> Edit:
    return lambda hello, aggregate: hello.update(changes)


def both(*edits: Edit) -> Edit:
    def edit(hello: dict[str, Any], aggregate: dict[str, Any]) -> None:
        for each in edits:
            each(hello, aggregate)

    return edit


def bins(count: int) -> list[dict[str, Any]]:
    return [SUM | {"kind": "bin", "low": at, "high": at + 1} for at in range(count)]


def statistic(**changes: Any) -> Edit:
    return terms(statistics=[SUM | changes])


MALFORMED: dict[str, Edit] = {
    "blocks that do not add up": terms(blocks=[64, 80]),
    "a size that is not the blocks'": whole(initiator_sizes=[192]),
    "too few blocks": terms(blocks=[128]),
    "too many blocks": both(terms(blocks=[64, 64, 64]), whole(initiator_sizes=[192])),
    "no blocks": terms(blocks=[]),
    "an empty block": both(terms(blocks=[128, 0])),
    "a negative block": terms(blocks=[192, -64]),
    "blocks that are not padded": terms(blocks=[63, 65]),
    "a block of an exact size": both(terms(blocks=[64, 67]), whole(initiator_sizes=[131])),
    "more own groups": terms(own_groups=3),
    "no own group": terms(own_groups=0, blocks=[]),
    "1,025 own groups": terms(own_groups=1025),
    "blocks in words": terms(blocks=["64", "64"]),
    "an unknown column": statistic(column="salary"),
    "a column that is not used": terms(values=[FEE, FEE | {"name": "paid"}]),
    "a column twice": terms(values=[FEE, FEE]),
    "no column": terms(values=[]),
    "a statistic twice": terms(statistics=[SUM, SUM]),
    "129 statistics": terms(statistics=bins(129)),
    "customers as a statistic": terms(statistics=[SUM, SUM | {"kind": "count", "per": "customer", "column": None}]),
    "an unknown statistic": statistic(kind="median"),
    "per order": statistic(per="order"),
    "a sum of nothing": statistic(column=None),
    "a sum with edges": statistic(low=0, high=1),
    "a bin without edges": statistic(kind="bin"),
    "a bin upside down": statistic(kind="bin", low=5, high=5),
    "an edge out of range": statistic(kind="bin", low=0, high=1 << 63),
    "a range upside down": terms(values=[FEE | {"low": 6000}]),
    "a value out of range": terms(values=[FEE | {"high": 1 << 62}]),
    "ten decimals": terms(values=[FEE | {"scale": 10}]),
    "a weight that is not there": statistic(weight=0),
    "a weight far out of range": both(statistic(weight=63), terms(weights=[ITEMS])),
    "a weight that is not used": terms(weights=[ITEMS]),
    "a weight where membership is hidden": both(statistic(weight=0), terms(weights=[ITEMS])),
    "nine weights": terms(weights=[ITEMS | {"name": f"w{n}"} for n in range(9)]),
    "weighted squares": both(statistic(kind="squares", weight=0), terms(weights=[ITEMS])),
    "a group twice": terms(groups=[{"groups": 2, "name": "zone"}] * 2),
    "too many cells": terms(groups=[{"groups": 1024, "name": "zone"}]),
    "no group of theirs": terms(groups=[{"groups": 0, "name": "zone"}]),
    "1,025 groups": terms(groups=[{"groups": 1025, "name": "zone"}]),
    "nine group columns": terms(groups=[{"groups": 1, "name": f"g{n}"} for n in range(9)]),
    "an own group column twice": terms(own_columns=["side", "side"]),
    "a group column with terminal codes": terms(own_columns=["\x1b[31m"]),
    "places that nobody needs": terms(own_places=[[0], [1]]),
    "own group columns that nobody is told of": whole(output_to="receiver"),
    "a negative minimum": terms(minimum_group=-1),
    "no rows": terms(rows_bound=0),
    "1,025 rows": terms(rows_bound=1025),
    "an unknown membership": terms(membership="everybody"),
    "an unknown field": terms(more=1),
    "another protocol": whole(protocol="owner-sum"),
    "membership of another protocol": terms(membership="owner"),
    "a model that sums do not withstand": whole(model="malicious"),
    "an unknown model": whole(model="covert"),
    "no terms": whole(aggregate=None),
    "terms of a match": whole(operation="match", protocol="dh-psi"),
    "terms of a count": whole(operation="count", protocol="dh-psi-count"),
    "released columns": whole(released=[{"name": "fee", "type": "int64", "width_bytes": 8}]),
    "noise of another kind": whole(noise={"mechanism": "cauchy", "budget_thousandths": 1000}),
    "noise without a budget": whole(noise={"mechanism": "laplace", "budget_thousandths": 0}),
}

MATCHER_MALFORMED: dict[str, Edit] = {
    "membership of another protocol": terms(membership="hidden"),
    "membership of the owner": terms(membership="owner"),
    "blocks where nothing travels in blocks": terms(blocks=[64]),
    "places that nobody needs": terms(own_places=[[0], [1]]),
    "a model that sums do not withstand": whole(model="malicious"),
    "a weight that is not there": terms(statistics=[SUM, SUM | {"weight": 1}]),
    "noise, though counts are exact": whole(noise={"mechanism": "laplace", "budget_thousandths": 1000}),
}

OWNER_MALFORMED: dict[str, Edit] = {
    "membership of another protocol": terms(membership="hidden"),
    "a model that sums do not withstand": whole(model="malicious"),
    "blocks where nothing travels in blocks": terms(blocks=[64]),
    "encryption where nothing is encrypted": terms(engine="rlwe-8192-168/1"),
    "a weight that is not there": terms(statistics=[SUM, SUM | {"weight": 1}]),
    "no places": terms(own_places=[]),
    "places of fewer groups": terms(own_places=[[0]]),
    "places of more groups": terms(own_places=[[0], [1], [2]]),
    "places with a gap": terms(own_places=[[0], [2]]),
    "places out of order": terms(own_places=[[1], [0]]),
    "a place twice": terms(own_places=[[0], [0]]),
    "a place below zero": terms(own_places=[[-1], [0]]),
    "a place beyond every group": terms(own_places=[[0], [1024]]),
    "places of unequal length": terms(own_places=[[0], [1, 0]]),
    "places of another number of columns": terms(own_places=[[0, 0], [1, 0]]),
    "places of nine columns": terms(own_places=[[0] * 9, [1] * 9]),
    "places in words": terms(own_places=[["0"], ["1"]]),
    "weights out of order": terms(statistics=[SUM | {"weight": 1}]),
}

MISMATCHED: dict[str, Edit] = {
    "unknown engine": terms(engine="rot13"),
    "no engine": terms(engine=""),
    "an engine that shows who matches": terms(engine="bfv-8192-168/1"),
    "more groups than registered": terms(groups=[{"groups": 3, "name": "zone"}]),
    "fewer groups than registered": terms(groups=[{"groups": 1, "name": "zone"}]),
    "a lower minimum": terms(minimum_group=MIN_GROUP - 1),
    "fewer rows than registered": terms(rows_bound=63),
    "more rows than registered": terms(rows_bound=65),
    "noise that was not agreed": whole(noise={"mechanism": "laplace", "budget_thousandths": 1000}),
    "the protocol of a count": whole(protocol="dh-psi-count"),
    "a version to come": whole(protocol_version=2),
}

OWNER_MISMATCHED: dict[str, Edit] = {
    "another protocol": whole(protocol="dh-sum"),  # that one needs an engine
    "huge weights": terms(weights=[ITEMS | {"low": -(1 << 61), "high": 1 << 61}]),
    "weights just too large": terms(weights=[ITEMS | {"low": -(1 << 33), "high": 1 << 33}]),
    "weights just too small": terms(weights=[ITEMS | {"low": -(1 << 32) - 1}]),
    # 512 cells on nine axes: to find what small groups give away would take minutes.
    "group columns without end": terms(
        own_groups=256, own_columns=[], own_places=[[at >> bit & 1 for bit in reversed(range(8))] for at in range(256)]
    ),
    "more groups than registered": terms(groups=[{"groups": 3, "name": "zone"}]),
    "a lower minimum": terms(minimum_group=0),
}

MATCHER_MISMATCHED: dict[str, Edit] = {
    "another protocol": whole(protocol="dh-sum"),  # that one has another suite
    "an engine that is not there": terms(engine="rlwe-8192-168/2"),
    "huge weights": terms(weights=[ITEMS | {"low": -(1 << 61), "high": 1 << 61}]),
    "weights just too large": terms(weights=[ITEMS | {"low": -(1 << 33), "high": 1 << 33}]),
    "more cells than may be, with the layers of weights": terms(own_groups=512),
    "more groups than registered": terms(groups=[{"groups": 3, "name": "zone"}]),
    "a lower minimum": terms(minimum_group=0),
}

DENIED: dict[str, tuple[Edit, Rule]] = {
    "a wider range": (terms(values=[FEE | {"high": 6000}]), Rule.VALUE_NOT_GRANTED),
    "a narrower range": (terms(values=[FEE | {"high": 1}]), Rule.VALUE_NOT_GRANTED),
    "another scale": (terms(values=[FEE | {"scale": 2}]), Rule.VALUE_NOT_GRANTED),
    "another value": (both(statistic(column="paid"), terms(values=[FEE | {"name": "paid"}])), Rule.VALUE_NOT_GRANTED),
    "another group": (terms(groups=[{"groups": 2, "name": "city"}]), Rule.GROUP_NOT_GRANTED),
    "another purpose": (whole(purpose="curiosity"), Rule.PURPOSE_NOT_ALLOWED),
}


def edited(hello: Hello, edit: Edit) -> bytes:
    """Return the bytes of a hello that was changed, whether or not it is one still."""
    document = json.loads(hello.canonical())
    aggregate = document["aggregate"]
    edit(document, aggregate)
    return canonical_json(document)


def tried(pair: Parties, operation: str, edits: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Send each changed hello, signed by the merchant; give its name and the answer. No run and no charge may come of it."""
    runs, charged = len(list_runs(pair.courier.home)), len(charges(pair.courier.home))
    hello = hello_of(pair, operation)
    for name, edit in edits.items():
        before = len(pair.log)
        raw = edited(hello, edit)
        assert raw != hello.canonical(), name
        error = send(pair, raw, sign_bytes(pair.merchant.home.identity, raw))
        assert str(error).isprintable(), name
        yield name, error
        assert any(event["event"] == "session.refused" for event in pair.log[before:]), name
    assert len(list_runs(pair.courier.home)) == runs
    assert len(charges(pair.courier.home)) == charged
    pair.check_honest(operation)


def test_terms_that_no_hello_of_ours_has_are_malformed(pair: Parties) -> None:
    kinds = (("aggregate", MALFORMED), ("aggregate-owner", OWNER_MALFORMED), ("aggregate-matcher", MATCHER_MALFORMED))
    for operation, edits in kinds:
        before = len(pair.log)
        for name, error in tried(pair, operation, edits):
            assert isinstance(error, PeerAbortedError), (name, error)
            assert error.abort_code is AbortCode.MALFORMED_MESSAGE, (name, error)
        check_log(pair, before, "session.document-malformed")


def test_an_aggregate_belongs_to_no_match_or_count(pair: Parties) -> None:
    aggregate = json.loads(hello_of(pair, "aggregate").canonical())["aggregate"]
    for operation in ("match", "count"):
        for name, error in tried(pair, operation, {"terms": lambda hello, _: hello.update(aggregate=aggregate)}):
            assert isinstance(error, PeerAbortedError), (name, error)
            assert error.abort_code is AbortCode.MALFORMED_MESSAGE, (name, error)


def test_terms_other_than_agreed_or_registered_are_a_mismatch(pair: Parties) -> None:
    kinds = (("aggregate", MISMATCHED), ("aggregate-owner", OWNER_MISMATCHED), ("aggregate-matcher", MATCHER_MISMATCHED))
    for operation, edits in kinds:
        for name, error in tried(pair, operation, edits):
            assert isinstance(error, PeerAbortedError), (name, error)
            assert error.abort_code is AbortCode.PARAMETER_MISMATCH, (name, error)


def test_what_was_not_granted_is_refused_by_rule(pair: Parties) -> None:
    edits = {name: edit for name, (edit, _) in DENIED.items()}
    for name, error in tried(pair, "aggregate", edits):
        assert isinstance(error, PolicyDeniedError), (name, error)
        assert error.rule is DENIED[name][1], name


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    """Parties of which the courier hides membership, adds noise, and tells the asking side alone."""
    with parties(tmp_path_factory.mktemp("careful")) as made:
        made.courier.add_dataset(
            "careful",
            made.folder / "parcels.parquet",
            keys=["phone=mobile:phone"],
            values=["fee:int64:0..5000", f"wide=fee:int64:0..{1 << 40}"],
            groups=["zone"],
            max_rows_per_key=8,
            on_bad="skip",
        )
        limits = {"min_input": 0, "min_result": 0, "min_group": 0, "runs_per_day": 1000}
        offer = psc.Offer("careful", ("aggregate", "count"), values=["fee", "wide"], groups=["zone"], noise="laplace:2", **limits)
        made.courier.grant("merchant", offer, purpose=PURPOSE)
        yield made


def careful_hello(pair: Parties) -> Hello:
    """Return the hello of an honest plan on the careful dataset."""
    with pair.merchant.connect("courier") as partner:
        plan = partner.plan(pair.aggregate(dataset="careful", output_to="receiver"))
        assert plan.asking is not None, plan.refusal
        return plan.asking._hello(plan, "0" * 26)


CAREFUL: dict[str, tuple[Edit, AbortCode | Rule]] = {
    "noise missing": (whole(noise=None), AbortCode.PARAMETER_MISMATCH),
    "less noise": (whole(noise={"mechanism": "laplace", "budget_thousandths": 2001}), AbortCode.PARAMETER_MISMATCH),
    "more noise": (whole(noise={"mechanism": "laplace", "budget_thousandths": 1999}), AbortCode.PARAMETER_MISMATCH),
    "other noise": (whole(noise={"mechanism": "gaussian", "budget_thousandths": 2000}), AbortCode.PARAMETER_MISMATCH),
    "membership": (
        both(terms(membership="owner", blocks=[], engine="", own_places=[[0], [1]]), whole(protocol="owner-sum")),
        Rule.MEMBERSHIP_NOT_ALLOWED,
    ),
    "output to the responder": (whole(output_to="responder"), Rule.OUTPUT_NOT_ALLOWED),
    "output to both": (whole(output_to="both"), Rule.OUTPUT_NOT_ALLOWED),
    "sums that overflow": (
        terms(values=[FEE | {"name": "wide", "high": 1 << 40}], statistics=[SUM | {"column": "wide", "kind": "squares"}]),
        AbortCode.PARAMETER_MISMATCH,
    ),
    # Every statistic takes its part of the budget: with so many the dummies that hide a count would be too many.
    "too many dummies": (
        both(
            terms(statistics=bins(128), own_groups=512, blocks=[64] * 512),
            whole(initiator_sizes=[64 * 512]),
        ),
        AbortCode.PARAMETER_MISMATCH,
    ),
}


@pytest.mark.parametrize("name", CAREFUL)
def test_less_protection_than_agreed_is_refused(careful: Parties, name: str) -> None:
    edit, expected = CAREFUL[name]
    raw = edited(careful_hello(careful), edit)
    runs, charged = len(list_runs(careful.courier.home)), len(charges(careful.courier.home))
    error = send(careful, raw, sign_bytes(careful.merchant.home.identity, raw))
    if isinstance(expected, Rule):
        assert isinstance(error, PolicyDeniedError), error
        assert error.rule is expected
    else:
        assert isinstance(error, PeerAbortedError), error
        assert error.abort_code is expected
    assert (len(list_runs(careful.courier.home)), len(charges(careful.courier.home))) == (runs, charged)


# --- a hostile accept --------------------------------------------------------------------------------------------------------

ACCEPTS: dict[str, dict[str, dict[str, Any]]] = {
    "aggregate": {
        "blocks that do not add up": {"responder_blocks": (64, 80)},
        "a size that is not the blocks'": {"responder_sizes": (192,)},
        "more blocks than the catalogue said": {"responder_blocks": (64, 64, 64), "responder_sizes": (192,)},
        "blocks that are not padded": {"responder_blocks": (63, 65)},
        "a block of an exact size": {"responder_blocks": (64, 65), "responder_sizes": (129,)},
        "no blocks": {"responder_blocks": ()},
        "larger than their padding can make": {"responder_blocks": (64, 8192), "responder_sizes": (8256,)},
    },
    "aggregate-owner": {
        "another size": {"responder_sizes": (80,)},
        "no groups": {"responder_blocks": ()},
        "more groups than the catalogue said": {"responder_blocks": (1, 1, 1)},
        "groups with sizes": {"responder_blocks": (32, 32)},
    },
    "aggregate-matcher": {
        "blocks that do not add up": {"responder_blocks": (64, 80)},
        "more blocks than the catalogue said": {"responder_blocks": (64, 64, 64), "responder_sizes": (192,)},
        "blocks that are not padded": {"responder_blocks": (63, 65)},
        "no blocks": {"responder_blocks": ()},
        "larger than their padding can make": {"responder_blocks": (64, 8192), "responder_sizes": (8256,)},
    },
    "match": {"another size": {"responder_sizes": (128,)}, "blocks": {"responder_blocks": (64,)}},
    "count": {"blocks": {"responder_blocks": (32, 32)}},
}


@pytest.mark.parametrize("operation", ACCEPTS)
def test_an_accept_other_than_planned_is_refused_before_anything_is_sent(pair: Parties, operation: str) -> None:
    try:
        for name, changes in ACCEPTS[operation].items():

            def lying(honest: Answer, changes: dict[str, Any] = changes) -> Answer:
                accept = Accept.parse(honest.accept).model_copy(update=changes)
                signature = bytes.fromhex(pair.courier.home.identity.sign(accept))
                return replace(honest, accept=accept.canonical(), signature=signature)

            pair.handler.answer = lying
            frames: list[str] = []
            outcome = pair.run(pair.request(operation), tap=lambda way, _, frames=frames: frames.append(way))
            assert isinstance(outcome.initiator, ParameterMismatchError), (name, outcome.initiator)
            assert outcome.initiator.code == "operations.size-differs", name
            assert not frames, name
            pair.check_nothing_came_out(outcome)
            assert outcome.initiator_record.status == "failed"
    finally:
        pair.handler.answer = lambda answer: answer
    pair.check_honest(operation)


def test_a_responder_with_fewer_groups_than_it_registered_is_answered(pair: Parties) -> None:
    """Some choices of keys have fewer labels than were registered: the number is the most that there may be."""
    with pair.merchant.connect("courier") as partner:
        plan = partner.plan(pair.aggregate())
    assert plan.shape is not None
    play_accepts = play_of(plan.shape).accepts
    fewer = replace(plan.shape, responder_blocks=(64,), sizes=(plan.shape.sizes[0], 64))
    assert play_accepts(fewer, plan.partner_size)
    assert not play_accepts(replace(fewer, responder_blocks=()), plan.partner_size)
