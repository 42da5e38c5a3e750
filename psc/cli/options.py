"""The small languages of option values that belong to runs: ``courier/parcels``, ``phone=mobile``, ``match,count``.

How a dataset's columns are declared (``phone=mobile:phone``) is ``psc.node.specs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from psc.errors import UsageError

__all__ = ["OnBad", "OutputTo", "Target", "comma_list", "parse_on", "parse_target"]


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
        UsageError: one has another form, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, column = text.partition("=")
        if not equals:
            column = name
        if not (name and column):
            raise UsageError("cli.option-form", option="--key", value=text, form="NAME=COLUMN", example="phone=mobile")
        if name in found:
            raise UsageError("cli.option-twice", option="--key", name=name)
        found[name] = column
    return found


def comma_list(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the entries of an option that may be repeated and may hold several entries with commas, none twice."""
    entries = [entry.strip() for text in texts for entry in text.split(",")]
    return tuple(dict.fromkeys(entry for entry in entries if entry))
