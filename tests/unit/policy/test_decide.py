"""The decision: every rule alone, every pair of rules, every choice among agreements."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.errors import BudgetExhaustedError, PolicyDeniedError, Rule
from psc.policy.agreement import NO_LIMITS, DatasetTerms, RunLimits, strictest, strictest_noise
from psc.policy.decide import (
    CHECKS,
    AgreementState,
    AgreementView,
    Allow,
    DatasetFacts,
    Deny,
    RunRequest,
    Usage,
    decide,
    decide_result,
)
from psc.texts import render
from psc.types import GroupColumn, KeyColumn, Noise, ReleasedColumn, ValueColumn

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
PHONE, EMAIL = KeyColumn(name="phone", kind="phone"), KeyColumn(name="mail", kind="email")
STATUS = ReleasedColumn(name="status", type="text", width_bytes=16)
FEE = ReleasedColumn(name="fee", type="int64", width_bytes=8)

SPEND = ValueColumn(name="spend", scale=2, low=0, high=1_000_000)
WEIGHT = ValueColumn(name="weight", scale=0, low=-5, high=5)
CITY, TIER = GroupColumn(name="city", groups=34), GroupColumn(name="tier", groups=3)
RLWE, PAILLIER = "rlwe-8192-168/1", "paillier-3072/1"
LAPLACE = Noise(mechanism="laplace", budget_thousandths=500)

TERMS = DatasetTerms(
    dataset="parcels",
    operations=("match",),
    keys=(PHONE,),
    release=(STATUS,),
    max_rows_per_key=8,
    max_input=1_000_000,
    elements_per_day=2_000_000,
)
VIEW = AgreementView(
    id="0123456789abcdef",
    digest="d" * 64,
    purpose=("delivery",),
    terms=TERMS,
    valid_from="2026-11-01T00:00:00Z",
    valid_until="2026-12-01T00:00:00Z",
    created_at="2026-10-31T00:00:00Z",
)
FACTS = DatasetFacts(version="a" * 64, keys=(PHONE, EMAIL), release=(STATUS, FEE), key_counts=(5_000,), max_rows_per_key=4)
REQUEST = RunRequest(
    operation="match",
    dataset="parcels",
    purpose="delivery",
    keys=((PHONE,),),
    release=(STATUS,),
    output_to="receiver",
    input_sizes=(10_000,),
    dataset_version="a" * 64,
    agreement="d" * 64,
)

UNUSED = Usage()


def ask(
    request: RunRequest = REQUEST,
    views: tuple[AgreementView, ...] = (VIEW,),
    facts: DatasetFacts | None = FACTS,
    usage: Usage = UNUSED,
    now: datetime = NOW,
    known: bool = True,
) -> Allow | Deny:
    return decide(request, AgreementState(known, views, facts), usage, now)


def rule_of(answer: Allow | Deny) -> Rule | None:
    return answer.rule if isinstance(answer, Deny) else None


def test_what_is_agreed_is_allowed() -> None:
    answer = ask()
    assert isinstance(answer, Allow)
    assert (answer.id, answer.digest, answer.terms, answer.limits) == (VIEW.id, VIEW.digest, TERMS, TERMS.limits)
    assert answer.max_rows_per_key == 4


# --- one broken rule at a time ---------------------------------------------------------------------------------

Case = dict[str, Any]


def request(**change: Any) -> Callable[[Case], None]:
    return lambda case: case.update(request=replace(case["request"], **change))


def view(**change: Any) -> Callable[[Case], None]:
    return lambda case: case.update(views=(replace(case["views"][0], **change),))


def usage(**change: Any) -> Callable[[Case], None]:
    return lambda case: case.update(usage=replace(case["usage"], **change))


def facts(**change: Any) -> Callable[[Case], None]:
    return lambda case: case.update(facts=replace(case["facts"], **change))


BREAK: dict[Rule, list[Callable[[Case], None]]] = {
    Rule.DATASET_NOT_GRANTED: [view(terms=None), lambda case: case.update(facts=None)],
    Rule.AGREEMENT_NOT_SIGNED: [view(owner_signed=False)],
    Rule.AGREEMENT_REVOKED: [view(revoked=True)],
    Rule.AGREEMENT_NOT_YET_VALID: [view(valid_from="2026-11-21T17:00:01Z")],
    Rule.AGREEMENT_EXPIRED: [view(valid_until="2026-11-21T16:59:59Z")],
    Rule.PURPOSE_NOT_ALLOWED: [request(purpose="marketing"), request(purpose=""), view(purpose=("Delivery",))],
    Rule.OPERATION_NOT_ALLOWED: [request(operation="count", release=())],
    Rule.KEY_NOT_GRANTED: [
        request(keys=((EMAIL,),)),
        request(keys=((PHONE, EMAIL),)),
        request(keys=()),
        request(keys=((),)),
        request(keys=((PHONE, PHONE),)),
        request(keys=((KeyColumn(name="phone", kind="text"),),)),
        facts(keys=(EMAIL,)),
    ],
    Rule.COLUMN_NOT_RELEASED: [
        request(release=(FEE,)),
        request(release=(STATUS, FEE)),
        request(release=(STATUS, STATUS)),
        request(release=(ReleasedColumn(name="status", type="text", width_bytes=17),)),
        facts(release=(FEE,)),
    ],
    Rule.VALUE_NOT_GRANTED: [request(values=(SPEND,))],
    Rule.GROUP_NOT_GRANTED: [request(groups=(CITY,))],
    Rule.MEMBERSHIP_NOT_ALLOWED: [request(membership="owner")],
    Rule.ENGINE_NOT_ALLOWED: [request(engine=RLWE), request(engine=PAILLIER)],
    Rule.OUTPUT_NOT_ALLOWED: [request(output_to="both"), request(output_to="responder")],
    Rule.MODEL_TOO_WEAK: [view(terms=VIEW.terms.model_copy(update={"model": "malicious"}))],
    Rule.DATASET_CHANGED: [request(dataset_version="b" * 64), facts(version="b" * 64)],
    Rule.INPUT_TOO_SMALL: [request(input_sizes=(999,)), request(input_sizes=(0,)), facts(key_counts=(999,))],
    Rule.INPUT_TOO_LARGE: [request(input_sizes=(1_000_001,))],
    Rule.RUNS_PER_DAY: [usage(runs=10), usage(runs=11)],
    Rule.ELEMENTS_PER_DAY: [usage(elements=1_990_001), usage(elements=3_000_000)],
}


def fresh() -> Case:
    return {"request": REQUEST, "views": (VIEW,), "facts": FACTS, "usage": Usage(), "now": NOW}


def test_every_rule_has_its_place() -> None:
    assert [rule for rule, _ in CHECKS] == list(BREAK)
    others = {Rule.PARTNER_UNKNOWN, Rule.NO_AGREEMENT, Rule.AGREEMENT_CHANGED, Rule.RESULT_TOO_SMALL}
    assert set(BREAK) | others == set(Rule)
    assert not set(BREAK) & others


@pytest.mark.parametrize(("rule", "spoil"), [(rule, spoil) for rule, spoils in BREAK.items() for spoil in spoils])
def test_each_broken_rule_is_named(rule: Rule, spoil: Callable[[Case], None]) -> None:
    case = fresh()
    spoil(case)
    answer = ask(**case)
    assert isinstance(answer, Deny)
    assert answer.rule is rule
    error = answer.error()
    assert (error.rule, error.code) == (rule, f"policy.denied-{rule.value}")
    assert isinstance(error, BudgetExhaustedError) is (rule in (Rule.RUNS_PER_DAY, Rule.ELEMENTS_PER_DAY))
    for lang in ("en", "zh"):
        assert "{" not in render(error.code, error.fields, lang=lang)


PAIRS = list(itertools.combinations(BREAK, 2))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_broken_rules_the_earlier_is_named(first: Rule, second: Rule) -> None:
    tried = 0
    for break_first, break_second in itertools.product(BREAK[first], BREAK[second]):
        if not _overlap(break_first, break_second):
            case = fresh()
            break_first(case)
            break_second(case)
            assert rule_of(ask(**case)) is first
            tried += 1
    # Only a size that is too small and too large at once cannot be: two changes of one field.
    assert tried or (first, second) == (Rule.INPUT_TOO_SMALL, Rule.INPUT_TOO_LARGE)


def _overlap(one: Callable[[Case], None], two: Callable[[Case], None]) -> bool:
    """Say whether two changes touch the same field, so that one may undo the other."""
    a, b = fresh(), fresh()
    one(a)
    two(b)
    for part in a:
        before = fresh()[part]
        if a[part] == before or b[part] == before:
            continue
        if part == "views":
            left, right, start = a[part][0], b[part][0], before[0]
        else:
            left, right, start = a[part], b[part], before
        if left is None or right is None:
            return True
        names = start.__dataclass_fields__
        if any(getattr(left, n) != getattr(start, n) and getattr(right, n) != getattr(start, n) for n in names):
            return True
    return False


def test_a_stranger_is_refused_whatever_there_is() -> None:
    assert rule_of(ask(known=False)) is Rule.PARTNER_UNKNOWN
    assert rule_of(ask(known=False, views=())) is Rule.PARTNER_UNKNOWN


def test_without_an_agreement_nothing_is_allowed() -> None:
    assert rule_of(ask(views=())) is Rule.NO_AGREEMENT
    assert rule_of(ask(views=(), facts=None)) is Rule.NO_AGREEMENT


def test_a_plan_is_bound_to_the_agreement_that_it_showed() -> None:
    other = replace(VIEW, digest="e" * 64, id="f" * 16)
    assert rule_of(ask(views=(other,))) is Rule.AGREEMENT_CHANGED
    both = (replace(VIEW, revoked=True), other)
    assert rule_of(ask(views=both)) is Rule.AGREEMENT_REVOKED  # the one it named, not the one that would do
    assert isinstance(ask(replace(REQUEST, agreement="e" * 64), views=both), Allow)
    assert isinstance(ask(replace(REQUEST, agreement=None), views=both), Allow)


def test_without_a_plan_neither_version_nor_agreement_is_compared() -> None:
    unplanned = replace(REQUEST, agreement=None, dataset_version=None)
    assert isinstance(ask(unplanned, views=(replace(VIEW, digest="e" * 64),), facts=replace(FACTS, version="b" * 64)), Allow)


# --- edges -----------------------------------------------------------------------------------------------------


def test_limits_hold_exactly_at_their_edges() -> None:
    for change in ({"input_sizes": (1000,)}, {"input_sizes": (1_000_000,)}):
        assert isinstance(ask(replace(REQUEST, **change)), Allow)
    assert isinstance(ask(facts=replace(FACTS, key_counts=(1000,))), Allow)
    assert isinstance(ask(usage=Usage(runs=9, elements=1_990_000)), Allow)
    assert isinstance(ask(now=datetime(2026, 11, 1, tzinfo=UTC)), Allow)
    assert isinstance(ask(now=datetime(2026, 12, 1, tzinfo=UTC)), Allow)
    assert rule_of(ask(now=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))) is Rule.AGREEMENT_NOT_YET_VALID
    assert rule_of(ask(now=datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC))) is Rule.AGREEMENT_EXPIRED


def test_times_are_compared_across_zones() -> None:
    from datetime import timezone

    east = timezone(timedelta(hours=8))
    assert isinstance(ask(now=datetime(2026, 12, 1, 8, 0, 0, tzinfo=east)), Allow)
    assert rule_of(ask(now=datetime(2026, 12, 1, 8, 0, 1, tzinfo=east))) is Rule.AGREEMENT_EXPIRED


def test_a_zero_quota_allows_no_run() -> None:
    assert rule_of(ask(views=(replace(VIEW, terms=TERMS.model_copy(update={"runs_per_day": 0})),))) is Rule.RUNS_PER_DAY


def test_without_an_element_quota_any_number_may_be_asked() -> None:
    free = replace(VIEW, terms=TERMS.model_copy(update={"elements_per_day": None}))
    assert isinstance(ask(views=(free,), usage=Usage(elements=10**15)), Allow)


def test_a_count_never_carries_columns() -> None:
    counting = replace(VIEW, terms=TERMS.model_copy(update={"operations": ("count", "match")}))
    plain = replace(REQUEST, operation="count", release=())
    assert isinstance(ask(plain, views=(counting,)), Allow)
    assert rule_of(ask(replace(plain, release=(STATUS,)), views=(counting,))) is Rule.COLUMN_NOT_RELEASED


# --- aggregates ------------------------------------------------------------------------------------------------

SUM_TERMS = TERMS.model_copy(
    update={
        "operations": ("match", "aggregate"),
        "outputs": ("receiver", "responder"),
        "values": (SPEND, WEIGHT),
        "groups": (CITY,),
        "membership": ("hidden", "owner"),
        "noise": LAPLACE,
    }
)
SUM_VIEW = replace(VIEW, terms=SUM_TERMS)
SUM_FACTS = replace(FACTS, values=(SPEND, WEIGHT), groups=(CITY, TIER))
SUM = replace(REQUEST, operation="aggregate", release=(), values=(SPEND,), groups=(CITY,))


def sum_up(change: Case | None = None, *, terms: Case | None = None, facts: Case | None = None) -> Allow | Deny:
    view = replace(SUM_VIEW, terms=SUM_TERMS.model_copy(update=terms or {}))
    return ask(replace(SUM, **(change or {})), views=(view,), facts=replace(SUM_FACTS, **(facts or {})))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"values": (WEIGHT, SPEND)},
        {"values": (), "groups": ()},
        {"membership": "owner"},
        {"engine": RLWE},
        {"output_to": "responder"},
        {"groups": (GroupColumn(name="city", groups=35),)},  # the number of labels changes with the data, the grant does not
    ],
)
def test_an_agreed_aggregate_is_allowed_with_the_owners_noise(change: Case) -> None:
    answer = sum_up(change)
    assert isinstance(answer, Allow)
    assert (answer.noise, answer.limits.min_group) == (LAPLACE, 20)


@pytest.mark.parametrize(
    ("rule", "asked", "terms", "facts", "fields"),
    [
        (Rule.OPERATION_NOT_ALLOWED, {}, {"operations": ("match", "count")}, {}, {"allowed": "match, count"}),
        (Rule.COLUMN_NOT_RELEASED, {"release": (STATUS,)}, {}, {}, {"columns": "status", "allowed": ""}),
        (Rule.VALUE_NOT_GRANTED, {}, {"values": (WEIGHT,)}, {}, {"allowed": "weight:0:-5..5"}),
        (Rule.VALUE_NOT_GRANTED, {}, {}, {"values": (WEIGHT,)}, {"allowed": "weight:0:-5..5"}),
        (Rule.VALUE_NOT_GRANTED, {"values": (SPEND, SPEND)}, {}, {}, {"values": ", ".join([str(SPEND)] * 2)}),
        (Rule.VALUE_NOT_GRANTED, {}, {"values": ()}, {}, {"values": "spend:2:0.00..10000.00", "allowed": ""}),
        (Rule.GROUP_NOT_GRANTED, {"groups": (TIER,)}, {}, {}, {"groups": "tier", "allowed": "city"}),
        (Rule.GROUP_NOT_GRANTED, {}, {}, {"groups": (TIER,)}, {"groups": "city", "allowed": ""}),
        (Rule.GROUP_NOT_GRANTED, {"groups": (CITY, CITY)}, {}, {}, {"groups": "city, city"}),
        (Rule.MEMBERSHIP_NOT_ALLOWED, {"membership": "owner"}, {"membership": ("hidden",)}, {}, {"allowed": "hidden"}),
        (Rule.MEMBERSHIP_NOT_ALLOWED, {}, {"membership": ("owner",)}, {}, {"membership": "hidden", "allowed": "owner"}),
        (Rule.MEMBERSHIP_NOT_ALLOWED, {"membership": "matcher"}, {}, {}, {"allowed": "hidden, owner"}),
        (Rule.ENGINE_NOT_ALLOWED, {"engine": PAILLIER}, {}, {}, {"engine": PAILLIER, "allowed": RLWE}),
        (Rule.ENGINE_NOT_ALLOWED, {"engine": RLWE}, {"engines": (PAILLIER,)}, {}, {"allowed": PAILLIER}),
        (Rule.OUTPUT_NOT_ALLOWED, {"output_to": "both"}, {}, {}, {"allowed": "receiver, responder"}),
    ],
)
def test_what_an_aggregate_was_not_granted_is_named(rule: Rule, asked: Case, terms: Case, facts: Case, fields: Case) -> None:
    answer = sum_up(asked, terms=terms, facts=facts)
    assert isinstance(answer, Deny)
    assert (answer.rule, answer.fields | fields) == (rule, answer.fields)
    for lang in ("en", "zh"):
        assert "{" not in render(answer.error().code, answer.error().fields, lang=lang)


def test_the_owner_says_under_which_encryptions_its_values_travel() -> None:
    assert TERMS.engines == (RLWE,)  # unless it says so, under the one that every node has
    both = {"engines": (RLWE, PAILLIER)}
    assert isinstance(sum_up({"engine": PAILLIER}, terms=both), Allow)
    assert isinstance(sum_up({"engine": RLWE}, terms=both), Allow)
    assert isinstance(sum_up({"engine": "", "membership": "owner"}, terms={"engines": (PAILLIER,)}), Allow)


@pytest.mark.parametrize("change", [{"scale": 3}, {"low": -1}, {"high": 999_999}, {"name": "fee"}])
def test_a_value_is_granted_with_its_scale_and_range_alone(change: Case) -> None:
    other = SPEND.model_copy(update=change)
    assert rule_of(sum_up({"values": (other,)})) is Rule.VALUE_NOT_GRANTED
    assert rule_of(sum_up(facts={"values": (other,)})) is Rule.VALUE_NOT_GRANTED
    assert rule_of(sum_up(terms={"values": (other,)})) is Rule.VALUE_NOT_GRANTED


def test_other_operations_have_nothing_of_an_aggregate() -> None:
    """Values, groups, a membership that the owner knows, and a result for the responder alone go with aggregates only."""
    match = replace(SUM, operation="match", values=(), groups=())
    ask_match = lambda **change: ask(replace(match, **change), views=(SUM_VIEW,), facts=SUM_FACTS)  # noqa: E731
    assert isinstance(ask_match(), Allow)
    for change, rule in (
        ({"values": (SPEND,)}, Rule.VALUE_NOT_GRANTED),
        ({"groups": (CITY,)}, Rule.GROUP_NOT_GRANTED),
        ({"membership": "owner"}, Rule.MEMBERSHIP_NOT_ALLOWED),
        ({"engine": RLWE}, Rule.ENGINE_NOT_ALLOWED),
        ({"output_to": "responder"}, Rule.OUTPUT_NOT_ALLOWED),
    ):
        assert rule_of(ask_match(**change)) is rule
    # How an aggregate must be asked for says nothing about a match.
    owner_only = replace(SUM_VIEW, terms=SUM_TERMS.model_copy(update={"membership": ("owner",)}))
    assert isinstance(ask(match, views=(owner_only,), facts=SUM_FACTS), Allow)


def test_the_smaller_budget_of_both_parties_is_the_noise() -> None:
    small, large = (Noise(mechanism="laplace", budget_thousandths=budget) for budget in (100, 2_000))
    for asked, noise in ((None, LAPLACE), (small, small), (large, LAPLACE)):
        answer = sum_up({"noise": asked})
        assert isinstance(answer, Allow)
        assert answer.noise == noise
    without = sum_up({"noise": small}, terms={"noise": None})
    assert isinstance(without, Allow)
    assert without.noise == small


def test_budgets_of_both_mechanisms_are_compared_by_what_they_imply() -> None:
    """Epsilon 1 implies rho 1/2."""
    laplace = Noise(mechanism="laplace", budget_thousandths=1_000)
    for budget, stricter in ((499, "gaussian"), (500, "gaussian"), (501, "laplace")):
        gaussian = Noise(mechanism="gaussian", budget_thousandths=budget)
        for pair in ((laplace, gaussian), (gaussian, laplace)):
            found = strictest_noise(*pair)
            assert found is not None
            assert found.mechanism == stricter
    assert strictest_noise(None, None) is None


def test_which_side_is_too_small_is_said() -> None:
    for change, side in (({"input_sizes": (1,)}, "initiator"), ({}, "responder")):
        answer = ask(replace(REQUEST, **change), facts=replace(FACTS, key_counts=(1,)))
        assert isinstance(answer, Deny)
        assert answer.fields["side"] == side


def test_a_used_up_quota_says_when_it_is_renewed() -> None:
    answer = ask(usage=Usage(runs=10), now=datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    assert isinstance(answer, Deny)
    assert "2026-12-01T00:00:00Z" in str(answer.error())


# --- both parties' documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "change", "rule"),
    [
        (RunLimits(min_input=20_000), {}, Rule.INPUT_TOO_SMALL),
        (RunLimits(max_input=9_999, min_input=0), {}, Rule.INPUT_TOO_LARGE),
        (RunLimits(runs_per_day=3), {"usage": Usage(runs=3)}, Rule.RUNS_PER_DAY),
        (RunLimits(elements_per_day=10_000), {"usage": Usage(elements=1)}, Rule.ELEMENTS_PER_DAY),
    ],
)
def test_the_stricter_of_both_parties_limits_counts(limits: RunLimits, change: Case, rule: Rule) -> None:
    assert isinstance(ask(**change), Allow)
    assert rule_of(ask(replace(REQUEST, limits=limits), **change)) is rule


def test_looser_limits_of_the_asking_party_change_nothing() -> None:
    loose = RunLimits(min_input=0, max_input=2**40, min_result=0, runs_per_day=10**6, elements_per_day=None)
    answer = ask(replace(REQUEST, limits=loose))
    assert isinstance(answer, Allow)
    assert answer.limits == TERMS.limits
    for rule, spoils in BREAK.items():
        for spoil in spoils:
            case = fresh()
            spoil(case)
            case["request"] = replace(case["request"], limits=loose)
            assert rule_of(ask(**case)) is rule


counts = st.integers(0, 100)
some_limits = st.builds(
    RunLimits,
    min_input=counts,
    max_input=st.integers(1, 100),
    min_result=counts,
    min_group=counts,
    runs_per_day=counts,
    elements_per_day=st.none() | counts,
)


@given(some_limits, some_limits, some_limits)
def test_strictest_is_a_semilattice_that_keeps_both(a: RunLimits, b: RunLimits, c: RunLimits) -> None:
    joined = strictest(a, b)
    assert joined == strictest(b, a)
    assert strictest(a, a) == a
    assert strictest(strictest(a, b), c) == strictest(a, strictest(b, c))
    for one in (a, b):
        assert joined.min_input >= one.min_input
        assert joined.max_input <= one.max_input
        assert joined.min_result >= one.min_result
        assert joined.min_group >= one.min_group
        assert joined.runs_per_day <= one.runs_per_day
        if one.elements_per_day is not None:
            assert joined.elements_per_day is not None
            assert joined.elements_per_day <= one.elements_per_day


@given(some_limits)
def test_no_limits_bind_nothing(limits: RunLimits) -> None:
    assert strictest(limits, NO_LIMITS) == limits


def test_a_small_result_is_withheld_without_saying_how_small() -> None:
    limits = RunLimits(min_result=20)
    assert decide_result(limits, 20) is None
    told = {str(answer.error()) for n in range(20) if (answer := decide_result(limits, n)) is not None}
    assert len(told) == 1
    answer = decide_result(limits, 19)
    assert answer is not None
    assert answer.rule is Rule.RESULT_TOO_SMALL
    assert isinstance(answer.error(), PolicyDeniedError)
    assert decide_result(RunLimits(min_result=0), 0) is None


# --- several agreements ----------------------------------------------------------------------------------------

UNPLANNED = replace(REQUEST, agreement=None)


def views(*changes: Case) -> tuple[AgreementView, ...]:
    return tuple(
        replace(VIEW, id=f"{n:016x}", digest=f"{n:064x}", created_at=f"2026-10-0{n + 1}T00:00:00Z", sequence=n, **change)
        for n, change in enumerate(changes)
    )


def test_the_newest_that_allows_is_taken_in_any_order() -> None:
    several = views({}, {}, {"purpose": ("other",)})
    for order in itertools.permutations(several):
        answer = ask(UNPLANNED, views=order)
        assert isinstance(answer, Allow)
        assert answer.id == several[1].id


def test_of_one_second_the_later_arrival_is_the_newer() -> None:
    pair = tuple(replace(one, created_at=VIEW.created_at) for one in views({}, {}))
    for order in (pair, pair[::-1]):
        answer = ask(UNPLANNED, views=order)
        assert isinstance(answer, Allow)
        assert answer.id == pair[1].id


def test_when_none_allows_the_one_that_came_furthest_speaks() -> None:
    ended = {"valid_until": "2026-11-02T00:00:00Z", "purpose": ("old",)}
    several = views(ended, {"purpose": ("other",)}, {"terms": None}, {"revoked": True, "purpose": ("old",)})
    for order in itertools.permutations(several):
        assert rule_of(ask(UNPLANNED, views=order)) is Rule.PURPOSE_NOT_ALLOWED
    tie = views({"purpose": ("one",)}, {"purpose": ("two",)})
    for order in (tie, tie[::-1]):
        answer = ask(UNPLANNED, views=order)
        assert isinstance(answer, Deny)
        assert answer.fields["allowed"] == "two, one"


def test_the_decision_changes_nothing_and_repeats() -> None:
    several = views({}, {"revoked": True})
    assert ask(UNPLANNED, views=several) == ask(UNPLANNED, views=several)


def test_what_is_allowed_is_named_over_all_agreements_that_the_rule_refused() -> None:
    """Every rule that lists what is allowed: two agreements refuse by it, and each one's part is in the list."""
    count = TERMS.model_copy(update={"operations": ("count",)})
    mail = TERMS.model_copy(update={"keys": (EMAIL,)})
    fee = TERMS.model_copy(update={"release": (FEE,)})
    third = KeyColumn(name="bill", kind="waybill")
    weight = ReleasedColumn(name="weight", type="int64", width_bytes=8)
    for rule, asked, pair, allowed in (
        (Rule.PURPOSE_NOT_ALLOWED, {"purpose": "x"}, ({"purpose": ("a", "b")}, {"purpose": ("b", "c")}), "b, c, a"),
        (Rule.OPERATION_NOT_ALLOWED, {"operation": "sum", "release": ()}, ({}, {"terms": count}), "count, match"),
        (Rule.KEY_NOT_GRANTED, {"keys": ((third,),)}, ({}, {"terms": mail}), "mail:email, phone:phone"),
        (Rule.COLUMN_NOT_RELEASED, {"release": (weight,)}, ({}, {"terms": fee}), "fee, status"),
        (Rule.OUTPUT_NOT_ALLOWED, {"output_to": "both"}, ({}, {}), "receiver"),
        (Rule.MEMBERSHIP_NOT_ALLOWED, {"membership": "owner"}, ({}, {}), "hidden"),
    ):
        two = views(*pair)
        # One that this rule did not refuse, because an earlier one did, has no part in it.
        far = replace(VIEW, id="e" * 16, digest="e" * 64, purpose=("far",), revoked=True)
        for order in itertools.permutations((*two, far)):
            answer = ask(replace(UNPLANNED, **asked), views=order)
            assert isinstance(answer, Deny)
            assert (answer.rule, answer.fields["allowed"]) == (rule, allowed)


ENDED: dict[Rule, Case] = {
    Rule.AGREEMENT_REVOKED: {"revoked": True},
    Rule.AGREEMENT_NOT_YET_VALID: {"valid_from": "2026-11-22T00:00:00Z"},
    Rule.AGREEMENT_EXPIRED: {"valid_until": "2026-11-20T00:00:00Z"},
}


@pytest.mark.parametrize("rule", ENDED)
def test_an_agreement_out_of_force_is_named_when_it_alone_has_the_purpose(rule: Rule) -> None:
    marketing = replace(UNPLANNED, purpose="marketing")
    several = views({}, {**ENDED[rule], "purpose": ("marketing",)}, {"purpose": ("other",)})
    for order in itertools.permutations(several):
        answer = ask(marketing, views=order)
        assert isinstance(answer, Deny)
        assert (answer.rule, answer.fields["agreement"]) == (rule, several[1].id)
    # Without the purpose it is not named, nor when one in force has it and another rule refuses.
    assert rule_of(ask(marketing, views=views({}, ENDED[rule]))) is Rule.PURPOSE_NOT_ALLOWED
    in_force = views({"purpose": ("marketing",)}, {**ENDED[rule], "purpose": ("marketing",)})
    assert rule_of(ask(replace(marketing, output_to="both"), views=in_force)) is Rule.OUTPUT_NOT_ALLOWED


@pytest.mark.parametrize("change", [{"owner_signed": False}, {"terms": None}])
def test_a_draft_or_another_dataset_is_not_named_for_its_purpose(change: Case) -> None:
    marketing = replace(UNPLANNED, purpose="marketing")
    several = views({}, {**change, "purpose": ("marketing",)})
    assert rule_of(ask(marketing, views=several)) is Rule.PURPOSE_NOT_ALLOWED


def test_of_several_out_of_force_the_one_that_came_furthest_is_named() -> None:
    marketing = replace(UNPLANNED, purpose="marketing")
    several = views({}, *({**change, "purpose": ("marketing",)} for change in ENDED.values()))
    for order in itertools.permutations(several):
        assert rule_of(ask(marketing, views=order)) is Rule.AGREEMENT_EXPIRED


# --- several keys ------------------------------------------------------------------------------------------------------


def several(**change: object) -> RunRequest:
    return replace(REQUEST, **{"keys": ((PHONE,), (EMAIL,)), "input_sizes": (10_000, 2_000), **change})  # type: ignore[arg-type]


BOTH = TERMS.model_copy(update={"keys": (PHONE, EMAIL)})
SEVERAL = replace(FACTS, key_counts=(5_000, 1_500))


def test_every_alternative_is_held_against_one_agreement() -> None:
    assert isinstance(ask(several(), (replace(VIEW, terms=BOTH),), facts=SEVERAL), Allow)
    refused = ask(several(), facts=SEVERAL)  # the agreement grants the phone alone
    assert isinstance(refused, Deny)
    assert (refused.rule, refused.fields["keys"]) == (Rule.KEY_NOT_GRANTED, "mail:email")


@pytest.mark.parametrize(
    ("request_change", "facts_change", "rule", "fields"),
    [
        ({"input_sizes": (10_000, 999)}, {}, Rule.INPUT_TOO_SMALL, {"side": "initiator", "size": 999}),
        ({}, {"key_counts": (999, 5_000)}, Rule.INPUT_TOO_SMALL, {"side": "responder", "size": 999}),
        ({"input_sizes": (2_000, 1_000_001)}, {}, Rule.INPUT_TOO_LARGE, {"size": 1_000_001}),
        ({"keys": ((PHONE,), (EMAIL, EMAIL))}, {}, Rule.KEY_NOT_GRANTED, {}),
        ({"keys": ((PHONE,), ())}, {}, Rule.KEY_NOT_GRANTED, {}),
    ],
)
def test_sizes_are_judged_for_each_alternative(
    request_change: dict[str, object], facts_change: dict[str, object], rule: Rule, fields: dict[str, object]
) -> None:
    answer = ask(several(**request_change), (replace(VIEW, terms=BOTH),), facts=replace(SEVERAL, **facts_change))  # type: ignore[arg-type]
    assert isinstance(answer, Deny)
    assert answer.rule is rule
    assert fields.items() <= answer.fields.items()


def test_the_elements_of_all_alternatives_count() -> None:
    terms = BOTH.model_copy(update={"elements_per_day": 12_000})
    assert isinstance(ask(several(), (replace(VIEW, terms=terms),), facts=SEVERAL), Allow)
    answer = ask(several(input_sizes=(10_000, 2_001)), (replace(VIEW, terms=terms),), facts=SEVERAL)
    assert isinstance(answer, Deny)
    assert (answer.rule, answer.fields["left"]) == (Rule.ELEMENTS_PER_DAY, 12_000)
