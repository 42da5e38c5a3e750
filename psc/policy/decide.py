"""The decision on a run: a pure function of the request, the documents in hand, today's usage and the time.

Both sides ask the same function. The responder gives it the agreements it signed; the initiator gives it what the
responder's catalogue says, so a plan names the rule that would refuse before anything moves.

Which agreement applies when several could: the newest (by ``created_at``, then order of arrival) that allows the run. So a
newer document adds to what older ones allow; to take something back, revoke the older one. When none allows it, the rule
that is named is the one of the agreement that passed the most rules, the newest of those. What it says to be allowed is what
all the agreements allow that this rule refused. One exception: when no agreement in force has the purpose, but one that was
revoked, has expired or is not valid yet does, that is named, for it is what the reader has to act on.

The order of the rules is fixed (``CHECKS``), from "who are you" to today's quota. ``result-too-small`` comes after the run,
where the result is known: ``decide_result``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from psc.errors import BudgetExhaustedError, PolicyDeniedError, Rule
from psc.node.clock import next_day, parse_timestamp, timestamp
from psc.policy.agreement import DatasetTerms, RunLimits, strictest, strictest_noise
from psc.types import GroupColumn, KeyColumn, Keys, Membership, Model, Noise, OperationName, OutputTo, ReleasedColumn, ValueColumn

__all__ = [
    "CHECKS",
    "AgreementState",
    "AgreementView",
    "Allow",
    "DatasetFacts",
    "Deny",
    "RunRequest",
    "Usage",
    "decide",
    "decide_result",
]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked.

    Attributes:
        operation: what to compute.
        dataset: the responder's dataset.
        purpose: the purpose code.
        keys: the key columns to match on: at least one key, several when any of them matches, the preferred one first.
        release: the responder's columns that are wanted, as they were registered; empty for none.
        output_to: who learns the result.
        input_sizes: distinct keys of the initiator, one number for each of ``keys``: exact on its own side, padded as the
            responder sees it.
        dataset_version: the version that the plan showed; None when there was no plan.
        agreement: the digest of the agreement that the plan showed; None when there was no plan.
        limits: bounds that the asking party's own documents set; the stricter of both parties' counts.
        values: the responder's values that are aggregated, as they were registered; empty for none.
        groups: the responder's columns that group an aggregate; their names count.
        model: the adversary model that the run withstands.
        membership: what an aggregate may make known of who is in both sets.
        engine: id of the encryption under which the responder's values travel; empty where none do.
        noise: noise that the asking party's own documents ask for; the smaller budget counts.
        elements: elements that are evaluated; ``None``: all of ``input_size``. Of a run that goes on, those that are left.
    """

    operation: OperationName
    dataset: str
    purpose: str
    keys: tuple[Keys, ...]
    release: tuple[ReleasedColumn, ...]
    output_to: OutputTo
    input_sizes: tuple[int, ...]
    dataset_version: str | None = None
    agreement: str | None = None
    limits: RunLimits | None = None
    values: tuple[ValueColumn, ...] = ()
    groups: tuple[GroupColumn, ...] = ()
    membership: Membership = "hidden"
    model: Model = "semi-honest"
    noise: Noise | None = None
    elements: int | None = None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class AgreementView:
    """What the decision needs of one agreement.

    Attributes:
        id: the agreement's id.
        digest: SHA-256 of the document.
        purpose: the allowed purposes.
        terms: its terms for the dataset asked for; None when it does not name the dataset.
        valid_from: first second in force.
        valid_until: last second in force.
        created_at: when the owner wrote it.
        sequence: order of arrival, for documents of one second.
        owner_signed: the dataset's owner signed it.
        revoked: either party revoked it.
    """

    id: str
    digest: str
    purpose: tuple[str, ...]
    terms: DatasetTerms | None
    valid_from: str
    valid_until: str
    created_at: str
    sequence: int = 0
    owner_signed: bool = True
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What the decision needs of the registered dataset; ``key_counts`` are for the keys asked for, in their order."""

    version: str
    keys: tuple[KeyColumn, ...]
    release: tuple[ReleasedColumn, ...]
    key_counts: tuple[int, ...]
    max_rows_per_key: int = 1
    values: tuple[ValueColumn, ...] = ()
    groups: tuple[GroupColumn, ...] = ()


@dataclass(frozen=True, slots=True)
class AgreementState:
    """Everything in hand about the asking party and the dataset.

    Attributes:
        partner_known: the party is pinned.
        agreements: its agreements, in any order and state.
        dataset: the registered dataset; None when there is none of that name.
    """

    partner_known: bool
    agreements: tuple[AgreementView, ...] = ()
    dataset: DatasetFacts | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the party has been charged today (UTC) on the dataset: accepted runs and elements."""

    runs: int = 0
    elements: int = 0


@dataclass(frozen=True, slots=True)
class Allow:
    """The run may go on.

    Attributes:
        id: the agreement that allows it.
        digest: its digest, which the session binds.
        terms: its terms for the dataset.
        limits: the bounds that hold: the stricter of both parties' documents.
        max_rows_per_key: rows of one key that are released at most.
        noise: the noise that the value owner adds to an aggregate: the smaller budget of both parties' documents.
    """

    id: str
    digest: str
    terms: DatasetTerms
    limits: RunLimits
    max_rows_per_key: int
    noise: Noise | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """The run is refused.

    Attributes:
        rule: the closed id; all that the partner is told.
        fields: what the local text needs.
    """

    rule: Rule
    fields: Mapping[str, object] = field(default_factory=dict)

    def error(self) -> PolicyDeniedError:
        """Return the error to raise; for a quota it says when the quota is renewed."""
        kind = BudgetExhaustedError if self.rule in _QUOTAS else PolicyDeniedError
        return kind(f"policy.denied-{self.rule.value}", rule=self.rule, **self.fields)


_QUOTAS = frozenset({Rule.RUNS_PER_DAY, Rule.ELEMENTS_PER_DAY})
_OUT_OF_FORCE = frozenset({Rule.AGREEMENT_REVOKED, Rule.AGREEMENT_NOT_YET_VALID, Rule.AGREEMENT_EXPIRED})


@dataclass(frozen=True, slots=True)
class _Case:
    """One agreement held against the request."""

    request: RunRequest
    view: AgreementView
    dataset: DatasetFacts | None
    usage: Usage
    now: datetime

    @property
    def terms(self) -> DatasetTerms:
        assert self.view.terms is not None  # noqa: S101 - the first check of the list
        return self.view.terms

    @property
    def facts(self) -> DatasetFacts:
        assert self.dataset is not None  # noqa: S101 - the first check of the list
        return self.dataset

    @property
    def limits(self) -> RunLimits:
        own = self.terms.limits
        return own if self.request.limits is None else strictest(own, self.request.limits)


_Fields = dict[str, object]


def _dataset_not_granted(case: _Case) -> _Fields | None:
    missing = case.view.terms is None or case.dataset is None
    return {"dataset": case.request.dataset, "granted": ""} if missing else None


def _not_signed(case: _Case) -> _Fields | None:
    return None if case.view.owner_signed else {"agreement": case.view.id}


def _revoked(case: _Case) -> _Fields | None:
    return {"agreement": case.view.id} if case.view.revoked else None


def _not_yet_valid(case: _Case) -> _Fields | None:
    start = case.view.valid_from
    return {"agreement": case.view.id, "valid_from": start} if case.now < parse_timestamp(start) else None


def _expired(case: _Case) -> _Fields | None:
    end = case.view.valid_until
    return {"agreement": case.view.id, "valid_until": end} if case.now > parse_timestamp(end) else None


def _purpose(case: _Case) -> _Fields | None:
    allowed = case.view.purpose
    if case.request.purpose in allowed:
        return None
    return {"purpose": case.request.purpose, "allowed": ", ".join(allowed)}


def _operation(case: _Case) -> _Fields | None:
    allowed = case.terms.operations
    if case.request.operation in allowed:
        return None
    return {"operation": case.request.operation, "dataset": case.request.dataset, "allowed": ", ".join(allowed)}


def _key(case: _Case) -> _Fields | None:
    granted = [key for key in case.terms.keys if key in case.facts.keys]
    wanted = [key for keys in case.request.keys for key in keys]
    refused = [key for key in wanted if key not in granted]
    sound = case.request.keys and all(keys and len(set(keys)) == len(keys) for keys in case.request.keys)
    if sound and not refused:
        return None
    asked = ", ".join(f"{key.name}:{key.kind}" for key in dict.fromkeys(refused or wanted)) or "-"
    return {"keys": asked, "allowed": ", ".join(f"{key.name}:{key.kind}" for key in granted)}


def _column(case: _Case) -> _Fields | None:
    granted = [column for column in case.terms.release if column in case.facts.release]
    if case.request.operation != "match":
        granted = []  # only row-level results carry columns
    refused = [column.name for column in case.request.release if column not in granted]
    if not refused and len(set(case.request.release)) == len(case.request.release):
        return None
    columns = refused or [column.name for column in case.request.release]
    return {"columns": ", ".join(columns), "allowed": ", ".join(column.name for column in granted)}


def _value(case: _Case) -> _Fields | None:
    granted = [value for value in case.terms.values if value in case.facts.values] if _aggregates(case) else []
    refused = [value for value in case.request.values if value not in granted]
    if not refused and len(set(case.request.values)) == len(case.request.values):
        return None
    return {"values": ", ".join(map(str, refused or case.request.values)), "allowed": ", ".join(map(str, granted))}


def _group(case: _Case) -> _Fields | None:
    registered = {group.name for group in case.facts.groups} if _aggregates(case) else set()
    granted = [group.name for group in case.terms.groups if group.name in registered]
    asked = [group.name for group in case.request.groups]
    refused = [name for name in asked if name not in granted]
    if not refused and len(set(asked)) == len(asked):
        return None
    return {"groups": ", ".join(refused or asked), "allowed": ", ".join(granted)}


def _membership(case: _Case) -> _Fields | None:
    # What a match or a count makes known is its own matter; only an aggregate has a choice.
    allowed = case.terms.membership if _aggregates(case) else ("hidden",)
    if case.request.membership in allowed:
        return None
    return {"membership": case.request.membership, "allowed": ", ".join(allowed)}


def _engine(case: _Case) -> _Fields | None:
    # An aggregate that the asking side adds up names one; nothing else sends encrypted values.
    allowed = case.terms.engines if _aggregates(case) else ()
    if not case.request.engine or case.request.engine in allowed:
        return None
    return {"engine": case.request.engine, "allowed": ", ".join(allowed)}


def _aggregates(case: _Case) -> bool:
    return case.request.operation == "aggregate"


def _output(case: _Case) -> _Fields | None:
    # A match or a count gives the asking side its result; only an aggregate can pass it by.
    allowed = [output for output in case.terms.outputs if output != "responder" or _aggregates(case)]
    if case.request.output_to in allowed:
        return None
    return {"output_to": case.request.output_to, "allowed": ", ".join(allowed)}


def _model(case: _Case) -> _Fields | None:
    # Only a match can be had under another model.
    if case.request.operation != "match" or case.terms.model in ("semi-honest", case.request.model):
        return None
    return {"model": case.terms.model, "asked": case.request.model}


def _dataset_changed(case: _Case) -> _Fields | None:
    wanted = case.request.dataset_version
    return None if wanted in (None, case.facts.version) else {"dataset": case.request.dataset}


def _too_small(case: _Case) -> _Fields | None:
    least = case.limits.min_input
    # Each alternative is a match of its own: a large set beside it does not make a small one less of a question about few.
    for side, sizes in (("initiator", case.request.input_sizes), ("responder", case.facts.key_counts)):
        if min(sizes, default=0) < least:
            return {"side": side, "size": min(sizes, default=0), "min_input": least}
    return None


def _too_large(case: _Case) -> _Fields | None:
    most = case.limits.max_input
    largest = max(case.request.input_sizes, default=0)
    return {"size": largest, "max_input": most} if largest > most else None


def _runs(case: _Case) -> _Fields | None:
    most = case.limits.runs_per_day
    if case.usage.runs < most:
        return None
    return {"dataset": case.request.dataset, "runs_per_day": most, "renews_at": timestamp(next_day(case.now))}


def _elements(case: _Case) -> _Fields | None:
    most = case.limits.elements_per_day
    wanted = sum(case.request.input_sizes) if case.request.elements is None else case.request.elements
    if most is None or case.usage.elements + wanted <= most:
        return None
    left = max(0, most - case.usage.elements)
    renews_at = timestamp(next_day(case.now))
    return {"dataset": case.request.dataset, "elements_per_day": most, "left": left, "renews_at": renews_at}


CHECKS: tuple[tuple[Rule, Callable[[_Case], _Fields | None]], ...] = (
    (Rule.DATASET_NOT_GRANTED, _dataset_not_granted),
    (Rule.AGREEMENT_NOT_SIGNED, _not_signed),
    (Rule.AGREEMENT_REVOKED, _revoked),
    (Rule.AGREEMENT_NOT_YET_VALID, _not_yet_valid),
    (Rule.AGREEMENT_EXPIRED, _expired),
    (Rule.PURPOSE_NOT_ALLOWED, _purpose),
    (Rule.OPERATION_NOT_ALLOWED, _operation),
    (Rule.KEY_NOT_GRANTED, _key),
    (Rule.COLUMN_NOT_RELEASED, _column),
    (Rule.VALUE_NOT_GRANTED, _value),
    (Rule.GROUP_NOT_GRANTED, _group),
    (Rule.MEMBERSHIP_NOT_ALLOWED, _membership),
    (Rule.ENGINE_NOT_ALLOWED, _engine),
    (Rule.OUTPUT_NOT_ALLOWED, _output),
    (Rule.MODEL_TOO_WEAK, _model),
    (Rule.DATASET_CHANGED, _dataset_changed),
    (Rule.INPUT_TOO_SMALL, _too_small),
    (Rule.INPUT_TOO_LARGE, _too_large),
    (Rule.RUNS_PER_DAY, _runs),
    (Rule.ELEMENTS_PER_DAY, _elements),
)
"""The rules that are held against each agreement, in order."""


def decide(request: RunRequest, state: AgreementState, usage: Usage, now: datetime) -> Allow | Deny:
    """Say whether a run may go on, and under which agreement.

    Args:
        request: what is asked.
        state: what is known of the party, its agreements and the dataset.
        usage: what the party was charged today.
        now: the present moment, UTC.

    Returns:
        ``Allow`` with the terms that hold, or ``Deny`` with the rule.
    """
    if not state.partner_known:
        return Deny(Rule.PARTNER_UNKNOWN)
    if not state.agreements:
        return Deny(Rule.NO_AGREEMENT)
    candidates = sorted(state.agreements, key=lambda view: (view.created_at, view.sequence), reverse=True)
    if request.agreement is not None:
        candidates = [view for view in candidates if view.digest == request.agreement]
        if not candidates:
            return Deny(Rule.AGREEMENT_CHANGED, {"dataset": request.dataset})
    refusals: list[tuple[int, Deny]] = []
    for view in candidates:
        case = _Case(request, view, state.dataset, usage, now)
        passed, refusal = _hold(case)
        if refusal is None:
            rows = min(case.terms.max_rows_per_key, case.facts.max_rows_per_key)
            noise = strictest_noise(case.terms.noise, request.noise)
            return Allow(view.id, view.digest, case.terms, case.limits, rows, noise)
        refusals.append((passed, refusal))
    return _most_telling(request, list(zip(candidates, refusals, strict=True)))


def decide_result(limits: RunLimits, common_keys: int) -> Deny | None:
    """Say whether a result may be told.

    Args:
        limits: the bounds of the ``Allow``.
        common_keys: the number of common keys.

    Returns:
        None, or a refusal that does not say how many there were: that would tell what it withholds.
    """
    if common_keys < limits.min_result:
        return Deny(Rule.RESULT_TOO_SMALL, {"min_result": limits.min_result})
    return None


_Refused = tuple[AgreementView, tuple[int, Deny]]


def _most_telling(request: RunRequest, refused: list[_Refused]) -> Deny:
    """Return the refusal to name; ``refused`` has each agreement, the newest first, with the rules it passed."""
    furthest = max(passed for _, (passed, _) in refused)
    named = [deny for _, (passed, deny) in refused if passed == furthest]
    if named[0].rule is Rule.PURPOSE_NOT_ALLOWED:
        ended = [entry for view, entry in refused if entry[1].rule in _OUT_OF_FORCE and request.purpose in view.purpose]
        if ended:
            return max(ended, key=lambda entry: entry[0])[1]
    if "allowed" not in named[0].fields:
        return named[0]
    allowed = [entry for deny in named for entry in str(deny.fields["allowed"]).split(", ") if entry]
    return Deny(named[0].rule, {**named[0].fields, "allowed": ", ".join(dict.fromkeys(allowed))})


def _hold(case: _Case) -> tuple[int, Deny | None]:
    for passed, (rule, check) in enumerate(CHECKS):
        fields = check(case)
        if fields is not None:
            return passed, Deny(rule, fields)
    return len(CHECKS), None
