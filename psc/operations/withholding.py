"""What the rule of withheld cells of ``dh-sum`` rests on: how the groups of both sides are made of their columns.

Two cells of one label are in one line of the table, and from a line's margin a single withheld cell of it follows. So whoever
withholds cells must know which groups have a label in common: by their names where it is told these, else by numbers that
stand for them (``psc.data.groups.places_of``). What the responder sends of its groups is read before the initiator sends
anything: a refusal that came later would tell the responder about counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from psc.data.groups import places_of
from psc.errors import MalformedMessageError
from psc.operations.table import labels_of
from psc.policy.release import estimate, suppress_blocks
from psc.protocols.cells import CellRule, Withhold, are_places
from psc.types import canonical_json

if TYPE_CHECKING:
    from psc.data.groups import Labels
    from psc.operations.play import RunShape
    from psc.session.hello import AggregateTerms

__all__ = ["place_bytes", "their_labels", "their_places", "withhold"]


def withhold(own: Labels, shape: RunShape, dummies: int) -> Withhold:
    """Return what makes the rule of withheld cells from what the responder sent of its groups.

    Args:
        own: labels of the initiator's groups.
        shape: the run.
        dummies: D of each cell, that counts have D/2 of in the mean.
    """

    def from_names(names: tuple[bytes, ...]) -> CellRule:
        told = shape.output_to != "responder"
        theirs = their_labels(names, shape.terms) if told else their_places(names, shape.terms)

        def rule(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
            return suppress_blocks(np.maximum(estimate(counts, dummies), 0), own, theirs, shape.terms.minimum_group)

        return rule

    return from_names


def their_labels(names: Sequence[bytes], terms: AggregateTerms) -> Labels:
    """Read the names of the responder's groups; more labels of a column than are registered would make a table too large.

    Raises:
        MalformedMessageError: they are no names, or there are too many.
    """
    labels = labels_of(names, len(terms.groups))
    if any(len(set(column)) > group.groups for group, column in zip(terms.groups, zip(*labels, strict=True), strict=True)):
        raise MalformedMessageError("session.message-malformed", what="a group column has more labels than agreed")
    return labels


def place_bytes(labels: Labels) -> tuple[bytes, ...]:
    """Return what an initiator that does not learn the result is told of groups: how they are made of columns, as JSON."""
    return tuple(canonical_json(list(place)) for place in places_of(labels))


def their_places(names: Sequence[bytes], terms: AggregateTerms) -> tuple[tuple[int, ...], ...]:
    """Read how the responder's groups are made of columns.

    Raises:
        MalformedMessageError: it is not what ``place_bytes`` makes of as many columns, with no more labels than agreed.
    """
    found = []
    for raw in names:
        try:
            place = json.loads(raw)
        except (ValueError, RecursionError):
            place = None
        numbers = place if isinstance(place, list) else [None]
        fits = len(numbers) == len(terms.groups) and all(type(number) is int for number in numbers)
        if not fits or canonical_json(numbers) != raw:
            raise MalformedMessageError("session.message-malformed", what="the place of a group is not what it should be")
        found.append(tuple(numbers))
    columns = zip(*found, strict=True)
    few = are_places(found) and all(max(column) < group.groups for group, column in zip(terms.groups, columns, strict=True))
    if not few:
        raise MalformedMessageError("session.message-malformed", what="the places of groups do not belong together")
    return tuple(found)
