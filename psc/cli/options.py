"""The small languages of option values that belong to runs: ``courier/parcels``, ``phone=mobile``, ``sum:fee``, ``match,count``.

How a dataset's columns are declared (``phone=mobile:phone``) is ``psc.node.specs``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, get_args

from psc.errors import UsageError
from psc.texts import is_plain

if TYPE_CHECKING:
    from psc.operations.anyof import On
    from psc.operations.select import Output

__all__ = [
    "AggregateOutputTo",
    "MatchModel",
    "MatchProtocol",
    "OnBad",
    "OutputTo",
    "Target",
    "WhoMatches",
    "comma_list",
    "parse_any_of",
    "parse_group_by",
    "parse_on",
    "parse_select",
    "parse_target",
    "parse_want",
]

_NAME_MAX = 64
_SIDES = ("own", "theirs")
_PER = ("row", "customer")
_SELECT_FORMS = {
    "count": "count, count:COLUMN, count:COLUMN:customer",
    "rows": "rows",
    "sum": "sum:COLUMN",
    "mean": "mean:COLUMN, mean:COLUMN:customer",
    "var": "var:COLUMN, var:COLUMN:customer",
    "std": "std:COLUMN, std:COLUMN:customer",
    "histogram": "histogram:COLUMN:EDGES, histogram:COLUMN:EDGES:customer",
    "weighted_sum": "weighted_sum:OWN*COLUMN, weighted_sum:OWN*COLUMN:SCALE",
}
"""What ``--select`` takes, by its first word."""

_AVERAGES = ("avg", "average")

_BETWEEN_OUTPUTS = re.compile(rf",(?=\s*(?:{'|'.join((*_SELECT_FORMS, *_AVERAGES))})\s*(?:[:,]|$))")
"""A comma before the first word of an output; the edges of a histogram have commas of their own."""


class OnBad(StrEnum):
    """What a key cell that is none does: it ends the work, or its row is left out."""

    error = "error"
    skip = "skip"


class OutputTo(StrEnum):
    """Who learns the result: the initiator alone, or both."""

    receiver = "receiver"
    both = "both"


class AggregateOutputTo(StrEnum):
    """Who learns an aggregate: the initiator alone, the partner alone, or both."""

    receiver = "receiver"
    responder = "responder"
    both = "both"


class MatchProtocol(StrEnum):
    """By which protocol a match is run; ``auto`` takes the quicker one."""

    auto = "auto"
    dh_psi = "dh-psi"
    vole_psi = "vole-psi"


class MatchModel(StrEnum):
    """Which partner a match withstands; ``auto`` takes the stronger one where the protocol taken has it for this match."""

    auto = "auto"
    semi_honest = "semi-honest"
    malicious = "malicious"


class WhoMatches(StrEnum):
    """What an aggregate shows of who is in both sets: nothing to anyone, or which of its customers to one side."""

    hidden = "hidden"
    owner = "owner"
    matcher = "matcher"


@dataclass(frozen=True, slots=True)
class Target:
    """A partner and one of its datasets."""

    partner: str
    dataset: str


def parse_target(text: str) -> Target:
    """Read ``PARTNER/DATASET``.

    Raises:
        UsageError: it has another form.
    """
    partner, slash, dataset = text.partition("/")
    if not (partner and slash and dataset) or "/" in dataset:
        raise UsageError("cli.target-wrong", target=text)
    return Target(partner, dataset)


def parse_any_of(texts: Sequence[str], further: Sequence[str]) -> On:
    """Read the keys of a match: those of ``--key`` as one key, and every ``--or-key`` as another, with commas when composite.

    Returns:
        The mapping that ``parse_on`` gives where there is no other key; else the alternatives, that of ``--key`` first.

    Raises:
        UsageError: as for ``parse_on``; or there are too many keys, or two that are the same.
    """
    first = parse_on(texts)
    if not further:
        return first
    from psc.operations.anyof import any_of

    return any_of(first, *(parse_on([part.strip() for part in text.split(",")], "--or-key") for text in further))


def parse_on(texts: Sequence[str], option: str = "--key") -> dict[str, str]:
    """Read the columns of one key: each ``NAME=COLUMN``, or ``NAME`` when our column has the same name.

    Args:
        texts: one entry a column.
        option: where they stand, for the errors.

    Returns:
        Our column by the dataset's key name, in the order given.

    Raises:
        UsageError: one has another form or a kind, a name cannot be a key's, or comes twice.
    """
    from psc.types import KeyKind  # here, for it brings pydantic with it, which --help does not need

    found: dict[str, str] = {}
    for text in texts:
        name, equals, column = text.partition("=")
        if not equals:
            column = name
        head, colon, kind = column.rpartition(":")
        if colon and kind in get_args(KeyKind):  # as psc dataset add writes it
            name = name if equals else head
            raise UsageError("cli.key-has-kind", value=text, name=name, column=head)
        if not (name and column):
            raise UsageError("cli.option-form", option=option, value=text, form="NAME=COLUMN", example="phone=mobile")
        _check_name(option, name)
        if name in found:
            raise UsageError("cli.option-twice", option=option, name=name)
        found[name] = column
    return found


def parse_want(texts: Iterable[str]) -> tuple[str, ...]:
    """Read the columns that are wanted of the partner, each once.

    Raises:
        UsageError: a name cannot be a column's.
    """
    names = comma_list(texts)
    for name in names:
        _check_name("--want", name)
    return names


def parse_select(texts: Sequence[str]) -> tuple[Output, ...]:
    """Read the outputs of an aggregate.

    ===========================================  ====================================================================
    ``count``                                    customers that both have
    ``rows``                                     the partner's rows of these customers
    ``count:fee``, ``count:fee:customer``        rows with a value in ``fee``; customers who have one
    ``sum:fee``                                  the sum over these rows
    ``mean:fee``, ``var:fee``, ``std:fee``       over rows; with ``:customer`` at the end over customers' totals
    ``histogram:fee:0,10,50``                    rows with a value in [0, 10) and in [10, 50]; ``:customer`` as above
    ``weighted_sum:rate*fee``                    own ``rate`` × ``fee`` over pairs of rows; ``:2`` for two decimals of ``rate``
    ===========================================  ====================================================================

    Returns:
        One entry a column of the result, in the order given; a histogram makes several.

    Raises:
        UsageError: one has another form; each kind of mistake has its own code.
    """
    outputs: list[Output] = []
    for text in texts:
        outputs += _output(text)
    return tuple(outputs)


def _output(text: str) -> Sequence[Output]:
    from psc.operations import select  # here, for it brings pyarrow with it, which --help does not need

    several = _BETWEEN_OUTPUTS.split(text)
    if len(several) > 1:
        form = " ".join(f"--select {shlex.quote(one.strip())}" for one in several)
        raise UsageError("cli.select-commas", value=text, form=form)
    function, *parts = (part.strip() for part in text.split(":"))
    if function in _AVERAGES:
        raise UsageError("cli.select-average", value=text, form=":".join(["mean", *(parts or ["COLUMN"])]))
    if function not in _SELECT_FORMS:
        raise UsageError("cli.select-function", value=text, known=", ".join(_SELECT_FORMS))
    if function == "weighted_sum":
        return [_weighted_sum(text, parts)]
    if function == "rows" or (function == "count" and not parts):
        _no_more(text, function, parts)
        return [select.count(per="row" if function == "rows" else "customer")]
    column = _column(text, function, parts)
    if function == "sum":
        _no_more(text, function, parts[1:])
        return [select.sum_of(column)]
    if function == "histogram":
        edges = _edges(text, parts)
        return select.histogram(column, edges, per=_per(text, function, parts[2:]))  # type: ignore[arg-type]  # checked
    made: dict[str, Callable[..., Output]] = {
        "count": select.count,
        "mean": select.mean,
        "var": select.var,
        "std": select.std,
    }
    return [made[function](column, per=_per(text, function, parts[1:]))]


def _column(text: str, function: str, parts: Sequence[str]) -> str:
    if not (parts and parts[0]):
        raise UsageError("cli.select-column", value=text, form=_SELECT_FORMS[function])
    _check_name("--select", parts[0])
    return parts[0]


def _per(text: str, function: str, parts: Sequence[str]) -> str:
    _no_more(text, function, parts[1:])
    if parts and parts[0] not in _PER:
        raise UsageError("cli.select-per", value=text, part=parts[0], form=_SELECT_FORMS[function])
    return parts[0] if parts else "row"


def _edges(text: str, parts: Sequence[str]) -> list[str]:
    from decimal import Decimal, InvalidOperation
    from itertools import pairwise

    edges = [edge.strip() for edge in parts[1].split(",")] if len(parts) > 1 else []
    try:
        numbers = [Decimal(edge) for edge in edges]
    except InvalidOperation:
        numbers = []
    finite = all(number.is_finite() for number in numbers)
    if len(numbers) < 2 or not finite or not all(low < high for low, high in pairwise(numbers)):
        raise UsageError("cli.select-edges", value=text, column=parts[0])
    return edges


def _weighted_sum(text: str, parts: Sequence[str]) -> Output:
    from psc.operations.select import weighted_sum

    form = _SELECT_FORMS["weighted_sum"]
    weight, times, column = (part.strip() for part in parts[0].partition("*")) if parts else ("", "", "")
    if not (weight and times and column):
        raise UsageError("cli.select-weight", value=text, form=form)
    _no_more(text, "weighted_sum", parts[2:])
    _check_name("--select", weight)
    _check_name("--select", column)
    if len(parts) > 1 and not re.fullmatch("[0-9]", parts[1]):
        raise UsageError("cli.select-scale", value=text, part=parts[1])
    return weighted_sum(weight, column, scale=int(parts[1]) if len(parts) > 1 else 0)


def _no_more(text: str, function: str, parts: Sequence[str]) -> None:
    if parts:
        raise UsageError("cli.select-part", value=text, part=":".join(parts), form=_SELECT_FORMS[function])


def parse_group_by(texts: Iterable[str]) -> tuple[str, ...]:
    """Read the group columns of an aggregate: ``city``, ``own:tier``, ``theirs:city``, each once.

    Raises:
        UsageError: a name cannot be a column's, or a side is none.
    """
    names = comma_list(texts)
    for name in names:
        side, colon, rest = name.partition(":")
        if colon and (side not in _SIDES or not rest):
            raise UsageError("cli.group-side", value=name, name=rest or "city")
        _check_name("--group-by", rest if colon else name)
    return names


def _check_name(option: str, name: str) -> None:
    if len(name) > _NAME_MAX or not is_plain(name):
        raise UsageError("cli.name-wrong", option=option, name=name[:_NAME_MAX], limit=_NAME_MAX)


def comma_list(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the entries of an option that may be repeated and may hold several entries with commas, none twice."""
    entries = [entry.strip() for text in texts for entry in text.split(",")]
    return tuple(dict.fromkeys(entry for entry in entries if entry))
