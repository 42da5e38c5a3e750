"""Hello and Accept: what both parties bind a run to, and the session id that comes of it."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from psc.protocols.cells import CELLS_MAX, are_places
from psc.types import (
    ALTERNATIVES_MAX,
    Alternatives,
    Document,
    GroupColumn,
    Membership,
    Model,
    Noise,
    OperationName,
    OutputTo,
    PlainName,
    PlainText,
    ReleasedColumn,
    Statistic,
    ValueColumn,
)

__all__ = [
    "ATTEMPTS_MAX",
    "KEPT_SHARDS_MAX",
    "PROTOCOL_SERIES",
    "Accept",
    "AggregateTerms",
    "ConfirmationStatement",
    "Hello",
    "Resumption",
    "SessionId",
]

PROTOCOL_SERIES: Final = "psc/1"
"""Version of the wire contract; both sides must have the same."""

ATTEMPTS_MAX: Final = 3
"""How often a run may be taken up in all; then it starts anew."""

KEPT_SHARDS_MAX: Final = 2048
"""A run of more shards (2·10^9 keys) is not gone on with: the hello that lists them would be too long."""

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _moment(value: str) -> str:
    datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    return value


Moment = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"), AfterValidator(_moment)]
Size = Annotated[int, Field(ge=1, le=1 << 40)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=ALTERNATIVES_MAX)]
Places = Annotated[tuple[Annotated[int, Field(ge=0, lt=1024)], ...], Field(max_length=8)]


class AggregateTerms(Document):
    """What an aggregate computes.

    Attributes:
        statistics: the sums that the outputs rest on, in the order of the protocol's columns.
        values: the responder's value columns that they use, as registered.
        groups: the responder's group columns, in the order in which their labels are told.
        weights: the initiator's weight columns (weighted sums only), with their declared scale and a public range. They are
            called ``weight 1``, ``weight 2``, … unless the responder learns the result.
        own_groups: number of the initiator's groups, at least 1.
        own_places: where the responder withholds cells, how the initiator's groups are made of its group columns, without
            names: for each group the place of its label in each column, ascending; else empty.
        own_columns: names of the initiator's group columns, where the responder learns the result; else empty.
        blocks: padded number of keys in each of them, where they travel as blocks; they add up to the initiator's size.
        membership: whether the responder learns which of its customers match.
        engine: id of the encryption and its parameters; empty where nothing is encrypted.
        minimum_group: groups of fewer customers are withheld.
        rows_bound: most rows of one key that the responder's dataset has, as registered; part of every sum's bound.
    """

    statistics: tuple[Statistic, ...] = Field(max_length=128)
    values: tuple[ValueColumn, ...] = Field(max_length=64)
    groups: tuple[GroupColumn, ...] = Field(max_length=8)
    weights: tuple[ValueColumn, ...] = Field(max_length=8)
    own_groups: int = Field(ge=1, le=1024)
    own_places: tuple[Places, ...] = Field(default=(), max_length=1024)
    own_columns: tuple[PlainName, ...] = Field(max_length=8)
    blocks: tuple[Size, ...] = Field(max_length=1024)
    membership: Membership
    engine: PlainText = Field(max_length=64)
    minimum_group: int = Field(ge=0, le=1 << 40)
    rows_bound: int = Field(ge=1, le=1024)

    @property
    def their_groups(self) -> int:
        """The most groups that the responder may have: of several columns every combination of labels."""
        return math.prod(group.groups for group in self.groups)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = {value.name for value in self.values}
        used = {statistic.column for statistic in self.statistics} - {None}
        weights = {statistic.weight for statistic in self.statistics} - {None}
        names = [[entry.name for entry in entries] for entries in (self.values, self.groups, self.weights)]
        if any(len(set(each)) != len(each) for each in (self.statistics, self.own_columns, *names)):
            raise ValueError("an entry stands twice")
        if used != known or weights != set(range(len(self.weights))):
            raise ValueError("statistics and columns do not belong together")
        if any((entry.kind, entry.per, entry.column) == ("count", "customer", None) for entry in self.statistics):
            raise ValueError("customers are counted by matching")
        if not 1 <= self.their_groups * self.own_groups <= CELLS_MAX:
            raise ValueError("too many cells")
        if self.own_places and (len(self.own_places) != self.own_groups or not are_places(self.own_places)):
            raise ValueError("places that are not those of groups")
        if self.own_places and len(self.own_columns) not in (0, len(self.own_places[0])):
            raise ValueError("another number of group columns than their names")
        return self


class Resumption(Document):
    """Which run of an earlier session this one goes on with, and after which of its shards.

    Attributes:
        run_id: of its first attempt.
        shards: for each shard that is finished, the hash that chains what both parties sent and received up to its end.
    """

    run_id: str = Field(pattern=r"^[0-9a-z]{26}$")
    shards: tuple[Hex32, ...] = Field(min_length=1, max_length=KEPT_SHARDS_MAX)


class Hello(Document):
    """What the initiator asks for, signed by its identity.

    ``keys`` are the alternatives of a match by any of several keys, the preferred one first; else it is one. Sizes are padded,
    one an alternative. ``initiator_role`` is its part in the protocol: the receiver, or the sender of a match whose result goes
    to both, so that the larger set is the sender's. ``certificate`` is the SHA-256 of the initiator's TLS leaf (DER), empty
    without TLS. ``resumes`` offers to go on with a run that broke off.
    """

    KIND: ClassVar[str] = "hello"

    series: Literal["psc/1"]
    suite: PlainText = Field(max_length=64)
    protocol: PlainText = Field(max_length=32)
    protocol_version: int = Field(ge=1, le=1000)
    run_id: str = Field(pattern=r"^[0-9a-z]{26}$")
    operation: OperationName
    purpose: PlainText = Field(min_length=1, max_length=128)
    initiator: Hex32
    initiator_name: PlainName
    responder: Hex32
    responder_name: PlainName
    initiator_role: Literal["receiver", "sender"]
    certificate: str = Field(pattern=r"^([0-9a-f]{64})?$")
    nonce: Hex32
    dataset: PlainName
    dataset_version: Hex32
    agreement: Hex32
    keys: Alternatives
    released: tuple[ReleasedColumn, ...] = Field(max_length=64)
    rows_per_key: int = Field(ge=1, le=1024)
    output_to: OutputTo
    minimum_result: int = Field(ge=0, le=1 << 40)
    model: Model = "semi-honest"
    noise: Noise | None = None
    aggregate: AggregateTerms | None = None
    rules: PlainText = Field(max_length=64)
    number_metadata: Hex32
    initiator_sizes: Sizes
    resumes: Resumption | None = None
    sent_at: Moment

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.operation == "aggregate") != (self.aggregate is not None):
            raise ValueError("what an aggregate computes belongs to an aggregate")
        if len(self.initiator_sizes) != len(self.keys):
            raise ValueError("another number of sizes than of keys")
        if len(self.keys) > 1 and self.operation != "match":
            raise ValueError("only a match has alternatives")
        if (self.resumes is not None) and (self.operation != "match" or len(self.keys) > 1):
            raise ValueError("only a match by one key is resumed")
        to_both = (self.operation, self.output_to, self.released, self.model) == ("match", "both", (), "semi-honest")
        if self.initiator_role == "sender" and not to_both:
            raise ValueError("only where both learn the same do the roles not matter")
        return self

    @property
    def initiator_size(self) -> int:
        """The initiator's size, of all alternatives together."""
        return sum(self.initiator_sizes)

    def terms(self) -> str:
        """Return a digest of what a later attempt must ask for again: of everything but what is fresh in each."""
        fresh = {"run_id": "0" * 26, "nonce": "0" * 64, "certificate": "", "sent_at": "2000-01-01T00:00:00Z", "resumes": None}
        return self.model_copy(update=fresh).digest()


class Accept(Document):
    """The responder's answer, signed by its identity: it binds the hello by its digest and adds its own part.

    ``responder_sizes`` has a padded size an alternative. ``responder_blocks`` has the padded size of each of its groups, where
    they travel as blocks; they add up to its size. ``finished`` is the number of shards, of those that the hello offers, after
    which the run goes on, and ``attempt`` counts the sessions that the run has been given so far; 0 and 1 for a run that starts.
    """

    KIND: ClassVar[str] = "accept"

    hello: Hex32
    nonce: Hex32
    certificate: str = Field(pattern=r"^([0-9a-f]{64})?$")
    responder_sizes: Sizes
    responder_blocks: tuple[Size, ...] = Field(default=(), max_length=1024)
    finished: int = Field(default=0, ge=0, le=KEPT_SHARDS_MAX)
    attempt: int = Field(default=1, ge=1, le=ATTEMPTS_MAX)
    accepted_at: Moment

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.attempt > 1) != (self.finished > 0):
            raise ValueError("a run that starts has no finished shard, one that goes on has")
        return self

    @property
    def responder_size(self) -> int:
        """The responder's size, of all alternatives together."""
        return sum(self.responder_sizes)


class ConfirmationStatement(Document):
    """What a party signs before the first protocol message: it holds the same session in the same role."""

    KIND: ClassVar[str] = "confirmation"

    session_id: Hex32
    role: Literal["initiator", "responder"]


class SessionId:
    """The session id (hash of Hello and Accept) and the secrets-free label that item hashing uses.

    The label has no role in it, so that both parties hash an item to the same element.
    """

    def __init__(self, hello: Hello, accept: Accept) -> None:
        parts = (hello.signing_input(), accept.signing_input())
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        self.raw = hashlib.sha256(b"psc/v1/session\x00" + framed).digest()
        self.label = hashlib.sha256(b"psc/v1/items\x00" + self.raw).digest()

    @property
    def hex(self) -> str:
        """The session id in hex."""
        return self.raw.hex()
