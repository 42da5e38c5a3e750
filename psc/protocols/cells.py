"""What the protocols of sums by group share: blocks, the table of cells, the names of groups, and how numbers travel.

A *cell* is one pair of groups: a group of the receiver's items and a group of the sender's. Tables have one row a group of
the receiver, one column a group of the sender; cells are numbered row by row. Without groups a party has one, named ``b""``.
Numbers travel as 8 bytes, little-endian, two's complement; marks as bits, least significant first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.errors import LocalProtocolError, UsageError
from psc.protocols.base import Message, Script, check_fits, chunks, recv, require, send

__all__ = [
    "CELLS_MAX",
    "LABEL_BYTES_MAX",
    "WEIGHT_LIMIT",
    "CellCounts",
    "CellRule",
    "GroupLabels",
    "Sums",
    "Withhold",
    "are_places",
    "check_blocks",
    "check_cells",
    "check_input",
    "check_labels",
    "groups_within",
    "marks_bytes",
    "marks_of",
    "padded_blocks",
    "recv_counts",
    "recv_labels",
    "send_counts",
    "send_labels",
    "values_in_order",
    "weights_within",
    "withheld_cells",
    "word_bytes",
    "words_of",
]

CELLS_MAX = 1024
"""The most cells of one table."""

WEIGHT_LIMIT = 1 << 32
"""Weights are below this in absolute value."""

LABEL_BYTES_MAX = 2048
"""The longest name of a group, in bytes: eight labels of 64 bytes as a JSON list, whose escapes at most double a byte."""

_LABELS_A_MESSAGE = 128

CellRule = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""From the counts of all cells to the marks of those that nobody may be shown; both (receiver's groups, sender's groups)."""

Withhold = Callable[[tuple[bytes, ...]], CellRule]
"""From the names of the sender's groups, as it sent them, to the rule of withheld cells. It is asked before anything is sent to
the sender, and may refuse the names; the rule itself refuses nothing, since that would tell the sender about counts."""


@dataclass(frozen=True, slots=True)
class GroupLabels(Message):
    """Names of a party's groups in the order of its blocks, at most 128 in one message, each at most 2,048 bytes."""

    labels: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CellCounts(Message):
    """The number of common items of every cell, as the receiver found it; cells that are marked ``withheld`` say 0."""

    withheld: bytes
    counts: bytes


@dataclass(frozen=True, slots=True)
class Sums:
    """A party's output: one table of cells, r groups of the receiver by s groups of the sender.

    Attributes:
        counts: (r, s) common items of each cell. The receiver of ``dh-sum`` has found them all, and its own rules decide what
            is shown; for everyone else withheld cells say 0.
        sums: (r, s, statistics) sums of each cell, with the noise that was added; 0 in withheld cells. ``None``: it was not
            agreed that this party learns them.
        labels: names of the *other* party's groups, in the order of its blocks; empty when ``sums`` is ``None``.
        withheld: (r, s) cells that nobody is shown.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64] | None
    labels: tuple[bytes, ...]
    withheld: NDArray[np.bool_]


def check_blocks(blocks: Sequence[Items], sizes: Sequence[int]) -> None:
    """Refuse own blocks that are not one a group, or larger than agreed.

    Raises:
        LocalProtocolError: there is another number of blocks.
        EncodingError: one is larger than its size; nothing was sent.
    """
    check_input(len(blocks) == len(sizes), "groups")
    for block, size in zip(blocks, sizes, strict=True):
        check_fits(block, size)


def padded_blocks(blocks: Sequence[Items], sizes: Sequence[int], rng: Rng) -> Items:
    """Return the blocks one after another, each padded to its size."""
    return Items.concat([block.padded(size, rng) for block, size in zip(blocks, sizes, strict=True)])


def values_in_order(
    vectors: Sequence[NDArray[np.int64]], sizes: Sequence[int], columns: int, order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the values of padded blocks, 0 at dummies, in another order.

    Args:
        vectors: for each block one row an item, one column a statistic.
        sizes: the blocks' padded sizes.
        columns: number of statistics.
        order: for every position the padded place whose values it has.
    """
    values = np.zeros((sum(sizes), columns), dtype=np.int64)
    for start, vector in zip(np.cumsum([0, *sizes]), vectors, strict=False):  # one start more: the end
        values[start : start + len(vector)] = vector
    return values[order]


def groups_within(groups: NDArray[Any], count: int) -> bool:
    """Say whether all numbers of groups are below ``count``."""
    return bool(((groups >= 0) & (groups < count)).all())


def weights_within(weights: NDArray[np.int64]) -> bool:
    """Say whether all weights are below ``WEIGHT_LIMIT`` in absolute value."""
    return bool(((weights > -WEIGHT_LIMIT) & (weights < WEIGHT_LIMIT)).all())


def check_cells(receiver_groups: int, sender_groups: int) -> None:
    """Refuse a table with more cells than one run may have, or with none.

    Raises:
        UsageError: it has more than 1,024 cells; nothing was sent.
        LocalProtocolError: a party has no group.
    """
    check_input(receiver_groups >= 1 and sender_groups >= 1, "groups")
    if receiver_groups * sender_groups > CELLS_MAX:
        raise UsageError("session.too-many-cells", cells=receiver_groups * sender_groups, limit=CELLS_MAX)


def check_input(condition: bool, what: str) -> None:
    """Refuse inputs of a script that do not fit its parameters: a bug of the caller.

    Raises:
        LocalProtocolError: naming ``what`` does not fit.
    """
    if not condition:
        raise LocalProtocolError("session.input-does-not-fit", what=what)


def are_places(places: Sequence[tuple[int, ...]]) -> bool:
    """Say whether tuples tell how groups are made of columns, and no more than that.

    Args:
        places: for each group, in the order of its blocks, the place of its label among the labels of each column.

    Returns:
        True when all have one length, they ascend, and the places of a column are 0, 1, … without a gap.
    """
    ascending = all(one < other for one, other in pairwise(places))
    dense = all(set(column) == set(range(len(set(column)))) for column in zip(*places))
    return len({len(place) for place in places}) == 1 and ascending and dense


def check_labels(labels: Sequence[bytes], groups: int) -> None:
    """Refuse own names of groups that the other party would refuse.

    Raises:
        LocalProtocolError: there is not one a group, two are equal, or one is too long.
    """
    fits = len(labels) == groups == len(set(labels)) and all(len(label) <= LABEL_BYTES_MAX for label in labels)
    check_input(fits, "names of groups")


def send_labels(labels: Sequence[bytes]) -> Script[None]:
    """Send the names of one's groups."""
    for start, stop in chunks(len(labels), _LABELS_A_MESSAGE):
        yield from send(GroupLabels(tuple(labels[start:stop])))


def recv_labels(groups: int) -> Script[tuple[bytes, ...]]:
    """Receive the names of the other party's groups; whether they are readable text is for the caller to check.

    Args:
        groups: how many groups it has.

    Raises:
        RemoteProtocolError: another number of names came, a name is too long, or two are equal.
    """
    labels: list[bytes] = []
    for start, stop in chunks(groups, _LABELS_A_MESSAGE):
        part = (yield from recv(GroupLabels)).labels
        require(len(part) == stop - start, "the names of another number of groups came than agreed")
        require(all(len(label) <= LABEL_BYTES_MAX for label in part), "the name of a group is too long")
        labels.extend(part)
    require(len(set(labels)) == groups, "two groups have one name")
    return tuple(labels)


def withheld_cells(counts: NDArray[np.int64], rule: CellRule, minimum_group: int, minimum_result: int) -> NDArray[np.bool_]:
    """Return the marks of the cells that nobody is shown.

    Args:
        counts: (r, s) the exact counts.
        rule: the caller's; may be stricter than the two minimums.
        minimum_group: cells with fewer common items are withheld.
        minimum_result: when there are fewer common items in all, every cell is withheld.
    """
    if int(counts.sum()) < minimum_result:
        return np.ones(counts.shape, dtype=np.bool_)
    marks = rule(counts.copy())
    check_input(marks.shape == counts.shape and marks.dtype == np.bool_, "withheld cells")
    withheld: NDArray[np.bool_] = marks | (counts < minimum_group)
    return withheld


def send_counts(counts: NDArray[np.int64], withheld: NDArray[np.bool_]) -> Script[None]:
    """Send the counts of the cells that are not withheld."""
    yield from send(CellCounts(marks_bytes(withheld), word_bytes(np.where(withheld, 0, counts))))


def recv_counts(
    receiver_blocks: Sequence[int], sender_blocks: Sequence[int], minimum_group: int, minimum_result: int
) -> Script[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Receive the counts of the cells, as the receiver says they are, and the marks of those that are withheld.

    Raises:
        RemoteProtocolError: a count is impossible, or should have been withheld.
    """
    shape = len(receiver_blocks), len(sender_blocks)
    message = yield from recv(CellCounts)
    withheld = marks_of(message.withheld, shape[0] * shape[1], "the withheld cells").reshape(shape)
    counts = words_of(message.counts, shape[0] * shape[1], "the counts").reshape(shape).astype(np.int64)
    require(not counts[withheld].any(), "a withheld count is not zero")
    limit = np.minimum.outer(np.array(receiver_blocks, dtype=np.int64), np.array(sender_blocks, dtype=np.int64))
    require(bool(((counts >= 0) & (counts <= limit)).all()), "a count is larger than the sets")
    require(bool((counts[~withheld] >= minimum_group).all()), "a count below the minimum is not withheld")
    require(bool(withheld.any()) or int(counts.sum()) >= minimum_result, "a result below the minimum is not withheld")
    return counts, withheld


def marks_bytes(marks: NDArray[np.bool_]) -> bytes:
    """Return marks as bits, row by row, least significant first."""
    return np.packbits(marks.reshape(-1), bitorder="little").tobytes()


def marks_of(data: bytes, count: int, what: str) -> NDArray[np.bool_]:
    """Return ``count`` marks of the peer.

    Raises:
        RemoteProtocolError: ``what`` has another size, or marks beyond its end.
    """
    require(len(data) == (count + 7) // 8, f"{what} have another size than agreed")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").astype(np.bool_)
    require(not bits[count:].any(), f"{what} go beyond the end")
    return bits[:count]


def word_bytes(numbers: NDArray[Any]) -> bytes:
    """Return 64-bit numbers as bytes, row by row."""
    return numbers.astype("<i8" if numbers.dtype.kind == "i" else "<u8").tobytes()


def words_of(data: bytes, count: int, what: str) -> NDArray[np.uint64]:
    """Return ``count`` words of the peer.

    Raises:
        RemoteProtocolError: ``what`` has another size.
    """
    require(len(data) == 8 * count, f"{what} have another size than agreed")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)
