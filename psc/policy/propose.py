"""Drafting an agreement from what is registered: nothing can be proposed that the node could not keep."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from psc.engines import DEFAULT, hiding_engine
from psc.errors import AgreementError
from psc.node.clock import now, timestamp
from psc.node.datasets import get_dataset
from psc.node.fields import check_name
from psc.node.home import Home
from psc.node.own import own_card
from psc.node.records import DatasetRecord
from psc.node.specs import parse_noise
from psc.node.trust import partner_named
from psc.policy.agreement import MIN_GROUP, MIN_INPUT, MIN_RESULT, RUNS_PER_DAY, Agreement, DatasetTerms, Party
from psc.policy.agreement_file import SignedAgreement
from psc.policy.agreements import StoredAgreement, add
from psc.protocols.padding import padded_size
from psc.types import GROUPS_MAX, GroupColumn, Membership, Model, Noise, OperationName, OutputTo

__all__ = ["VALID_FOR", "Offer", "propose"]

_LEAST_MAX_INPUT = 1 << 20
VALID_FOR = timedelta(days=365)
"""How long an agreement is valid unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the owner is ready to allow on one dataset.

    Attributes:
        dataset: a registered dataset.
        operations: the operations to allow.
        release: names of the columns that a match may release; each must be registered as releasable.
        keys: names of the keys to match on; None for all registered ones.
        max_rows_per_key: rows of one key that are released at most; None for the registered bound.
        min_input: least number of distinct keys of either side.
        max_input: most distinct keys of the asking side, rounded up to a padded size; None for four times the dataset's
            keys, at least 2^20.
        min_result: least number of common keys that is told.
        runs_per_day: accepted runs on a UTC day, at least one.
        elements_per_day: evaluated elements on a UTC day; None for no bound.
        outputs: who may learn a result; ``responder``, this node alone, goes with aggregates only.
        values: names of the values that an aggregate may use, each registered; none unless named.
        groups: names of the columns that an aggregate may group by, each registered; none unless named.
        model: the adversary model that a match must withstand; ``malicious`` allows only matches without columns whose result
            goes to the asking side alone.
        membership: what an aggregate may make known of who is in both sets: ``hidden`` from both sides; ``owner``: this node
            learns it, sums in the clear and keeps the least group itself; ``matcher``: the asking side learns which of its keys
            are in both, which does not go with noise.
        engines: ids of the encryptions under which this node's values may travel to be added up by a partner, which chooses
            among them. Each must be installed here.
        noise: what this node adds to an aggregate, as ``laplace:0.5`` or ``psc.types.Noise``; None for none.
        min_group: least number of common keys of a group of an aggregate that is told.
    """

    dataset: str
    operations: Sequence[OperationName]
    _: KW_ONLY
    release: Sequence[str] = ()
    keys: Sequence[str] | None = None
    max_rows_per_key: int | None = None
    min_input: int = MIN_INPUT
    max_input: int | None = None
    min_result: int = MIN_RESULT
    runs_per_day: int = RUNS_PER_DAY
    elements_per_day: int | None = None
    outputs: Sequence[OutputTo] = ("receiver",)
    values: Sequence[str] = ()
    groups: Sequence[str] = ()
    model: Model = "semi-honest"
    membership: Sequence[Membership] = ("hidden",)
    engines: Sequence[str] = (DEFAULT,)
    noise: Noise | str | None = None
    min_group: int = MIN_GROUP


def propose(
    home: Home,
    *,
    partner: str,
    offers: Sequence[Offer],
    purpose: Sequence[str],
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> StoredAgreement:
    """Draft and store an agreement; it allows nothing until it is signed.

    Args:
        home: the node that owns the data.
        partner: a pinned partner's name.
        offers: at least one, a dataset each.
        purpose: the purposes to allow, at least one.
        valid_from: first moment in force; now by default.
        valid_until: last moment in force; a year after the first by default.

    Raises:
        UsageError: the partner, a dataset or an engine is unknown, an engine is not installed or shows who matches, or a purpose
            is not a possible code.
        AgreementError: a column, key or bound goes beyond what is registered, or the document contradicts itself.
    """
    other = partner_named(home, partner)
    own = own_card(home).card
    created = now()
    start = valid_from or created
    end = valid_until or start + VALID_FOR
    for code in purpose:
        check_name(code, "purpose")
    terms = tuple(_terms(home, offer) for offer in offers)
    try:
        agreement = Agreement(
            id=secrets.token_hex(8),
            owner=Party(identity=own.identity, name=own.name),
            partner=Party(identity=other.identity, name=other.name),
            purpose=tuple(purpose),
            datasets=terms,
            valid_from=timestamp(start),
            valid_until=timestamp(end),
            created_at=timestamp(created),
        )
    except ValidationError as error:
        raise _contradiction(error) from None
    return add(home, SignedAgreement(agreement))


def _terms(home: Home, offer: Offer) -> DatasetTerms:
    record = get_dataset(home, offer.dataset)
    keys = {key.name: key for key in record.key_columns}
    released = {column.name: column for column in record.released_columns}
    values = {value.name: value for value in record.value_columns}
    chosen = list(keys) if offer.keys is None else list(offer.keys)
    _check_registered(record, "key", chosen, list(keys))
    _check_registered(record, "column", offer.release, list(released))
    _check_registered(record, "value", offer.values, list(values))
    _check_registered(record, "group", offer.groups, [group.name for group in record.groups])
    _check_operations(offer)
    if offer.runs_per_day < 1:
        raise AgreementError("policy.terms-wrong", where="runs_per_day", problem="Input should be greater than or equal to 1")
    for engine_id in offer.engines:
        hiding_engine(engine_id)
    bound = record.max_rows_per_key if offer.max_rows_per_key is None else offer.max_rows_per_key
    if bound > record.max_rows_per_key:
        raise AgreementError("policy.rows-above-registered", dataset=record.name, value=bound, registered=record.max_rows_per_key)
    try:
        terms = DatasetTerms(
            dataset=record.name,
            operations=tuple(offer.operations),
            keys=tuple(keys[name] for name in chosen),
            release=tuple(released[name] for name in offer.release),
            max_rows_per_key=bound,
            min_input=offer.min_input,
            max_input=max(_LEAST_MAX_INPUT, 4 * record.key_count) if offer.max_input is None else offer.max_input,
            min_result=offer.min_result,
            runs_per_day=offer.runs_per_day,
            elements_per_day=offer.elements_per_day,
            outputs=tuple(offer.outputs),
            values=tuple(values[name] for name in offer.values),
            groups=tuple(GroupColumn(name=name, groups=GROUPS_MAX) for name in offer.groups),
            model=offer.model,
            membership=tuple(offer.membership),
            engines=tuple(offer.engines),
            noise=parse_noise(offer.noise) if isinstance(offer.noise, str) else offer.noise,
            min_group=offer.min_group,
        )
    except ValidationError as error:
        raise _contradiction(error) from None
    # Sets are judged by their padded size, so a bound between two sizes would in truth be the lower of them.
    return terms.model_copy(update={"max_input": padded_size(terms.max_input)})


def _check_registered(record: DatasetRecord, what: str, names: Sequence[str], registered: Sequence[str]) -> None:
    for name in names:
        if name not in registered:
            known = ", ".join(registered)
            raise AgreementError(f"policy.{what}-not-registered", name=name, dataset=record.name, known=known)


def _check_operations(offer: Offer) -> None:
    """Refuse terms that no operation of the offer has a use for: the owner meant another operation."""
    operations = ", ".join(offer.operations)
    if offer.release and "match" not in offer.operations:
        raise AgreementError("policy.release-without-match", columns=", ".join(offer.release), operations=operations)
    if offer.model == "malicious":
        _check_malicious(offer)
    if "aggregate" in offer.operations:
        return
    idle = [f"--value {name}" for name in offer.values] + [f"--group {name}" for name in offer.groups]
    idle += [f"--membership {one}" for one in offer.membership if one != "hidden"]
    idle += [f"--engine {one}" for one in offer.engines if one != DEFAULT]
    idle += ["--noise"] if offer.noise is not None and "count" not in offer.operations else []
    idle += ["--output-to responder"] if "responder" in offer.outputs else []
    if idle:
        raise AgreementError("policy.terms-without-aggregate", terms=", ".join(idle), operations=operations)


def _check_malicious(offer: Offer) -> None:
    """Refuse what a match that withstands a malicious partner has no use for, and no other operation has either."""
    idle = [f"--release {name}" for name in offer.release]
    if "match" not in offer.operations:
        idle.append("--model malicious")
    elif "receiver" not in offer.outputs:
        idle.append("--allow match")
    elif set(offer.operations) == {"match"}:
        idle += [f"--output-to {one}" for one in offer.outputs if one != "receiver"]
    if idle:
        raise AgreementError("policy.terms-without-model", terms=", ".join(idle))


def _contradiction(error: ValidationError) -> AgreementError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "agreement"
    return AgreementError("policy.terms-wrong", where=where, problem=first["msg"].removeprefix("Value error, "))
