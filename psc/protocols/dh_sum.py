"""``dh-sum``: sums of the sender's values over the items that both hold, by groups of either; nobody learns which items.

::

    receiver (items Y in blocks)                            sender (items X in blocks, with values)
    b <- random scalar                                      k <- random scalar
                          <------------  GroupLabels        names of the sender's groups, or how they are made of columns
      BlindedItems        H(y)·b, padded      ------------>
                          <------------  MaskedItems        H(x)·k, padded, in a secret random order in each block
                          <------------  ReturnedTags       Hash(H(y)·b·k), truncated, sorted in each of the receiver's blocks
      cell of every position of MaskedItems whose Hash(H(x)·k·b) came back
      (homomorphic leg)   masked sums a cell  <---------->  encrypted values in that same secret order (``masked_sums``)
      (the ending, ``released_sums``)
      GroupLabels, CellCounts             ------------>     (when the output goes to the sender)
                          <------------  ReleasedSums       low bits of sum + offset + noise (when it goes to the receiver)

A *block* holds the items of one group, padded to a public size; without groups there is one. Blocks follow one another. A
*cell* is a pair of groups (``cells``). Every sum is a two's complement number of W bits, W fixed by public bounds.

Glossary: H = hash to ristretto255 under a tag bound to the session · b, k = one-shot masks of the run · W = width of a sum ·
R = the receiver's offset of a cell and statistic.

Who learns what: the receiver learns the number of common items of every cell, and not which these are: what returns is sorted
in blocks, and the sender's order is secret. Sums go to whom the output goes to. *To the receiver only*: R is uniform modulo
2^64, so the sender decrypts a uniform number, and returns its low W bits. *To the sender, or to both*: R is uniform above bit
W, so the sender learns the W bits of the sum and nothing else. Cells that are withheld are never summed: their reply is an
encryption of zero with R uniform, and their count is not sent. The sender learns the receiver's padded sizes.

Adversary model: semi-honest. **A cheating receiver obtains membership** as in ``dh-psi-count``, and **any linear function of
the values** that it likes, one for each cell and statistic, reduced to W bits. **A cheating sender** falsifies sums; when the
output goes to it, it chooses the values and so reads up to W bits of membership from each sum. Sizes, counts and mask bits that
do not fit are refused.

No abort depends on membership: both refuse repeated elements by what the other sent alone.

Cost for padded sizes N and M, c statistics: N+M scalar multiplications a party; bytes 32·N + 32·M + t·N and the leg's, with
the rlwe engine 21·c·M and a reply of one polynomial a cell (``message_bytes``).

References: Ion et al., ePrint 2019/723, Figure 2 (private intersection-sum); De Cristofaro, Gasti, Tsudik, CANS 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from psc.crypto import SUITE, Items, Rng, find_tags, sort_tags
from psc.crypto.sums import SumEngine
from psc.protocols import dh_psi_count, masked_sums, released_sums
from psc.protocols.base import ProtocolSpec, Script, compute, recv_bytes, send_bytes
from psc.protocols.cells import (
    Sums,
    Withhold,
    check_blocks,
    check_labels,
    padded_blocks,
    recv_labels,
    send_labels,
    values_in_order,
    withheld_cells,
)
from psc.protocols.dh_psi_count import ReturnedTags
from psc.types import OutputTo

__all__ = ["LEAKAGE", "SPEC", "Params", "message_bytes", "receiver", "sender"]


@dataclass(frozen=True, slots=True)
class Params:
    """What both sides agreed in the handshake.

    Attributes:
        context: 32 bytes bound to the session, the same for both roles.
        receiver_blocks: padded number of distinct items in each of the receiver's groups, at least one group.
        sender_blocks: the same of the sender.
        widths: bits of each statistic's sum *with its noise*, two's complement, 1 to 63; empty: only counts are made.
        engine: the homomorphic encryption.
        output: who learns the sums; ``responder`` is the sender.
        minimum_group: cells with fewer common items are withheld.
        minimum_result: with fewer common items in all, every cell is withheld.
    """

    context: bytes
    receiver_blocks: tuple[int, ...]
    sender_blocks: tuple[int, ...]
    widths: tuple[int, ...]
    engine: SumEngine
    output: OutputTo
    minimum_group: int = 0
    minimum_result: int = 0

    @property
    def receiver_size(self) -> int:
        """The receiver's padded number of items."""
        return sum(self.receiver_blocks)

    @property
    def sender_size(self) -> int:
        """The sender's padded number of items."""
        return sum(self.sender_blocks)

    @property
    def shape(self) -> tuple[int, int]:
        """The table: groups of the receiver, groups of the sender."""
        return len(self.receiver_blocks), len(self.sender_blocks)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.receiver_blocks) * len(self.sender_blocks)

    @property
    def tag_bytes(self) -> int:
        """Length of the returned tags."""
        return self.matching.tag_bytes

    @property
    def matching(self) -> dh_psi_count.Params:
        """The parameters of the exchange of ``dh-psi-count``."""
        return dh_psi_count.Params(self.context, self.receiver_size, self.sender_size)

    @property
    def layout(self) -> masked_sums.Layout:
        """Shape of the homomorphic leg."""
        return masked_sums.Layout(self.context, len(self.receiver_blocks), self.sender_blocks, len(self.widths), self.engine)

    @property
    def ending(self) -> released_sums.Ending:
        """Shape of the ending."""
        minima = self.minimum_group, self.minimum_result
        return released_sums.Ending(
            self.receiver_blocks, self.receiver_size, self.sender_blocks, self.widths, self.output, *minima
        )


LEAKAGE: dict[OutputTo, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "receiver": (
        ("leakage.sum.receiver", "leakage.sum.cheating", "leakage.sum.sizes"),
        ("leakage.sum.sender", "leakage.sum.falsify", "leakage.sum.sizes"),
    ),
    "responder": (
        ("leakage.sum.counts", "leakage.sum.cheating", "leakage.sum.sizes"),
        ("leakage.sum.responder", "leakage.sum.planting", "leakage.sum.sizes"),
    ),
    "both": (
        ("leakage.sum.receiver", "leakage.sum.cheating", "leakage.sum.sizes"),
        ("leakage.sum.responder", "leakage.sum.planting", "leakage.sum.sizes"),
    ),
}
"""Text codes of what the receiver and the sender learn, by whom the output goes to."""

SPEC = ProtocolSpec(
    id="dh-sum",
    version=1,
    suite=SUITE,
    model="semi-honest",
    leakage_receiver=LEAKAGE["receiver"][0],
    leakage_sender=LEAKAGE["receiver"][1],
)


def receiver(
    blocks: Sequence[Items], params: Params, rng: Rng, withhold: Withhold, labels: Sequence[bytes] = (b"",)
) -> Script[Sums]:
    """Run the receiver: it matches and adds up.

    Args:
        blocks: distinct items by own group, each at most ``params.receiver_blocks`` of its group; no item in two groups.
        params: as agreed.
        rng: source of the mask, the dummies and the offsets.
        withhold: makes the rule of which cells nobody is shown from the names that the sender sent, and refuses names that are
            none, before anything is sent; the minimums of ``params`` come on top of the rule.
        labels: names of own groups; they are sent when the output goes to the sender.

    Returns:
        Its table: all counts, and the sums when the output goes to it.

    Raises:
        UsageError: there are too many cells, or the sums are too wide together.
        CryptoError: a block is larger than agreed, or the engine cannot make sums of this size exactly.
        RemoteProtocolError: a message of the sender is malformed or unexpected.

    Leakage:
        The receiver learns the counts of all cells, withheld or not; one that masks items differently learns membership, one
        that adds up otherwise any linear function of the values (module docstring).
    """
    released_sums.check(params.ending)
    check_blocks(blocks, params.receiver_blocks)
    check_labels(labels, params.shape[0])
    names = yield from recv_labels(params.shape[1])
    rule = withhold(names)  # it may refuse; later, when counts are known, a refusal would tell the sender about them
    positions = yield from _match(blocks, params, rng)
    counts, cells = yield from compute(_cells, positions, params)
    withheld = yield from compute(withheld_cells, counts, rule, params.minimum_group, params.minimum_result)
    learned = np.broadcast_to(~withheld.reshape(-1, 1), (params.cells, len(params.widths)))
    offsets = released_sums.draw_offsets(params.ending, learned, rng)
    if params.widths:
        cells = np.where(np.append(withheld.reshape(-1), False)[cells], np.int32(-1), cells)
        yield from masked_sums.matcher(params.layout, [masked_sums.Layer(cells)], offsets, rng)
    return (yield from released_sums.take(params.ending, counts, withheld, offsets, labels, names))


def sender(
    blocks: Sequence[Items],
    vectors: Sequence[NDArray[np.int64]],
    labels: Sequence[bytes],
    params: Params,
    rng: Rng,
    noise: NDArray[np.int64] | None = None,
) -> Script[Sums | None]:
    """Run the sender: it owns the values and the keys.

    Args:
        blocks: distinct items by own group, each at most ``params.sender_blocks`` of its group; no item in two groups.
        vectors: for each block one row an item, one column a statistic, each within the bound that ``params.widths`` assumes.
        labels: what is sent of own groups, each different: names when the output goes to the receiver; else what the receiver's
            rule of withheld cells needs to know, without names.
        params: as agreed.
        rng: source of the mask, the dummies, the order and the encryption.
        noise: (cells, statistics) added to every sum that the receiver is given, and with output ``both`` to the sender's own,
            so that both hold one table; ``None`` adds nothing, and nothing can be added when only the sender learns the sums.

    Returns:
        Its table when the output goes to it, else nothing.

    Raises:
        UsageError: there are too many cells, or the sums are too wide together.
        CryptoError: a block is larger than agreed, or the engine cannot make sums of this size exactly.
        RemoteProtocolError: a message of the receiver is malformed or unexpected.

    Leakage:
        The sender learns the receiver's padded sizes and, when the output goes to it, counts and sums that are not withheld.
    """
    released_sums.check(params.ending)
    released_sums.check_given(params.ending, blocks, vectors, labels, noise)
    yield from send_labels(labels)
    order = yield from _return(blocks, params, rng)
    words = np.zeros((params.cells, len(params.widths)), dtype=np.uint64)
    if params.widths:
        values = yield from compute(values_in_order, vectors, params.sender_blocks, len(params.widths), order)
        words = yield from masked_sums.owner(params.layout, values, rng)
    return (yield from released_sums.give(params.ending, words, noise))


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back, without the names of groups."""
    leg = masked_sums.leg_bytes(params.layout) if params.widths else (0, 0)
    ending = released_sums.ending_bytes(params.ending)
    matching = 32 * params.receiver_size, 32 * params.sender_size + params.tag_bytes * params.receiver_size
    return matching[0] + leg[0] + ending[0], matching[1] + leg[1] + ending[1]


# --- matching ------------------------------------------------------------------------------------------------------------


def _match(blocks: Sequence[Items], params: Params, rng: Rng) -> Script[NDArray[np.int64]]:
    """The receiver's half: for every position of the sender's list the position of our item that it equals, or -1."""
    padded = yield from compute(padded_blocks, blocks, params.receiver_blocks, rng)
    # Counted twice, an item of the sender would make a cell larger than the sets. Refused whether it is in common or not.
    tags = yield from dh_psi_count.exchange_as_receiver(padded, params.matching, rng, refuse_repeats=True)
    returned = yield from recv_bytes(ReturnedTags, "tags", params.receiver_size, params.tag_bytes)
    return (yield from compute(find_tags, tags, returned, params.tag_bytes))


def _return(blocks: Sequence[Items], params: Params, rng: Rng) -> Script[NDArray[np.int64]]:
    """The sender's half: return sorted tags; the result is the secret order, the padded place of every position."""
    order = _secret_order(params.sender_blocks, rng)
    shuffled = yield from compute(_shuffled, blocks, params, order, rng)
    # Sent several times, an element would show by the multiplicity of its tag whether it is in common.
    tags = yield from dh_psi_count.exchange_as_sender(shuffled, params.matching, rng, refuse_repeats=True)
    returned = yield from compute(_sorted_blocks, tags, params)
    yield from send_bytes(ReturnedTags, returned, params.tag_bytes)
    return order


def _secret_order(sizes: Sequence[int], rng: Rng) -> NDArray[np.int64]:
    """Blocks stay one after another; inside each the order is random, so a position says nothing of a row."""
    starts = np.cumsum([0, *sizes])
    return np.concatenate([start + rng.permutation(size).astype(np.int64) for start, size in zip(starts, sizes)])


def _shuffled(blocks: Sequence[Items], params: Params, order: NDArray[np.int64], rng: Rng) -> Items:
    return padded_blocks(blocks, params.sender_blocks, rng).take(order.astype(np.uint32))


def _sorted_blocks(tags: bytes, params: Params) -> bytes:
    ends = np.cumsum([0, *params.receiver_blocks]) * params.tag_bytes
    return b"".join(sort_tags(tags[start:stop], params.tag_bytes)[0] for start, stop in pairwise(ends))


def _cells(positions: NDArray[np.int64], params: Params) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The counts of all cells, and the cell of every position of the sender's list or -1."""
    ours = np.searchsorted(np.cumsum(params.receiver_blocks), positions, side="right")
    theirs = np.repeat(np.arange(params.shape[1]), params.sender_blocks)
    cells = np.where(positions >= 0, ours * params.shape[1] + theirs, -1).astype(np.int32)
    counts = np.bincount(cells[cells >= 0], minlength=params.cells).astype(np.int64)
    return counts.reshape(params.shape), cells
