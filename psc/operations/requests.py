"""What a user asks for: one request type an operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast, get_args

from psc.engines import DEFAULT
from psc.errors import UsageError
from psc.operations.anyof import AnyOf, On
from psc.operations.select import Output
from psc.types import Membership, Model, OperationName, OutputTo

__all__ = ["Aggregate", "Count", "GroupBy", "Match", "On", "Request", "Select", "group_side"]

Select = Output | Sequence["Output | tuple[Output, ...]"]
GroupBy = str | Sequence[str]


@dataclass(frozen=True)
class _Asked:
    """What all operations have in common.

    Attributes:
        source: the own table: a path or URL (CSV, Parquet, partitioned folder), or anything with ``__arrow_c_stream__``.
        on: the key: a name that both sides use, several names (a composite key), or a mapping of the dataset's key names
            to own columns.
        dataset: the partner's dataset.
        purpose: why; must be one of the agreement's purposes.
        output_to: ``receiver`` (only we learn the result) or ``both``; an aggregate may also go to the ``responder`` alone.
        on_bad: ``error`` refuses a table with bad key cells; ``skip`` leaves such rows out and counts them.
        rejects: with ``skip``, a file that gets row, class and masked value of every row left out.
        minimum_result: our own minimum; the stricter of this and the agreement's counts. ``None``: the agreement's.
    """

    OPERATION: ClassVar[OperationName]

    source: object = field(repr=False)  # a frame would print its rows
    _: KW_ONLY
    on: On
    dataset: str
    purpose: str
    output_to: OutputTo = "receiver"
    on_bad: Literal["error", "skip"] = "error"
    rejects: str | Path | None = None
    minimum_result: int | None = None


@dataclass(frozen=True)
class Match(_Asked):
    """Which of our rows match, and for these the partner's released columns named in ``want``.

    ``psc.Match("orders.csv", on={"phone": "mobile"}, dataset="parcels", purpose="claims", want=["status"])``

    Attributes:
        source: the own table: a path or URL (CSV, Parquet, partitioned folder), or anything with ``__arrow_c_stream__``.
        on: the key: a name that both sides use, several names (a composite key), or a mapping of the dataset's key names
            to own columns; or ``psc.any_of(...)`` of several of these, the preferred one first.
        dataset: the partner's dataset.
        purpose: why; must be one of the agreement's purposes.
        output_to: ``receiver`` (only we learn the result) or ``both``.
        on_bad: ``error`` refuses a table with bad key cells; ``skip`` leaves such rows out and counts them.
        rejects: with ``skip``, a file that gets row, class and masked value of every row left out.
        minimum_result: our own minimum; the stricter of this and the agreement's counts. ``None``: the agreement's.
        want: the partner's columns.
        protocol: ``auto`` takes the quicker of ``vole-psi`` and ``dh-psi`` for the sizes.
        model: ``malicious`` withstands a partner that departs from the protocol; it is there for matches without columns whose
            result goes to us alone, by ``vole-psi``. ``auto`` takes it where that is so, ``semi-honest`` elsewhere.
        resume: go on with a match of the same that broke off in the last two days, after the shards that both sides kept. Only
            matches of more than about a million keys have several.
    """

    OPERATION: ClassVar[OperationName] = "match"

    want: Sequence[str] = field(default=(), kw_only=True)
    protocol: Literal["auto", "dh-psi", "vole-psi"] = field(default="auto", kw_only=True)
    model: Literal["auto"] | Model = field(default="auto", kw_only=True)
    resume: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if self.protocol not in ("auto", "dh-psi", "vole-psi") or self.model not in ("auto", *get_args(Model)):
            raise UsageError("operations.no-such-protocol", protocol=self.protocol, model=self.model)
        object.__setattr__(self, "want", (self.want,) if isinstance(self.want, str) else tuple(self.want))
        if self.model == "malicious" and (self.want or self.output_to != "receiver"):
            raise UsageError("session.malicious-match-one-sided")
        if self.model == "malicious" and self.protocol == "dh-psi":
            raise UsageError("operations.model-needs-vole-psi")

    @property
    def strongest_model(self) -> Model:
        """The strongest adversary model that this match can withstand."""
        one_sided = not self.want and self.output_to == "receiver" and self.protocol != "dh-psi"
        return "malicious" if one_sided and self.model != "semi-honest" else "semi-honest"


@dataclass(frozen=True)
class Count(_Asked):
    """How many distinct keys both hold.

    ``psc.Count("orders.csv", on={"phone": "mobile"}, dataset="parcels", purpose="claims")``

    Attributes:
        source: the own table: a path or URL (CSV, Parquet, partitioned folder), or anything with ``__arrow_c_stream__``.
        on: the key: a name that both sides use, several names (a composite key), or a mapping of the dataset's key names
            to own columns.
        dataset: the partner's dataset.
        purpose: why; must be one of the agreement's purposes.
        output_to: ``receiver`` (only we learn the result) or ``both``.
        on_bad: ``error`` refuses a table with bad key cells; ``skip`` leaves such rows out and counts them.
        rejects: with ``skip``, a file that gets row, class and masked value of every row left out.
        minimum_result: our own minimum; the stricter of this and the agreement's counts. ``None``: the agreement's.
    """

    OPERATION: ClassVar[OperationName] = "count"

    def __post_init__(self) -> None:
        _one_key(self)


@dataclass(frozen=True)
class Aggregate(_Asked):
    """Counts, sums, means, variances and histograms over the customers that both have, by groups of either side.

    ``psc.Aggregate("orders.csv", on="phone", dataset="parcels", purpose="claims", select=psc.sum("fee"), group_by="city")``

    Attributes:
        source: the own table: a path or URL (CSV, Parquet, partitioned folder), or anything with ``__arrow_c_stream__``.
        on: the key: a name that both sides use, several names (a composite key), or a mapping of the dataset's key names
            to own columns.
        dataset: the partner's dataset.
        purpose: why; must be one of the agreement's purposes.
        output_to: ``receiver`` (only we learn the result), ``both``, or ``responder`` (the partner alone).
        on_bad: ``error`` refuses a table with bad key cells; ``skip`` leaves such rows out and counts them.
        rejects: with ``skip``, a file that gets row, class and masked value of every row left out.
        minimum_result: our own minimum; the stricter of this and the agreement's counts. ``None``: the agreement's.
        select: one output or several: ``psc.count()``, ``psc.sum("fee")``, ``psc.mean("fee")``, ``psc.histogram("fee", [0, 9])``.
        group_by: names of group columns, of the partner's dataset or of the own table; where both have the name it is the
            partner's. ``own:NAME`` and ``theirs:NAME`` say which.
        membership: ``hidden``: nobody learns which customers match; ``owner``: the partner learns which of its customers do, when
            the agreement allows it, and minimum sizes and noise are its to enforce; ``matcher``: we learn which of ours do, when
            the agreement allows it. With the last two weighted sums are possible.
        minimum_group: our own minimum of customers in a group; the stricter of this and the agreement's counts.
        engine: the encryption that adds up under ``hidden`` and ``matcher``; see ``psc.engines``.
    """

    OPERATION: ClassVar[OperationName] = "aggregate"

    select: Select = field(default=(), kw_only=True)
    group_by: GroupBy = field(default=(), kw_only=True)
    membership: Membership = field(default="hidden", kw_only=True)
    minimum_group: int | None = field(default=None, kw_only=True)
    engine: str = field(default=DEFAULT, kw_only=True)

    def __post_init__(self) -> None:
        _one_key(self)
        chosen = (self.select,) if isinstance(self.select, Output) else tuple(self.select)
        outputs = [output for entry in chosen for output in (entry if isinstance(entry, tuple) else (entry,))]
        if not outputs or not all(isinstance(output, Output) for output in outputs):
            raise UsageError("operations.select-empty")
        names = [output.name for output in outputs]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UsageError("operations.select-twice", name=twice[0])
        scales = {(output.weight, output.weight_scale) for output in outputs if output.weight is not None}
        if len({weight for weight, _ in scales}) < len(scales):
            raise UsageError("operations.weight-scales")
        groups = (self.group_by,) if isinstance(self.group_by, str) else tuple(self.group_by)
        if len(set(groups)) != len(groups):
            raise UsageError("operations.group-twice", names=", ".join(groups))
        object.__setattr__(self, "select", tuple(outputs))
        object.__setattr__(self, "group_by", groups)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What is asked, one entry a column of the result."""
        return cast("tuple[Output, ...]", self.select)


Request = Match | Count | Aggregate


def group_side(name: str) -> tuple[str, str]:
    """Return the side that ``own:`` or ``theirs:`` before a group's name says, empty for none, and the bare name."""
    side, separator, bare = name.partition(":")
    return (side, bare) if separator and side in ("own", "theirs") else ("", name)


def _one_key(request: _Asked) -> None:
    # How many keys are common by any of several would take the rows of both sides: who has which keys together.
    if isinstance(request.on, AnyOf):
        raise UsageError("operations.any-of-match-only", operation=request.OPERATION)
