"""The agreement document: who may ask whom for what, under which limits, for how long.

A dataset's owner signs it alone to make a grant; when the partner signs too it is an agreement. It is one document and one
file either way. Limits that a partner can be held to (runs, sizes, columns, dates) are the owner's to enforce; see
``psc.policy.decide``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from psc.engines import DEFAULT
from psc.node.clock import parse_timestamp
from psc.node.fields import Digest, IdentityKey, NodeName, Purpose, Timestamp
from psc.types import (
    Document,
    GroupColumn,
    KeyColumn,
    Membership,
    Model,
    Noise,
    OperationName,
    OutputTo,
    ReleasedColumn,
    ValueColumn,
)

__all__ = [
    "MAX_INPUT",
    "MIN_GROUP",
    "MIN_INPUT",
    "MIN_RESULT",
    "NO_LIMITS",
    "RUNS_PER_DAY",
    "Agreement",
    "DatasetTerms",
    "EngineId",
    "Party",
    "Revocation",
    "RunLimits",
    "strictest",
    "strictest_noise",
]

MIN_INPUT = 1_000
MIN_RESULT = 20
MIN_GROUP = 20
RUNS_PER_DAY = 10
MAX_INPUT = 2**26

Count = Annotated[int, Field(ge=0, le=1 << 40)]
Positive = Annotated[int, Field(ge=1, le=1 << 40)]
EngineId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,48}/[0-9]{1,4}$")]
"""The id of an engine of ``psc.engines``: parameters and version of an encryption."""


class Party(Document):
    """A node as a document names it."""

    identity: IdentityKey
    name: NodeName


class RunLimits(Document):
    """The bounds on a run; ``strictest`` joins two of them.

    Sizes are numbers of distinct keys. ``min_input`` holds for both sides' sets. ``min_result`` is the least number of
    common keys that is worth telling; fewer are refused. ``min_group`` is the same for one group of an aggregate: a smaller one
    is withheld. ``None`` means no bound.
    """

    min_input: Count = MIN_INPUT
    max_input: Positive = MAX_INPUT
    min_result: Count = MIN_RESULT
    min_group: Count = MIN_GROUP
    runs_per_day: Count = RUNS_PER_DAY
    elements_per_day: Count | None = None


NO_LIMITS = RunLimits(min_input=0, max_input=1 << 40, min_result=0, min_group=0, runs_per_day=1 << 40)
"""Bounds that bind nothing: what a party without documents of its own asks for."""


def strictest(first: RunLimits, second: RunLimits) -> RunLimits:
    """Return the limits that keep both: where two parties' documents differ, the stricter rule wins."""
    elements = [value for value in (first.elements_per_day, second.elements_per_day) if value is not None]
    return RunLimits(
        min_input=max(first.min_input, second.min_input),
        max_input=min(first.max_input, second.max_input),
        min_result=max(first.min_result, second.min_result),
        min_group=max(first.min_group, second.min_group),
        runs_per_day=min(first.runs_per_day, second.runs_per_day),
        elements_per_day=min(elements) if elements else None,
    )


def strictest_noise(first: Noise | None, second: Noise | None) -> Noise | None:
    """Return the noise with the smaller budget, which hides most; None when neither asks for any.

    Epsilon of ``laplace`` is compared with rho of ``gaussian`` by what it implies: epsilon² / 2.
    """
    asked = [noise for noise in (first, second) if noise is not None]
    return min(asked, key=_twice_rho, default=None)


def _twice_rho(noise: Noise) -> tuple[int, str]:
    """Return 2·rho in millionths, exactly; the mechanism breaks a tie, so that both sides choose alike."""
    budget = noise.budget_thousandths
    return (budget * budget if noise.mechanism == "laplace" else 2000 * budget), noise.mechanism


class DatasetTerms(Document):
    """What is allowed on one dataset.

    ``values``, ``groups``, ``membership``, ``engines``, ``noise`` and ``min_group`` hold for aggregates. A value is granted with
    its scale and range, a group column by its name. ``membership`` says what may be known of who is in both sets: ``hidden`` from
    both sides; ``owner``, known to the owner of the values, who then sums in the clear; ``matcher``, known to the asking side,
    which adds up encrypted values and finds counts itself, so that this does not go with noise. ``engines`` are the encryptions
    under which values may leave their owner, unless it sums itself. ``noise`` is what the owner adds in a run. ``model`` is the
    adversary model that a match must withstand.
    """

    dataset: NodeName
    operations: Annotated[tuple[OperationName, ...], Field(min_length=1, max_length=8)]
    keys: Annotated[tuple[KeyColumn, ...], Field(min_length=1, max_length=8)]
    release: Annotated[tuple[ReleasedColumn, ...], Field(max_length=64)] = ()
    max_rows_per_key: Annotated[int, Field(ge=1, le=1024)] = 1
    min_input: Count = MIN_INPUT
    max_input: Positive = MAX_INPUT
    min_result: Count = MIN_RESULT
    min_group: Count = MIN_GROUP
    runs_per_day: Count = RUNS_PER_DAY
    elements_per_day: Count | None = None
    outputs: Annotated[tuple[OutputTo, ...], Field(min_length=1, max_length=3)] = ("receiver",)
    values: Annotated[tuple[ValueColumn, ...], Field(max_length=64)] = ()
    groups: Annotated[tuple[GroupColumn, ...], Field(max_length=64)] = ()
    model: Model = "semi-honest"
    membership: Annotated[tuple[Membership, ...], Field(min_length=1, max_length=3)] = ("hidden",)
    engines: Annotated[tuple[EngineId, ...], Field(min_length=1, max_length=8)] = (DEFAULT,)
    noise: Noise | None = None

    @property
    def limits(self) -> RunLimits:
        """The numeric bounds."""
        return RunLimits(
            min_input=self.min_input,
            max_input=self.max_input,
            min_result=self.min_result,
            min_group=self.min_group,
            runs_per_day=self.runs_per_day,
            elements_per_day=self.elements_per_day,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = (_names(self.keys), _names(self.release), _names(self.values), _names(self.groups))
        for what in (self.operations, self.outputs, self.membership, self.engines, *names):
            if len(set(what)) != len(what):
                raise ValueError("an entry stands twice")
        if self.min_input > self.max_input:
            raise ValueError("min_input is above max_input")
        if self.noise is not None and "matcher" in self.membership:
            raise ValueError("counts cannot be noisy where the matcher may know membership")
        return self


class Agreement(Document):
    """Permission of a dataset owner for a partner."""

    KIND: ClassVar[str] = "agreement"

    version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    owner: Party
    partner: Party
    purpose: Annotated[tuple[Purpose, ...], Field(min_length=1, max_length=32)]
    datasets: Annotated[tuple[DatasetTerms, ...], Field(min_length=1, max_length=64)]
    valid_from: Timestamp
    valid_until: Timestamp
    created_at: Timestamp

    def terms_of(self, dataset: str) -> DatasetTerms | None:
        """Return the terms of a dataset, or None when the document does not name it."""
        return next((terms for terms in self.datasets if terms.dataset == dataset), None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.owner.identity == self.partner.identity:
            raise ValueError("owner and partner are one identity")
        names = [terms.dataset for terms in self.datasets]
        if len(set(names)) != len(names) or len(set(self.purpose)) != len(self.purpose):
            raise ValueError("an entry stands twice")
        if parse_timestamp(self.valid_from) >= parse_timestamp(self.valid_until):
            raise ValueError("valid_until is not after valid_from")
        return self


class Revocation(Document):
    """The end of an agreement, signed by either of its parties."""

    KIND: ClassVar[str] = "revocation"

    version: Literal[1] = 1
    agreement: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    agreement_digest: Digest
    revoked_at: Timestamp


def _names(columns: Sequence[KeyColumn | ReleasedColumn | ValueColumn | GroupColumn]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
