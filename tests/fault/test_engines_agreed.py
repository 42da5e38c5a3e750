"""The encryption of the owner's values is the owner's to choose: an engine that is installed is not one that was agreed to.

Paillier takes thousands of times more work for a value, and its smaller key is weaker; a partner that could demand it because
the extra happens to be there would spend the owner's machine and choose the owner's margin of safety.
"""

from __future__ import annotations

import pytest

import psc
from psc.engines import DEFAULT, available
from psc.errors import PolicyDeniedError, Rule
from psc.node.runs import list_runs
from psc.policy.ledger import charges
from psc.testing.nodes import PURPOSE
from tests.fault.parties import MIN_GROUP, Parties
from tests.fault.test_hostile_hello import hello_of, send, sign_bytes
from tests.fault.test_hostile_terms import edited, terms

PAILLIER = "paillier-2048/1"

pytestmark = pytest.mark.skipif(PAILLIER not in available(), reason="the extra is not installed")


def test_an_engine_that_was_not_agreed_is_refused_by_rule_before_it_works(pair: Parties) -> None:
    runs, charged = len(list_runs(pair.courier.home)), len(charges(pair.courier.home))
    raw = edited(hello_of(pair, "aggregate"), terms(engine=PAILLIER))
    error = send(pair, raw, sign_bytes(pair.merchant.home.identity, raw))
    assert isinstance(error, PolicyDeniedError), error
    assert error.rule is Rule.ENGINE_NOT_ALLOWED
    assert (len(list_runs(pair.courier.home)), len(charges(pair.courier.home))) == (runs, charged)


def test_the_plan_names_the_rule(pair: Parties) -> None:
    with pair.merchant.connect("courier") as partner:
        refusal = partner.plan(pair.aggregate(engine=PAILLIER)).refusal
        assert refusal is not None
        assert refusal.rule is Rule.ENGINE_NOT_ALLOWED
        assert refusal.fields["allowed"] == DEFAULT
        # Where the owner sums in the clear, nothing is encrypted and no engine is asked for.
        assert partner.plan(pair.aggregate(engine=PAILLIER, membership="owner")).refusal is None


def test_an_engine_that_was_agreed_gives_the_plain_table(pair: Parties) -> None:
    offer = psc.Offer(
        "parcels",
        ("aggregate",),
        values=("fee",),
        groups=("zone",),
        outputs=("receiver", "both"),
        engines=(PAILLIER,),
        min_input=0,
        min_result=0,
        min_group=MIN_GROUP,
    )
    pair.courier.grant("merchant", offer, purpose=f"{PURPOSE}-under-paillier")
    asked = pair.aggregate(engine=PAILLIER, purpose=f"{PURPOSE}-under-paillier")
    outcome = pair.run(asked)
    pair.check_right(outcome)
    assert outcome.result is not None
    aggregate = outcome.result.receipt.receipt.aggregate
    assert aggregate is not None
    assert aggregate.engine == PAILLIER
