"""The initiator's own table: read, normalised, and bound to the plan that showed it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items
from psc.data.groups import Labels, group_labels
from psc.data.keys import Keyed, KeyUse, prepare_alternatives
from psc.data.table import Source, load
from psc.data.values import OwnWeights, own_weights
from psc.errors import DataError, UsageError
from psc.operations.anyof import alternatives_of
from psc.operations.requests import Aggregate, Request, group_side
from psc.policy.decide import RunRequest
from psc.types import GroupColumn

__all__ = ["OwnGroups", "OwnTable", "group_sides", "prepare_own", "source_state"]


def source_state(source: str) -> object | None:
    """Return what tells whether a local file or folder was changed since: sizes and times; ``None`` for anything else."""
    if "://" in source:
        return None
    path = Path(source)
    with contextlib.suppress(OSError):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        stats = [(str(file), file.stat()) for file in files if file.is_file()]
        return tuple((name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in stats)
    return None


@dataclass(frozen=True, repr=False)
class OwnGroups:
    """The own side's groups: its group columns, the labels of each group, and for each key the index of its group."""

    columns: tuple[str, ...]
    labels: Labels
    index: NDArray[np.int32]


@dataclass(frozen=True, repr=False)
class OwnTable:
    """The own table as a plan read it; ``check_unchanged`` refuses to run on anything else.

    An aggregate's has the group of each key, and the weights of each key when sums are weighted. ``keyed`` are its keys;
    ``further`` those of each further alternative of a match by any of several keys.
    """

    source: Source
    keyed: Keyed
    origin: object
    state: object
    groups: OwnGroups = OwnGroups((), ((),), np.zeros(0, np.int32))
    weights: tuple[OwnWeights, ...] = ()
    further: tuple[Keyed, ...] = ()

    @property
    def alternatives(self) -> tuple[Keyed, ...]:
        """The keys of each alternative, the preferred one first."""
        return (self.keyed, *self.further)

    @property
    def key_count(self) -> int:
        """How many distinct keys there are, of all alternatives together."""
        return sum(keyed.key_count for keyed in self.alternatives)

    def without_items(self) -> OwnTable:
        """Return the table for a run of which only the result is left to make; its keys are gone, and ``key_count`` is 0."""
        keyed, *further = (replace(each, items=Items.from_list([])) for each in self.alternatives)
        return replace(self, keyed=keyed, further=tuple(further))

    def check_unchanged(self) -> None:
        """Refuse a table that changed after the plan was shown.

        Raises:
            DataError: the file was written, or the frame in memory was changed.
        """
        if _state_of(self.origin, self.source) != self.state:
            raise DataError("operations.own-table-changed", file=self.source.name)


def prepare_own(request: Request, asked: RunRequest, granted: Sequence[GroupColumn], region: str) -> OwnTable:
    """Read the request's table, its keys, and for an aggregate its groups and weights.

    Args:
        request: names the table and the columns.
        asked: the same in the partner's terms; has the kinds of the keys of ``request.on``.
        granted: the partner's groups that its agreements on the dataset grant.
        region: region of national phone numbers.

    Raises:
        DataError: a file, column, row or cell is not what it should be; the text names the place.
        StorageError: the rejects file cannot be written.
    """
    source = load(request.source)
    named = zip(asked.keys, alternatives_of(request.on), strict=True)
    alternatives = [[KeyUse(key.name, columns[key.name], key.kind) for key in keys] for keys, columns in named]
    rejects = Path(request.rejects) if request.rejects is not None else None
    keyed, *further = prepare_alternatives(source, alternatives, region=region, on_bad=request.on_bad, rejects=rejects)
    uses = alternatives[0]
    own = OwnTable(source, keyed, request.source, _state_of(request.source, source), further=tuple(further))
    if not isinstance(request, Aggregate):
        return own
    columns_of_groups = _own_group_columns(request, granted, keyed.table.column_names)
    of_keys = (keyed.row_of, keyed.group_of_row, keyed.key_count)
    labels, index = group_labels(source, columns_of_groups, *of_keys, uses=uses)
    labels = labels or (("",) * len(columns_of_groups),)  # of no key there is still a group, empty
    weighted = {output.weight: output.weight_scale for output in request.outputs if output.weight is not None}
    weights = [own_weights(source, name, *of_keys, scale=scale or None) for name, scale in weighted.items()]
    return replace(own, groups=OwnGroups(columns_of_groups, labels, index), weights=tuple(weights))


def group_sides(request: Aggregate, theirs: Sequence[GroupColumn]) -> list[tuple[str, bool]]:
    """Return for each group of a request its bare name, and whether it is the own side's: what is not the partner's is own."""
    known = {group.name for group in theirs}
    found = []
    for name in request.group_by:
        side, bare = group_side(name)
        found.append((bare, side == "own" if side else bare not in known))
    return found


def _own_group_columns(request: Aggregate, granted: Sequence[GroupColumn], columns: Sequence[str]) -> tuple[str, ...]:
    chosen = [name for name, is_own in group_sides(request, granted) if is_own]
    for name in chosen:
        if name not in columns:
            own = ", ".join(columns)
            if name not in request.group_by:  # own:NAME, which cannot mean a group of the partner
                raise UsageError("operations.group-not-own", name=name, own=own)
            theirs = ", ".join(sorted(group.name for group in granted))
            raise UsageError("operations.group-unknown", name=name, theirs=theirs, own=own)
    return tuple(chosen)


def _state_of(origin: object, source: Source) -> object:
    if isinstance(origin, str | os.PathLike):
        return source_state(str(origin))
    return source.fingerprint()  # a frame in memory can be changed in place
