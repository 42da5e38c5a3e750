"""The key of a request as users write it: one column, several as one key, or any of several keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psc.errors import UsageError
from psc.types import ALTERNATIVES_MAX

__all__ = ["AnyOf", "On", "OneKey", "alternatives_of", "any_of", "key_names"]

OneKey = str | Sequence[str] | Mapping[str, str]
"""One key: a name that both sides use, several names (a composite key), or a mapping of the dataset's names to own columns."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Alternative keys of a match, by rank; made by ``any_of``.

    Attributes:
        alternatives: for each key the pairs of the dataset's key name and the own column, the preferred key first.
    """

    alternatives: tuple[tuple[tuple[str, str], ...], ...]


On = OneKey | AnyOf


def any_of(*keys: OneKey) -> AnyOf:
    """Let rows match by any of several keys: by the first that matches.

    ``courier.match(orders, on=psc.any_of({"phone": "mobile"}, {"email": "mail"}, ["name", "zip"]), ...)``

    The match is made by each key, one after the other, over all rows that have it; a row with a blank cell in one key still
    matches by another. An own row takes the partner's rows of the first key by which it matches, and the column
    ``psc_matched_by`` of the result says which that was.

    Args:
        keys: 2 to 4 keys, the preferred one first; each as ``on`` takes one alone. No two may have the same key names of the
            dataset.

    Raises:
        UsageError: there are fewer or more, one is empty or is no key, or two are the same.

    Leakage:
        More than a match by one key: the asking side learns by which of its keys each row matches, also by those that it does
        not use; with ``output_to="both"`` the partner learns the same of its own rows.
    """
    if not 2 <= len(keys) <= ALTERNATIVES_MAX:
        raise UsageError("operations.any-of-count", count=len(keys), limit=ALTERNATIVES_MAX)
    found = []
    for number, key in enumerate(keys, start=1):
        pairs = tuple(key_names(key).items()) if isinstance(key, str | Sequence | Mapping) else ()
        if not pairs or not all(isinstance(text, str) and text for pair in pairs for text in pair):
            raise UsageError("operations.any-of-key", number=number)
        found.append(pairs)
    labels = ["+".join(sorted(name for name, _ in pairs)) for pairs in found]
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError("operations.any-of-twice", key=label)
    return AnyOf(tuple(found))


def key_names(on: OneKey) -> dict[str, str]:
    """Return the mapping of the dataset's key names to own columns, in the order given."""
    if isinstance(on, str):
        return {on: on}
    if isinstance(on, Mapping):
        return dict(on)
    return {name: name for name in on}


def alternatives_of(on: On) -> tuple[dict[str, str], ...]:
    """Return for each key of a request, the preferred one first, what ``key_names`` says of it."""
    if isinstance(on, AnyOf):
        return tuple(dict(pairs) for pairs in on.alternatives)
    return (key_names(on),)
