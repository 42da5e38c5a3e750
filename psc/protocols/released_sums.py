"""How ``dh-sum`` and ``vole-sum`` end: the sender holds sums hidden by the receiver's offsets; each learns what it may.

::

    receiver (counts, withheld cells, R of every sum)       sender (sum + R mod 2^64 of every sum)
      GroupLabels         names of the receiver's groups -->     (when the output goes to the sender)
      CellCounts          counts, withheld cells     ------>     (when the output goes to the sender)
                          <------------  ReleasedSums       low W bits of sum + R + noise (when it goes to the receiver)

Glossary: W = width of a sum: bits, two's complement, fixed by public bounds · R = the receiver's offset of a cell and statistic.

Who learns what: *output to the receiver only*: R is uniform modulo 2^64, so what the sender holds is uniform, and it returns
the low W bits. *To the sender, or to both*: R is uniform above bit W and 0 below, so the sender learns the W bits of the sum
and nothing else. Of withheld cells R is uniform always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.errors import UsageError
from psc.protocols.base import Message, Script, recv_bytes, require, send_bytes
from psc.protocols.cells import (
    Sums,
    check_blocks,
    check_cells,
    check_input,
    check_labels,
    recv_counts,
    recv_labels,
    send_counts,
    send_labels,
    word_bytes,
    words_of,
)
from psc.types import OutputTo

__all__ = [
    "TOGETHER_MAX",
    "WIDTH_MAX",
    "Ending",
    "ReleasedSums",
    "check",
    "check_given",
    "check_widths",
    "draw_offsets",
    "ending_bytes",
    "give",
    "take",
]

WIDTH_MAX = 63
"""The widest sum, in bits with its sign: a bit of the modulus 2^64 stays to spare."""

TOGETHER_MAX = 2_900
"""The most bits of all statistics together where the sender reads the low bits of what it decrypts. One that cheats learns as
many bits about the receiver's re-randomiser of a cell: up to 1,829 ternary coefficients (``packed-encryption.md``)."""


@dataclass(frozen=True, slots=True)
class ReleasedSums(Message):
    """Low bits of what the sender decrypted, with noise, 8 bytes each: cell after cell, in a cell statistic after statistic."""

    sums: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """Public shape of an ending.

    Attributes:
        receiver_blocks: the most items that each of the receiver's groups can have, at least one group.
        receiver_size: the most that all have together.
        sender_blocks: the most items that each of the sender's groups can have, at least one group.
        widths: bits of each statistic's sum *with its noise*, two's complement, 1 to 63; empty: only counts are made.
        output: who learns the sums; ``responder`` is the sender.
        minimum_group: cells with fewer common items are withheld.
        minimum_result: with fewer common items in all, every cell is withheld.
    """

    receiver_blocks: tuple[int, ...]
    receiver_size: int
    sender_blocks: tuple[int, ...]
    widths: tuple[int, ...]
    output: OutputTo
    minimum_group: int
    minimum_result: int

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.receiver_blocks) * len(self.sender_blocks)


def check(ending: Ending) -> None:
    """Refuse parameters that no run may have; nothing was sent.

    Raises:
        UsageError: there are too many cells, or the sums are too wide together.
        LocalProtocolError: a group, a size or a width is none.
    """
    check_cells(len(ending.receiver_blocks), len(ending.sender_blocks))
    check_input(min(ending.receiver_blocks + ending.sender_blocks) >= 1, "sizes of groups")
    check_input(all(1 <= width <= WIDTH_MAX for width in ending.widths), "widths")
    check_widths(ending.widths, ending.output)


def check_widths(widths: Sequence[int], output: OutputTo) -> None:
    """Refuse sums from whose low bits a cheating sender could learn too much about a re-randomiser.

    Args:
        widths: bits of each statistic's sum, 1 to 63 each.
        output: who learns the sums; when only the receiver does, what the sender decrypts is uniform and tells nothing.

    Raises:
        UsageError: they have more than ``TOGETHER_MAX`` bits together; nothing was sent.
    """
    if output != "receiver" and sum(widths) > TOGETHER_MAX:
        raise UsageError("session.sums-too-wide", bits=sum(widths), limit=TOGETHER_MAX)


def check_given(
    ending: Ending,
    blocks: Sequence[Items],
    vectors: Sequence[NDArray[np.int64]],
    labels: Sequence[bytes],
    noise: NDArray[np.int64] | None,
) -> None:
    """Refuse a sender's own inputs that do not fit; nothing was sent.

    Args:
        ending: as agreed.
        blocks: its items by group.
        vectors: for each block one row an item, one column a statistic.
        labels: what is sent of its groups.
        noise: (cells, statistics), or ``None``; there can be none where only the sender learns the sums.

    Raises:
        LocalProtocolError: one has another shape.
        EncodingError: a block is larger than agreed.
    """
    check_blocks(blocks, ending.sender_blocks)
    check_labels(labels, len(ending.sender_blocks))
    columns = len(ending.widths)
    check_input([vector.shape for vector in vectors] == [(len(block), columns) for block in blocks], "values")
    fits = noise is None or (noise.shape == (ending.cells, columns) and ending.output != "responder")
    check_input(fits, "noise")


def draw_offsets(ending: Ending, learned: NDArray[np.bool_], rng: Rng) -> NDArray[np.uint64]:
    """Draw what hides the sums of the leg's cells from the sender: all 64 bits, or those above W where it is to learn the others.

    Args:
        ending: as agreed.
        learned: (cells of the leg, statistics) the sums whose low W bits the sender learns if the output goes to it.
        rng: source of the offsets.
    """
    words = np.frombuffer(rng.bytes(8 * learned.size), dtype="<u8").astype(np.uint64).reshape(learned.shape)
    return words if ending.output == "receiver" else np.where(learned, words & ~_low_bits(ending.widths), words)


def take(
    ending: Ending,
    counts: NDArray[np.int64],
    withheld: NDArray[np.bool_],
    offsets: NDArray[np.uint64],
    labels: Sequence[bytes],
    names: tuple[bytes, ...],
) -> Script[Sums]:
    """Run the receiver's ending.

    Args:
        ending: as agreed.
        counts: (r, s) exact counts.
        withheld: (r, s) cells that nobody is shown.
        offsets: (cells, statistics) what hides the sums that the sender holds.
        labels: names of own groups; they are sent when the output goes to the sender.
        names: of the sender's groups, as they came.

    Returns:
        All counts, and the sums when the output goes to the receiver.

    Raises:
        RemoteProtocolError: the sums have another size than agreed, or more bits.
    """
    if ending.output != "receiver":
        yield from send_labels(labels)
        yield from send_counts(counts, withheld)
    if ending.output == "responder":
        return Sums(counts, None, (), withheld)
    words = yield from _recv_sums(ending)
    sums = _signed(words - offsets, ending.widths).reshape(*counts.shape, -1)
    sums[withheld] = 0
    return Sums(counts, sums, names, withheld)


def give(ending: Ending, words: NDArray[np.uint64], noise: NDArray[np.int64] | None) -> Script[Sums | None]:
    """Run the sender's ending.

    Args:
        ending: as agreed.
        words: (cells, statistics) sums plus the receiver's offsets modulo 2^64.
        noise: (cells, statistics) added to every sum that anyone is given; ``None`` adds nothing.

    Returns:
        The table when the output goes to the sender, else nothing.

    Raises:
        RemoteProtocolError: names, counts or withheld cells are impossible.
    """
    if noise is not None:
        words = words + noise.astype(np.uint64)
    words = words & _low_bits(ending.widths)
    if ending.output == "receiver":
        yield from send_bytes(ReleasedSums, word_bytes(words), 8)
        return None
    names = yield from recv_labels(len(ending.receiver_blocks))
    counts, withheld = yield from recv_counts(
        ending.receiver_blocks, ending.sender_blocks, ending.minimum_group, ending.minimum_result
    )
    require(int(counts.sum()) <= ending.receiver_size, "the counts are larger than the sets")
    words[withheld.reshape(-1)] = 0
    if ending.output == "both":
        yield from send_bytes(ReleasedSums, word_bytes(words), 8)
    return Sums(counts, _signed(words, ending.widths).reshape(*counts.shape, -1), names, withheld)


def ending_bytes(ending: Ending) -> tuple[int, int]:
    """Return the payload bytes of the ending, receiver to sender and back, without the names of groups."""
    forward = 8 * ending.cells + (ending.cells + 7) // 8 if ending.output != "receiver" else 0
    return forward, 8 * ending.cells * len(ending.widths) if ending.output != "responder" else 0


def _low_bits(widths: Sequence[int]) -> NDArray[np.uint64]:
    """For each statistic the mask of its sum's bits."""
    return np.array([(1 << width) - 1 for width in widths], dtype=np.uint64)


def _signed(words: NDArray[np.uint64], widths: Sequence[int]) -> NDArray[np.int64]:
    """The low bits of (…, statistics) words as two's complement numbers of the statistics' widths."""
    above = np.array([64 - width for width in widths], dtype=np.uint64)
    numbers: NDArray[np.int64] = (words << above).view(np.int64) >> above.astype(np.int64)
    return numbers


def _recv_sums(ending: Ending) -> Script[NDArray[np.uint64]]:
    """Receive (cells, statistics) words; refuse more or fewer, and one with more bits than its width."""
    count = ending.cells * len(ending.widths)
    words = words_of((yield from recv_bytes(ReleasedSums, "sums", count, 8)), count, "the sums").reshape(ending.cells, -1)
    require(bool((words <= _low_bits(ending.widths)).all()), "a sum has more bits than agreed")
    return words
