"""Which cells of a table of groups are withheld: those that are too small, and those that would give a small one away.

A cell with fewer common customers than the minimum is withheld, and so is one with none: that a group has nobody in common is
news about everybody in it. A withheld cell must not follow from the rest. The reader may know every *margin* of the table
too (its total, and the sums over any of its axes: the same question asked without that group column), so more cells are
withheld until two conditions hold.

*Joint count.* In every margin none of the cells is withheld, or all are, or at least two whose counts together reach the
minimum. (Where all are withheld and stay below the minimum, the margin is too small itself and is not shown when asked for.)

*Swap.* Every withheld cell is a corner of a box with two positions on every axis, all of whose 2^n corners are withheld.
Adding one customer to every second corner and taking one from the others changes no margin and no shown cell: so no equations
in margins and shown cells fix the cell. Where it can be had, every second corner holds a customer to take away; then the
changed table is a possible one too, and knowing that counts are not negative does not fix the cell either. (It cannot be
had for a cell of which the empty margins of the table alone say too much. And where combinations of labels do not occur, as
with nested columns, a cell may have no box: then the first condition alone holds.)

The extra cells are chosen greedily: fewest first, then smallest joint count, then first in the table. One result is protected
by this against its own margins. It is not protected against a reader who compares results over different customers or with
other group columns, who knows counts from elsewhere, or who reasons about the greedy choice; interval bounds on withheld
cells remain (a cell withheld for its size is below the minimum). What bounds those is noise and the runs a day.

References:
    Hundepool et al.: Statistical Disclosure Control (2012), chapter 4; Cox: Suppression Methodology and Statistical
    Disclosure Control. JASA 75 (1980).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.errors import UsageError

__all__ = ["COMBINATIONS_MAX", "WORK_MAX", "check_table", "suppress", "suppress_blocks"]

COMBINATIONS_MAX = 1 << 24
"""The most combinations of labels of all group columns, whether they occur or not."""

WORK_MAX = 1 << 27
"""The most work of the search: cells · (cells + 1,024) · 2^axes, the pairs of cells and what each subset of axes costs at least.
1,024 cells on six axes reach it, and take some seconds."""

Label = tuple[str, ...] | tuple[int, ...]
"""The labels of a block, or numbers in their place, one a group column."""

_Marks = NDArray[np.bool_]
_Counts = NDArray[np.int64]

_CELL = 1 << 45
"""Weighs a cell against a count in one number: a table has fewer than 2^44 customers, and a box fewer than 2^17 corners."""

_NO_BOX = np.iinfo(np.int64).max

_PAIRS = 1 << 20
"""Pairs of cells that are looked at in one array operation."""


def check_table(axes: Sequence[int], cells: int, minimum: int) -> None:
    """Refuse a table that is too large, or whose cells to withhold would take too long to find.

    Args:
        axes: number of labels of each group column, of both parties, or more.
        cells: number of cells, or more.
        minimum: cells with fewer common customers are withheld; with 0 nothing has to be found.

    Raises:
        UsageError: there are more than ``COMBINATIONS_MAX`` combinations, or more than ``WORK_MAX`` work.
    """
    combinations = 1
    for labels in axes:
        combinations *= max(labels, 1)
    if combinations > COMBINATIONS_MAX:
        raise UsageError("policy.table-too-large", combinations=combinations, limit=COMBINATIONS_MAX)
    count = sum(labels > 1 for labels in axes)
    if minimum > 0 and (cells * (cells + 1024)) << count > WORK_MAX:
        raise UsageError("policy.table-too-deep", cells=cells, columns=count)


def suppress_blocks(counts: _Counts, own: Sequence[Label], theirs: Sequence[Label], minimum: int) -> _Marks:
    """Mark the cells to withhold in a table of blocks, where several group columns of a party make one block index.

    Args:
        counts: (own, theirs) common customers of every pair of blocks.
        own: labels of each of one's own blocks, one label a group column; ``((),)`` without groups. Which blocks have a label
            in common is all that counts: numbers do as well.
        theirs: the same of the other party.
        minimum: cells with fewer are withheld; 0 withholds none.

    Returns:
        (own, theirs), true where a cell is withheld. Combinations of labels that no customer has are no cells.

    Raises:
        UsageError: as for ``check_table``.
    """
    rows, columns = (grid.reshape(-1) for grid in np.indices((len(own), len(theirs))))
    axes = [axis[rows] for axis in _places(own)] + [axis[columns] for axis in _places(theirs)]
    return _Table(axes, counts.reshape(-1), minimum).suppress().reshape(counts.shape)


def suppress(counts: NDArray[Any], minimum: int) -> _Marks:
    """Mark the cells to withhold.

    Args:
        counts: common customers of every cell; one axis a group column, none for a single number; each below 2^40.
        minimum: cells with fewer are withheld, empty ones too; 0 withholds none.

    Returns:
        bool of the same shape, true where a cell is withheld. All are when the total is below the minimum.

    Raises:
        UsageError: as for ``check_table``.
    """
    axes = [axis.reshape(-1) for axis in np.indices(counts.shape)]
    return _Table(axes, counts.astype(np.int64).reshape(-1), minimum).suppress().reshape(counts.shape)


class _Table:
    """The cells of a table as a list, so that combinations of labels that do not occur cost nothing."""

    def __init__(self, axes: Sequence[NDArray[np.int64]], counts: _Counts, minimum: int) -> None:
        """Take each cell's place on every axis, and its count. An axis with one label has no margins of its own."""
        lengths = [int(axis.max(initial=0)) + 1 for axis in axes]
        check_table(lengths, len(counts), minimum)
        self.counts, self.minimum = counts, minimum
        self.withheld = np.zeros(len(counts), dtype=np.bool_)
        self.codes: list[NDArray[np.int64]] = []
        size = 1
        for axis, length in zip(axes, lengths):
            if length > 1:
                self.codes.append(axis * size)
                size *= length
        self.cell_of = np.full(size, -1, dtype=np.int32)
        self.cell_of[sum(self.codes, np.zeros(len(counts), dtype=np.int64))] = np.arange(len(counts), dtype=np.int32)

    def suppress(self) -> _Marks:
        if self.minimum > 0:
            self.withheld = (self.counts < self.minimum) | (int(self.counts.sum()) < self.minimum)
            while self._add_boxes() or self._fill_margins():
                pass  # boxes first: they bring their own partners along
        return self.withheld

    def _fill_margins(self) -> bool:
        """Withhold the smallest shown cells of margins with too little withheld; return whether there were any."""
        changed = False
        for kept in reversed(list(_subsets(len(self.codes)))):  # small margins before those that they make up
            _, margin = np.unique(sum((self.codes[axis] for axis in kept), np.zeros_like(self.counts)), return_inverse=True)
            hidden = np.bincount(margin, self.withheld)
            joint = np.bincount(margin, np.where(self.withheld, self.counts, 0))
            shown = np.bincount(margin, ~self.withheld)
            for lacking in np.flatnonzero((hidden > 0) & ((hidden < 2) | (joint < self.minimum)) & (shown > 0)):
                self._fill(np.flatnonzero(margin == lacking))
                changed = True
        return changed

    def _fill(self, cells: NDArray[np.int64]) -> None:
        shown = cells[~self.withheld[cells]]
        for cell in shown[np.argsort(self.counts[shown], kind="stable")]:
            hidden = cells[self.withheld[cells]]
            if len(hidden) >= 2 and int(self.counts[hidden].sum()) >= self.minimum:
                break
            self.withheld[cell] = True

    def _add_boxes(self) -> bool:
        """Give every withheld cell a box of withheld corners; return whether cells were added."""
        before = int(self.withheld.sum())
        cells = np.flatnonzero(self.withheld)
        for at in range(0, len(cells), step := max(1, _PAIRS // len(self.counts))):
            part = cells[at : at + step]
            for cell in part[(self._prices(part).min(axis=1) > 0)]:
                prices = self._prices(np.array([cell]))[0]  # boxes chosen meanwhile are free
                if prices.min() < _NO_BOX:
                    self.withheld[self._corners(cell, prices.argmin())] = True
        return int(self.withheld.sum()) > before

    def _prices(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the box between each of ``cells`` (rows) and each cell (columns) costs: its shown corners; ``_NO_BOX`` for no box.

        Boxes that cannot move a customer do not count where the cell has one that can.
        """
        full = self.counts >= 1
        shape = len(cells), len(self.counts)
        price, usable = np.zeros(shape, dtype=np.int64), np.ones(shape, dtype=np.bool_)
        movable = [np.ones(shape, dtype=np.bool_), np.ones(shape, dtype=np.bool_)]
        for code in self.codes:
            usable &= code[cells][:, None] != code[None, :]
        for far in _subsets(len(self.codes), whole=True):
            near = sum((code[cells] for axis, code in enumerate(self.codes) if axis not in far), np.zeros(len(cells), np.int64))
            corner = self.cell_of[near[:, None] + sum((self.codes[axis] for axis in far), np.zeros_like(self.counts))[None, :]]
            usable &= corner >= 0
            price += np.where(self.withheld, 0, _CELL + self.counts)[corner]
            movable[len(far) % 2] &= full[corner]
        moves = usable & (movable[0] | movable[1])
        wanted = np.where(moves.any(axis=1, keepdims=True), moves, usable)
        return np.where(wanted, price, _NO_BOX)

    def _corners(self, cell: int, opposite: int) -> list[int]:
        return [
            int(self.cell_of[sum(int(code[opposite if axis in far else cell]) for axis, code in enumerate(self.codes))])
            for far in _subsets(len(self.codes), whole=True)
        ]


def _subsets(count: int, *, whole: bool = False) -> Iterator[tuple[int, ...]]:
    """All subsets of ``range(count)`` in a fixed order, with or without the whole set."""
    for bits in range((1 << count) - (not whole)):
        yield tuple(axis for axis in range(count) if bits >> axis & 1)


def _places(labels: Sequence[Label]) -> list[NDArray[np.int64]]:
    """For each group column the position of every block's label among the column's labels."""
    axes = []
    for column in zip(*labels):
        order = {label: at for at, label in enumerate(sorted(set(column)))}
        axes.append(np.array([order[label] for label in column], dtype=np.int64))
    return axes
