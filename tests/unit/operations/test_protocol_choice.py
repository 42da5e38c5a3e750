"""Which protocol a match is run by: the quickest of those that the request, the agreement and the partner's software leave."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import psc
from psc.errors import ParameterMismatchError, UsageError
from psc.node.home import Home
from psc.operations import plan as planning
from psc.operations.match import DhPsiMatch, VolePsiMatch
from psc.operations.plan import Plan
from psc.operations.play import RunShape
from psc.operations.software import own_status
from psc.operations.status import Status
from psc.operations.terms import PLAYS, plays_of
from psc.policy.agreement import NO_LIMITS, DatasetTerms
from psc.policy.decide import Allow, RunRequest
from psc.session.limits import Limits
from psc.texts import render
from psc.types import KeyColumn

PHONE = KeyColumn(name="phone", kind="phone")
SECONDS_PER_ITEM = 20e-6


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psc.operations.estimate.seconds_per_item", lambda: SECONDS_PER_ITEM)


@pytest.fixture
def status() -> Status:
    return own_status("CN", Limits()).model_copy(update={"seconds_per_item": SECONDS_PER_ITEM})


def request(**more: Any) -> psc.Match:
    return psc.Match("orders.csv", on="phone", dataset="parcels", purpose="p", **more)


def chosen(
    status: Status,
    own: int,
    theirs: int,
    asked: psc.Match | None = None,
    *,
    demanded: str = "semi-honest",
    same_machine: bool = True,
) -> tuple[RunShape, Plan]:
    """Let the plan choose for two sets of so many keys."""
    asked = asked or request()
    plan = Plan(asked, "courier")
    keyed = SimpleNamespace(key_count=own)
    plan.own = SimpleNamespace(keyed=keyed, alternatives=(keyed,))  # type: ignore[assignment]
    entry: Any = SimpleNamespace(key_count_of=lambda names: theirs, model=demanded)
    terms = DatasetTerms(dataset="parcels", operations=("match",), keys=(PHONE,), min_input=0)
    run = RunRequest("match", "parcels", "p", ((PHONE,),), (), asked.output_to, (own,), model=asked.strongest_model)
    allow = Allow("a", "d", terms, NO_LIMITS, 1)
    plays = planning._compatible(asked, status)
    shape = planning._quickest(plan, plays, run, allow, entry, status, same_machine=same_machine)
    return shape, plan


@pytest.mark.parametrize("same_machine", [True, False])
@pytest.mark.parametrize("model", ["auto", "semi-honest"])
def test_small_sets_take_dh_psi_and_large_ones_vole_psi(status: Status, model: Any, same_machine: bool) -> None:
    taken = [chosen(status, size, size, request(model=model), same_machine=same_machine)[0].protocol for size in (0, 1, 64, 512)]
    assert set(taken) == {"dh-psi"}
    taken = [
        chosen(status, size, size, request(model=model), same_machine=same_machine)[0].protocol for size in (10**5, 10**6, 10**8)
    ]
    assert set(taken) == {"vole-psi"}


@pytest.mark.parametrize("same_machine", [True, False])
def test_the_choice_changes_once_as_sets_grow(status: Status, same_machine: bool) -> None:
    sizes = [int(64 * 2 ** (step / 2)) for step in range(36)]
    taken = [chosen(status, size, size, same_machine=same_machine)[0].protocol for size in sizes]
    assert taken == sorted(taken)  # "dh-psi" before "vole-psi"
    assert len(set(taken)) == 2


def test_the_reason_names_both_and_how_long_they_would_take(status: Status) -> None:
    for size in (64, 10**6):
        shape, plan = chosen(status, size, size)
        other = {"dh-psi": "vole-psi", "vole-psi": "dh-psi"}[shape.protocol]
        assert plan.reason.startswith(f"{shape.protocol} rather than {other}: about ")
        times = [float(word) for word in plan.reason.split() if word.replace(".", "").isdigit()]
        assert len(times) == 2
        assert times[0] < times[1]


def test_a_slow_partner_counts(status: Status) -> None:
    """The side of dh-psi that does most of the work decides, also when it is not ours."""
    slow = status.model_copy(update={"seconds_per_item": 400e-6})
    found = {chosen(speed, 1500, 1500, same_machine=False)[0].protocol for speed in (status, slow)}
    assert chosen(slow, 100_000, 100_000, same_machine=False)[0].protocol == "vole-psi"
    assert "dh-psi" in found


def test_auto_is_malicious_where_vole_psi_is_taken_and_it_is_one_sided(status: Status) -> None:
    assert chosen(status, 10**5, 10**5)[0].model == "malicious"
    assert chosen(status, 10**5, 10**5, request(output_to="both"))[0].model == "semi-honest"
    assert chosen(status, 10**5, 10**5, request(model="semi-honest"))[0].model == "semi-honest"
    assert chosen(status, 64, 64)[0].model == "semi-honest"


@pytest.mark.parametrize("size", [1, 64, 10**5])
def test_what_must_withstand_a_malicious_partner_takes_vole_psi_whatever_the_size(status: Status, size: int) -> None:
    for asked, demanded in ((request(model="malicious"), "semi-honest"), (request(), "malicious")):
        shape, plan = chosen(status, size, size, asked, demanded=demanded)
        assert (shape.protocol, shape.model) == ("vole-psi", "malicious")
        assert plan.reason == ""


@pytest.mark.parametrize(("protocol", "play"), [("dh-psi", DhPsiMatch), ("vole-psi", VolePsiMatch)])
@pytest.mark.parametrize("size", [1, 10**6])
def test_a_named_protocol_is_taken(status: Status, protocol: Any, play: type, size: int) -> None:
    asked = request(protocol=protocol)
    assert [type(found) for found in plays_of(asked)] == [play]
    shape, plan = chosen(status, size, size, asked)
    assert (shape.protocol, plan.reason) == (protocol, "")


def other_version(status: Status, protocol: str) -> Status:
    offers = tuple(
        offer.model_copy(update={"version": offer.version + 1}) if offer.id == protocol else offer for offer in status.protocols
    )
    return status.model_copy(update={"protocols": offers})


def test_a_partner_that_lacks_one_protocol_gets_the_other(status: Status) -> None:
    for missing, left in (("vole-psi", "dh-psi"), ("dh-psi", "vole-psi")):
        for size in (64, 10**6):
            shape, plan = chosen(other_version(status, missing), size, size)
            assert (shape.protocol, plan.reason) == (left, "")


@pytest.mark.parametrize(
    ("more", "demanded"), [({"protocol": "vole-psi"}, "semi-honest"), ({"model": "malicious"}, "semi-honest"), ({}, "malicious")]
)
def test_a_partner_without_the_one_that_is_needed_is_refused_with_what_differs(
    status: Status, more: dict[str, Any], demanded: str
) -> None:
    with pytest.raises(ParameterMismatchError) as caught:
        chosen(other_version(status, "vole-psi"), 64, 64, request(**more), demanded=demanded)
    assert caught.value.code == "operations.versions-differ"
    assert "vole-psi" in str(caught.value)


def test_only_what_exists_can_be_asked() -> None:
    for more in ({"protocol": "ecdh"}, {"model": "covert"}, {"protocol": ""}):
        with pytest.raises(UsageError) as caught:
            request(**more)
        assert caught.value.code == "operations.no-such-protocol"
    for more in ({"want": ["status"]}, {"output_to": "both"}):
        with pytest.raises(UsageError, match="--want and --output-to both") as caught:
            request(model="malicious", **more)
        assert caught.value.code == "session.malicious-match-one-sided"
    with pytest.raises(UsageError, match="semi-honest partner only") as caught:
        request(model="malicious", protocol="dh-psi")
    assert caught.value.code == "operations.model-needs-vole-psi"


def test_each_request_says_what_all_its_attributes_are() -> None:
    for kind in (psc.Match, psc.Count, psc.Aggregate):
        named = {name for line in str(kind.__doc__).splitlines() if (name := line.strip().partition(": ")[0]).isidentifier()}
        assert named == {field.name for field in fields(kind)}
        assert f"``psc.{kind.__name__}(" in str(kind.__doc__)


def test_a_plan_says_none_where_there_is_no_noise() -> None:
    told = {"outputs": "count", "groups": "city", "cells": "5", "minimum": 20, "noise": ""}
    for membership in ("hidden", "owner", "matcher"):
        assert render(f"operations.plan-aggregate-{membership}", told, lang="en").endswith("noise: none.")
        assert render(f"operations.plan-aggregate-{membership}", told, lang="zh").endswith("噪声：无。")


def test_the_strongest_model_of_a_request() -> None:
    assert request().strongest_model == request(model="malicious").strongest_model == "malicious"
    assert request(protocol="vole-psi").strongest_model == "malicious"
    for more in ({"want": ["s"]}, {"output_to": "both"}, {"protocol": "dh-psi"}, {"model": "semi-honest"}):
        assert request(**more).strongest_model == "semi-honest"


def test_every_play_estimates_more_for_more_keys() -> None:
    for (operation, _), play in PLAYS.items():
        if operation != "match":
            continue
        small, large = (RunShape("parcels", "match", play.spec.id, (size, size), (), 1, "receiver", 0) for size in (64, 1 << 20))
        assert sum(play.payload_bytes(small)) < sum(play.payload_bytes(large))
        assert sum(play.curve_items(small)) < sum(play.curve_items(large))
        assert play.work_items(small) < play.work_items(large)


def test_a_home_says_what_it_can(tmp_path: Path) -> None:
    with Home.create(tmp_path / "m", "merchant") as home:
        offered = {offer.id for offer in own_status(home.settings.region, home.settings.limits).protocols}
    assert {"dh-psi", "vole-psi"} <= offered
