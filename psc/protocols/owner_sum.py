"""``owner-sum``: sums by group where the owner of the values may know which items both hold: it matches and sums in the clear.

::

    receiver (items Y, a group and weights each)            sender (items X, a group and values each)
      (dh-psi towards the sender: the *sender* of the sums is dh-psi's receiver, and learns which of its items match)
      RowEntries   one sealed row an item: group, weights  ---->
                                                            table = counts and sums by pair of groups; the owner's rules
      GroupLabels  names of the receiver's groups          ---->     (when the output goes to the sender)
                          <------------  GroupLabels        names of the sender's groups   (when it goes to the receiver)
                          <------------  ReleasedTable      counts, sums, withheld cells   (when it goes to the receiver)

Roles are named as in ``dh-sum``: the *receiver* asks and is given the table, the *sender* owns the values and sends it. Inside,
``dh-psi`` runs the other way round.

Who learns what: the sender learns which of its items are common and, for these, the receiver's group number and weights. The
receiver learns the table that the sender releases, and nothing of which items are common. The owner holds the exact numbers, so
minimum sizes and noise that it applies bind the receiver.

Only here a statistic may be weighted: the sum over common items of the receiver's weight times the sender's value.

Adversary model: semi-honest, as in ``dh-psi`` with the roles exchanged. A receiver that lies about items, groups and weights is
answered within the owner's rules; it can make a run fail depending on the sender's items (a row that does not open or names no
group), one bit a run. A sender that lies falsifies the table and obtains membership of any items that it puts into its set.

Cost for padded sizes N (receiver) and M (sender): as ``dh-psi`` with rows of 4 + 8·w bytes, w weight columns, plus
(8 + 8·c)·cells and the marks back.

References: as for ``dh-psi``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import SUITE, Items, Rng
from psc.errors import EncodingError
from psc.protocols import dh_psi
from psc.protocols.base import CHUNK_BYTES, Message, ProtocolSpec, Script, check_fits, chunks, compute, recv, require, send
from psc.protocols.cells import (
    Sums,
    check_cells,
    check_input,
    check_labels,
    groups_within,
    marks_bytes,
    marks_of,
    recv_labels,
    send_labels,
    weights_within,
    word_bytes,
    words_of,
)
from psc.types import OutputTo

__all__ = [
    "LEAKAGE",
    "SPEC",
    "Params",
    "Release",
    "ReleasedTable",
    "Table",
    "message_bytes",
    "receiver",
    "sender",
]


@dataclass(frozen=True, slots=True)
class ReleasedTable(Message):
    """A piece of the table, cell after cell: marks of withheld cells, counts, sums; withheld cells say 0."""

    withheld: bytes
    counts: bytes
    sums: bytes


@dataclass(frozen=True, slots=True)
class Table:
    """What the owner's rules make of the exact table, or leave of it.

    Attributes:
        counts: (r, s) counts, with noise if there is some.
        sums: (r, s, statistics) sums, with noise if there is some.
        withheld: (r, s) cells that nobody is shown, whatever the other two say there.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    withheld: NDArray[np.bool_]


Release = Callable[[NDArray[np.int64], NDArray[np.int64]], Table]
"""The owner's rules: from exact counts (r, s) and sums (r, s, statistics) to what may be shown."""


@dataclass(frozen=True, slots=True)
class Params:
    """What both sides agreed in the handshake.

    Attributes:
        context: 32 bytes bound to the session, the same for both roles.
        receiver_size: the receiver's padded number of distinct items.
        sender_size: the sender's padded number of distinct items.
        receiver_groups: number of the receiver's groups, at least 1.
        sender_groups: number of the sender's groups, at least 1.
        weight_columns: how many weights each of the receiver's items carries.
        statistics: for each statistic the number of its weight column, or ``None``: not weighted.
        output: who learns the table; ``responder`` is the sender.
        minimum_group: cells with fewer common items are withheld.
        minimum_result: with fewer common items in all, every cell is withheld.
        weight_bounds: for each weight column the largest magnitude; the sender clips what goes beyond. Empty: no bounds.
    """

    context: bytes
    receiver_size: int
    sender_size: int
    receiver_groups: int
    sender_groups: int
    weight_columns: int
    statistics: tuple[int | None, ...]
    output: OutputTo
    minimum_group: int = 0
    minimum_result: int = 0
    weight_bounds: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The table: groups of the receiver, groups of the sender."""
        return self.receiver_groups, self.sender_groups

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.receiver_groups * self.sender_groups

    @property
    def matching(self) -> dh_psi.Params:
        """The parameters of ``dh-psi`` towards the sender."""
        shape = dh_psi.RowShape(self.row_type.itemsize, 1)
        return dh_psi.Params(self.context, self.sender_size, self.receiver_size, shape)

    @property
    def row_type(self) -> np.dtype[np.void]:
        """Layout of the receiver's sealed rows: group number, weights; little-endian."""
        return np.dtype([("group", "<u4"), ("weights", "<i8", (self.weight_columns,))])


LEAKAGE: dict[OutputTo, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "receiver": (
        ("leakage.owner-sum.receiver", "leakage.owner-sum.lying", "leakage.owner-sum.sizes"),
        ("leakage.owner-sum.sender", "leakage.owner-sum.falsify", "leakage.owner-sum.sizes"),
    ),
    "responder": (
        ("leakage.owner-sum.nothing", "leakage.owner-sum.lying", "leakage.owner-sum.sizes"),
        ("leakage.owner-sum.responder", "leakage.owner-sum.falsify", "leakage.owner-sum.sizes"),
    ),
    "both": (
        ("leakage.owner-sum.receiver", "leakage.owner-sum.lying", "leakage.owner-sum.sizes"),
        ("leakage.owner-sum.responder", "leakage.owner-sum.falsify", "leakage.owner-sum.sizes"),
    ),
}
"""Text codes of what the receiver and the sender learn, by whom the output goes to."""

SPEC = ProtocolSpec(
    id="owner-sum",
    version=1,
    suite=SUITE,
    model="semi-honest",
    leakage_receiver=LEAKAGE["receiver"][0],
    leakage_sender=LEAKAGE["receiver"][1],
)


def receiver(
    items: Items,
    groups: NDArray[np.integer[Any]],
    weights: NDArray[np.int64],
    params: Params,
    rng: Rng,
    labels: Sequence[bytes] = (b"",),
) -> Script[Sums | None]:
    """Run the receiver: it gives its items, groups and weights to the matching and is given the table.

    Args:
        items: distinct items, at most ``params.receiver_size``.
        groups: for each item the number of its group.
        weights: (items, weight columns) factors, summed over the item's rows, below 2^32 in absolute value.
        params: as agreed.
        rng: source of the key and of the dummies.
        labels: names of own groups; they are sent when the output goes to the sender.

    Returns:
        The table as the sender released it, when the output goes to the receiver, else nothing.

    Raises:
        UsageError: there are too many cells.
        EncodingError: there are more items than agreed.
        RemoteProtocolError: a message of the sender is malformed or unexpected.

    Leakage:
        The receiver learns what it is sent and the sender's padded size.
    """
    check_cells(*params.shape)
    check_fits(items, params.receiver_size)
    check_labels(labels, params.receiver_groups)
    check_input(weights.shape == (len(items), params.weight_columns) and weights_within(weights), "weights")
    check_input(groups.shape == (len(items),) and groups_within(groups, params.receiver_groups), "groups")
    rows = np.zeros(len(items), dtype=params.row_type)
    rows["group"], rows["weights"] = groups, weights
    numbers = np.arange(len(items), dtype=np.uint32)
    sealed = dh_psi.SenderRows(numbers, np.ones(len(items), dtype=np.uint32), rows.tobytes())
    yield from dh_psi.sender(items, sealed, params.matching, rng)
    if params.output != "receiver":
        yield from send_labels(labels)
    if params.output == "responder":
        return None
    names = yield from recv_labels(params.sender_groups)
    return (yield from _recv_table(params, names))


def sender(
    items: Items,
    groups: NDArray[np.integer[Any]],
    values: NDArray[np.int64],
    labels: Sequence[bytes],
    params: Params,
    rng: Rng,
    release: Release,
) -> Script[Sums | None]:
    """Run the sender: it matches, sums in the clear, and releases what its rules allow.

    Args:
        items: distinct items, at most ``params.sender_size``.
        groups: for each item the number of its group.
        values: (items, statistics).
        labels: names of own groups; they are sent when the output goes to the receiver.
        params: as agreed.
        rng: source of the blind and of the dummies.
        release: suppression and noise; the minimums of ``params`` come on top. Not called when the whole result is too small.

    Returns:
        The released table when the output goes to the sender, else nothing.

    Raises:
        UsageError: there are too many cells.
        EncodingError: there are more items than agreed, or a sum does not fit 64 bits.
        RemoteProtocolError: a message of the receiver is malformed or unexpected.

    Leakage:
        The sender learns which of its items are common and the receiver's group and weights of each.
    """
    check_cells(*params.shape)
    check_fits(items, params.sender_size)
    check_labels(labels, params.sender_groups)
    check_input(values.shape == (len(items), len(params.statistics)), "values")
    check_input(len(params.weight_bounds) in (0, params.weight_columns), "bounds of weights")
    check_input(groups.shape == (len(items),) and groups_within(groups, params.sender_groups), "groups")
    matched = yield from dh_psi.receiver(items, params.matching, rng)
    opened = matched.rows
    if opened is None:
        raise EncodingError("session.rows-missing")
    rows = np.frombuffer(opened.payloads, dtype=params.row_type)
    require(groups_within(rows["group"], params.receiver_groups), "a row names a group that is not there")
    require(weights_within(rows["weights"]), "a weight is out of range")
    cells = rows["group"].astype(np.int64) * params.sender_groups + groups[opened.items]
    weights = _clipped(rows["weights"], params)
    counts, sums = yield from compute(_exact, cells, values[opened.items], weights, params)
    table = yield from compute(_released, counts, sums, params, release)
    names = (yield from recv_labels(params.receiver_groups)) if params.output != "receiver" else ()
    if params.output != "responder":
        yield from send_labels(labels)
        yield from _send_table(table, params)
    return Sums(table.counts, table.sums, names, table.withheld) if params.output != "receiver" else None


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back, without the names of groups."""
    back, forward = dh_psi.message_bytes(params.matching)
    if params.output != "responder":
        back += sum(8 * (stop - start) * (1 + len(params.statistics)) + (stop - start + 7) // 8 for start, stop in _parts(params))
    return forward, back


def _clipped(weights: NDArray[np.int64], params: Params) -> NDArray[np.int64]:
    """Hold the receiver to its bounds, which the noise is scaled to. Clipped, not refused: an abort would say who is common."""
    bounds = np.array(params.weight_bounds, dtype=np.int64)
    return np.clip(weights, -bounds, bounds) if len(bounds) else weights


def _exact(
    cells: NDArray[np.int64], values: NDArray[np.int64], weights: NDArray[np.int64], params: Params
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The exact counts (r, s) and sums (r, s, statistics) over common items; refuses a sum beyond 64 bits."""
    counts = np.bincount(cells, minlength=params.cells).astype(np.int64)
    order = np.argsort(cells, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    sums = np.zeros((params.cells, len(params.statistics)), dtype=np.int64)
    for at, weight in enumerate(params.statistics):
        column, factors = values[order, at], None if weight is None else weights[order, weight]
        bound = _largest(column) * (1 if factors is None else _largest(factors)) * max(len(cells), 1)
        if bound >= 1 << 63:  # may not fit: exact numbers of any size, one by one
            column, factors = column.astype(object), None if factors is None else factors.astype(object)
        products = column if factors is None else column * factors
        for cell in np.flatnonzero(counts):
            total = int(products[starts[cell] : starts[cell + 1]].sum())
            if not -(1 << 63) <= total < 1 << 63:
                raise EncodingError("session.sum-too-large")
            sums[cell, at] = total
    return counts.reshape(params.shape), sums.reshape(*params.shape, -1)


def _largest(numbers: NDArray[np.int64]) -> int:
    return max((abs(int(numbers.max())), abs(int(numbers.min())))) if len(numbers) else 0


def _released(counts: NDArray[np.int64], sums: NDArray[np.int64], params: Params, release: Release) -> Table:
    if int(counts.sum()) < params.minimum_result:
        return Table(np.zeros_like(counts), np.zeros_like(sums), np.ones(counts.shape, dtype=np.bool_))
    table = release(counts.copy(), sums.copy())
    shapes = (table.counts.shape, table.sums.shape, table.withheld.shape) == (counts.shape, sums.shape, counts.shape)
    check_input(shapes and table.withheld.dtype == np.bool_, "released table")
    withheld = table.withheld | (counts < params.minimum_group)
    return Table(np.where(withheld, 0, table.counts), np.where(withheld[..., None], 0, table.sums), withheld)


def _parts(params: Params) -> list[tuple[int, int]]:
    return list(chunks(params.cells, max(1, CHUNK_BYTES // (9 + 8 * len(params.statistics)))))


def _send_table(table: Table, params: Params) -> Script[None]:
    withheld, counts = table.withheld.reshape(-1), table.counts.reshape(-1)
    sums = table.sums.reshape(params.cells, -1)
    for start, stop in _parts(params):
        part = slice(start, stop)
        yield from send(ReleasedTable(marks_bytes(withheld[part]), word_bytes(counts[part]), word_bytes(sums[part])))


def _recv_table(params: Params, names: tuple[bytes, ...]) -> Script[Sums]:
    withheld, counts, sums = [], [], []
    for start, stop in _parts(params):
        part = yield from recv(ReleasedTable)
        withheld.append(marks_of(part.withheld, stop - start, "the withheld cells"))
        counts.append(words_of(part.counts, stop - start, "the counts").view(np.int64))
        sums.append(words_of(part.sums, (stop - start) * len(params.statistics), "the sums").view(np.int64))
    marks = np.concatenate(withheld).reshape(params.shape)
    numbers = np.concatenate(counts).reshape(params.shape)
    totals = np.concatenate(sums).reshape(*params.shape, -1)
    require(not numbers[marks].any() and not totals[marks].any(), "a withheld cell is not zero")
    return Sums(numbers, totals, names, marks)
