"""The small languages of option values that belong to runs: ``courier/parcels``, ``phone=mobile``, ``match,count``.

How a dataset's columns are declared (``phone=mobile:phone``) is ``psc.node.specs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

from psc.errors import UsageError
from psc.texts import is_plain

__all__ = ["OnBad", "OutputTo", "Target", "comma_list", "parse_on", "parse_target", "parse_want"]

_NAME_MAX = 64


class OnBad(StrEnum):
    """What a key cell that is none does: it ends the work, or its row is left out."""

    error = "error"
    skip = "skip"


class OutputTo(StrEnum):
    """Who learns the result: the initiator alone, or both."""

    receiver = "receiver"
    both = "both"


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


def parse_on(texts: Sequence[str]) -> dict[str, str]:
    """Read the keys of a run: each ``NAME=COLUMN``, or ``NAME`` when our column has the same name.

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
            raise UsageError("cli.option-form", option="--key", value=text, form="NAME=COLUMN", example="phone=mobile")
        _check_name("--key", name)
        if name in found:
            raise UsageError("cli.option-twice", option="--key", name=name)
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


def _check_name(option: str, name: str) -> None:
    if len(name) > _NAME_MAX or not is_plain(name):
        raise UsageError("cli.name-wrong", option=option, name=name[:_NAME_MAX], limit=_NAME_MAX)


def comma_list(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the entries of an option that may be repeated and may hold several entries with commas, none twice."""
    entries = [entry.strip() for text in texts for entry in text.split(",")]
    return tuple(dict.fromkeys(entry for entry in entries if entry))
