"""The catalogue: what a partner may know about this node's data, which is what it was granted.

An entry stands for one dataset under one agreement in force, newest agreement first. A dataset without such an agreement does
not appear, and nothing in the document depends on it. Key counts are padded as they are in a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from psc.engines import DEFAULT
from psc.errors import Rule
from psc.node.clock import now, timestamp
from psc.node.datasets import find_dataset
from psc.node.fields import Digest, IdentityKey, NodeName, Purpose, Timestamp
from psc.node.home import Home
from psc.node.own import own_card
from psc.node.records import DatasetRecord
from psc.node.trust import Partner, party_of
from psc.policy.agreement import MIN_GROUP, DatasetTerms, EngineId, Party
from psc.policy.agreements import StoredAgreement, with_partner
from psc.policy.decide import AgreementState, AgreementView, Allow, DatasetFacts, Deny, RunRequest, Usage, decide
from psc.policy.ledger import usage
from psc.protocols.padding import padded_size
from psc.types import (
    Document,
    GroupColumn,
    KeyColumn,
    Keys,
    Membership,
    Model,
    Noise,
    OperationName,
    OutputTo,
    PlainName,
    PlainText,
    ReleasedColumn,
    ValueColumn,
    key_names,
)

__all__ = ["Catalogue", "CatalogueEntry", "PaddedCount", "catalogue_for", "check_request", "decide_from_catalogue"]

Count = Annotated[int, Field(ge=0, le=1 << 40)]


class PaddedCount(Document):
    """The padded number of distinct keys when these keys are used together."""

    keys: Annotated[tuple[PlainName, ...], Field(min_length=1, max_length=8)]
    count: Count


class CatalogueEntry(Document):
    """One dataset under one agreement, as it is today.

    ``runs_left`` and ``elements_left`` are what remains on this UTC day; ``release`` and ``max_rows_per_key`` are the
    smaller of what is agreed and what is registered. ``values`` and ``groups`` are those both agreed and registered, with the
    number of labels that there are; ``rows_bound`` is the most rows of one key in the dataset that a statistic adds up.
    """

    dataset: NodeName
    dataset_version: Digest
    operations: tuple[OperationName, ...]
    keys: tuple[KeyColumn, ...]
    release: tuple[ReleasedColumn, ...]
    max_rows_per_key: Annotated[int, Field(ge=1, le=1024)]
    key_counts: tuple[PaddedCount, ...]
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    rules: Annotated[PlainText, Field(max_length=64)]
    number_metadata: Digest
    min_input: Count
    max_input: Count
    min_result: Count
    runs_per_day: Count
    runs_left: Count
    elements_per_day: Count | None
    elements_left: Count | None
    outputs: tuple[OutputTo, ...]
    values: tuple[ValueColumn, ...] = ()
    groups: tuple[GroupColumn, ...] = ()
    model: Model = "semi-honest"
    membership: tuple[Membership, ...] = ("hidden",)
    engines: tuple[EngineId, ...] = (DEFAULT,)
    noise: Noise | None = None
    min_group: Count = MIN_GROUP
    rows_bound: Annotated[int, Field(ge=1, le=1024)] = 1
    purpose: tuple[Purpose, ...]
    agreement: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    agreement_digest: Digest
    agreed_at: Timestamp
    valid_from: Timestamp
    valid_until: Timestamp

    def key_count_of(self, names: tuple[str, ...]) -> int:
        """Return the padded number of distinct keys when these keys are used together."""
        return next((entry.count for entry in self.key_counts if set(entry.keys) == set(names)), 0)

    @property
    def terms(self) -> DatasetTerms:
        """The terms of the agreement for this dataset."""
        return DatasetTerms(
            dataset=self.dataset,
            operations=self.operations,
            keys=self.keys,
            release=self.release,
            max_rows_per_key=self.max_rows_per_key,
            min_input=self.min_input,
            max_input=self.max_input,
            min_result=self.min_result,
            runs_per_day=self.runs_per_day,
            elements_per_day=self.elements_per_day,
            outputs=self.outputs,
            values=self.values,
            groups=self.groups,
            model=self.model,
            membership=self.membership,
            engines=self.engines,
            noise=self.noise,
            min_group=self.min_group,
        )


class Catalogue(Document):
    """What one node shows one partner at one moment."""

    KIND: ClassVar[str] = "catalogue"

    version: Literal[1] = 1
    owner: Party
    partner: IdentityKey
    created_at: Timestamp
    entries: Annotated[tuple[CatalogueEntry, ...], Field(max_length=256)]

    def of(self, dataset: str) -> tuple[CatalogueEntry, ...]:
        """Return the entries of a dataset, newest agreement first."""
        return tuple(entry for entry in self.entries if entry.dataset == dataset)

    def keys_of(self, dataset: str) -> dict[str, KeyColumn]:
        """Return the keys of a dataset that any agreement grants, by name; the newest agreement's of several."""
        return {key.name: key for entry in reversed(self.of(dataset)) for key in entry.keys}

    def released_of(self, dataset: str) -> dict[str, ReleasedColumn]:
        """Return the columns that any agreement on a dataset releases, as ``keys_of``."""
        return {column.name: column for entry in reversed(self.of(dataset)) for column in entry.release}

    def groups_of(self, dataset: str) -> dict[str, GroupColumn]:
        """Return the group columns that any agreement on a dataset grants, as ``keys_of``."""
        return {group.name: group for entry in reversed(self.of(dataset)) for group in entry.groups}

    def least_input(self, dataset: str) -> int:
        """Return the least size that passes the smallest input of every agreement on a dataset; 0 without any."""
        return max((entry.min_input for entry in self.of(dataset)), default=0)


def catalogue_for(home: Home, identity: str, *, moment: datetime | None = None) -> Catalogue:
    """Return the catalogue that a partner gets.

    Args:
        home: this node.
        identity: the partner's identity, as authenticated. Nobody known gets an empty catalogue.
        moment: the present moment; the clock's by default.
    """
    moment = moment or now()
    own = own_card(home).card
    party = _asking(home, identity)
    entries: list[CatalogueEntry] = []
    if party is not None:
        for stored in _newest_first(with_partner(home, party, ours=True)):
            if stored.signed.state(moment) in ("granted", "agreed"):
                entries += _entries(home, party, stored, moment)
    return Catalogue(
        owner=Party(identity=own.identity, name=own.name),
        partner=identity,
        created_at=timestamp(moment),
        entries=tuple(entries[:256]),
    )


def check_request(home: Home, identity: str, request: RunRequest, *, moment: datetime | None = None) -> Allow | Deny:
    """Decide on a partner's request with what this node, the owner of the data, has in hand.

    Args:
        home: this node.
        identity: the partner's identity, as authenticated.
        request: what it asks.
        moment: the present moment; the clock's by default.

    Raises:
        AgreementError: a stored agreement was changed; nothing is allowed until that is cleared up.
    """
    moment = moment or now()
    party = _asking(home, identity)
    if party is None:
        return decide(request, AgreementState(partner_known=False), Usage(), moment)
    record = find_dataset(home, request.dataset)
    views = tuple(stored.signed.view(request.dataset, stored.sequence) for stored in with_partner(home, party, ours=True))
    facts = None if record is None else _facts(record, request.keys)
    state = AgreementState(partner_known=True, agreements=views, dataset=facts)
    decision = decide(request, state, usage(home, party.party, request.dataset, moment=moment), moment)
    if isinstance(decision, Deny) and decision.rule is Rule.DATASET_NOT_GRANTED:
        granted = (entry.dataset for entry in catalogue_for(home, identity, moment=moment).entries)
        return Deny(decision.rule, {**decision.fields, "granted": ", ".join(dict.fromkeys(granted))})
    return decision


def decide_from_catalogue(catalogue: Catalogue, request: RunRequest, *, moment: datetime | None = None) -> Allow | Deny:
    """Say on the initiator's side what the responder will decide, from its catalogue: the same rules, before data moves.

    The catalogue holds only what is in force, so an agreement that expired or was revoked shows as none.
    """
    moment = moment or now()
    entries = catalogue.of(request.dataset)
    if not entries:
        granted = ", ".join(dict.fromkeys(entry.dataset for entry in catalogue.entries))
        fields = {"dataset": request.dataset, "granted": granted}
        return Deny(Rule.DATASET_NOT_GRANTED, fields) if granted else Deny(Rule.NO_AGREEMENT)
    newest = entries[0]
    facts = DatasetFacts(
        version=newest.dataset_version,
        keys=tuple(dict.fromkeys(key for entry in entries for key in entry.keys)),
        release=tuple(dict.fromkeys(column for entry in entries for column in entry.release)),
        key_counts=tuple(newest.key_count_of(key_names(keys)) for keys in request.keys),
        max_rows_per_key=max(entry.max_rows_per_key for entry in entries),
        values=tuple(dict.fromkeys(value for entry in entries for value in entry.values)),
        groups=tuple(dict.fromkeys(group for entry in entries for group in entry.groups)),
    )
    # What is left is cut at zero, so the entry with the widest quota tells most about what was used.
    used = Usage(
        max(entry.runs_per_day - entry.runs_left for entry in entries),
        max((entry.elements_per_day or 0) - (entry.elements_left or 0) for entry in entries),
    )
    views = tuple(_view(entry, len(entries) - index) for index, entry in enumerate(entries))
    return decide(request, AgreementState(partner_known=True, agreements=views, dataset=facts), used, moment)


def _asking(home: Home, identity: str) -> Partner | None:
    """Return the partner that has this identity now; a replaced one asks for nobody."""
    party = party_of(home, identity)
    return party if party is not None and not party.own and party.identity == identity else None


def _view(entry: CatalogueEntry, sequence: int) -> AgreementView:
    return AgreementView(
        id=entry.agreement,
        digest=entry.agreement_digest,
        purpose=entry.purpose,
        terms=entry.terms,
        valid_from=entry.valid_from,
        valid_until=entry.valid_until,
        created_at=entry.agreed_at,
        sequence=sequence,
    )


def _newest_first(stored: tuple[StoredAgreement, ...]) -> list[StoredAgreement]:
    return sorted(stored, key=lambda one: (one.signed.agreement.created_at, one.sequence), reverse=True)


def _facts(record: DatasetRecord, alternatives: Sequence[Keys]) -> DatasetFacts:
    registered = {key.name for key in record.keys}
    known = [[name for name in key_names(keys) if name in registered] for keys in alternatives]
    return DatasetFacts(
        version=record.version,
        keys=record.key_columns,
        release=record.released_columns,
        values=record.value_columns,
        groups=record.group_columns,
        key_counts=tuple(record.key_count_of(names) for names in known),
        max_rows_per_key=record.max_rows_per_key,
    )


def _entries(home: Home, party: Partner, stored: StoredAgreement, moment: datetime) -> list[CatalogueEntry]:
    found = []
    for terms in stored.signed.agreement.datasets:
        record = find_dataset(home, terms.dataset)
        if record is not None:
            used = usage(home, party.party, terms.dataset, moment=moment)
            found.append(_entry(stored, terms, record, used))
    return found


def _entry(stored: StoredAgreement, terms: DatasetTerms, record: DatasetRecord, used: Usage) -> CatalogueEntry:
    agreement = stored.signed.agreement
    keys = tuple(key for key in terms.keys if key in record.key_columns)
    granted = {key.name for key in keys}
    elements = terms.elements_per_day
    rows = min(terms.max_rows_per_key, record.max_rows_per_key)
    return CatalogueEntry(
        dataset=record.name,
        dataset_version=record.version,
        operations=terms.operations,
        keys=keys,
        release=tuple(column for column in terms.release if column in record.released_columns),
        max_rows_per_key=rows,
        key_counts=tuple(
            PaddedCount(keys=entry.keys, count=padded_size(entry.count)) for entry in record.counts if granted >= set(entry.keys)
        ),
        region=record.region,
        rules=record.rules,
        number_metadata=record.number_metadata,
        min_input=terms.min_input,
        max_input=terms.max_input,
        min_result=terms.min_result,
        runs_per_day=terms.runs_per_day,
        runs_left=max(0, terms.runs_per_day - used.runs),
        elements_per_day=elements,
        elements_left=None if elements is None else max(0, elements - used.elements),
        outputs=terms.outputs,
        values=tuple(value for value in terms.values if value in record.value_columns),
        groups=tuple(group for group in record.group_columns if group.name in {granted.name for granted in terms.groups}),
        model=terms.model,
        membership=terms.membership,
        engines=terms.engines,
        noise=terms.noise,
        min_group=terms.min_group,
        rows_bound=record.max_rows_per_key if "aggregate" in terms.operations else rows,
        purpose=agreement.purpose,
        agreement=agreement.id,
        agreement_digest=stored.signed.digest,
        agreed_at=agreement.created_at,
        valid_from=agreement.valid_from,
        valid_until=agreement.valid_until,
    )
