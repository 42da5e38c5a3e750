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

from psc.crypto import SUITE, Items, PointBatch, Rng, Scalar, find_tags, hash_and_mask, mask, point_tags, sort_tags
from psc.crypto.sums import SumEngine
from psc.errors import UsageError
from psc.protocols import masked_sums
from psc.protocols.base import (
    CHUNK_BYTES,
    Message,
    ProtocolSpec,
    Script,
    chunks,
    compute,
    recv,
    require,
    send,
    tag_bytes,
)
from psc.protocols.cells import (
    Sums,
    Withhold,
    check_blocks,
    check_cells,
    check_input,
    check_labels,
    padded_blocks,
    recv_counts,
    recv_labels,
    send_counts,
    send_labels,
    values_in_order,
    withheld_cells,
    word_bytes,
    words_of,
)
from psc.protocols.dh_psi import BlindedItems
from psc.protocols.dh_psi_count import MaskedItems, ReturnedTags
from psc.types import OutputTo

__all__ = [
    "LEAKAGE",
    "SPEC",
    "TOGETHER_MAX",
    "WIDTH_MAX",
    "Params",
    "ReleasedSums",
    "check_widths",
    "low_bits",
    "message_bytes",
    "receiver",
    "recv_sums",
    "send_sums",
    "sender",
    "signed",
]

WIDTH_MAX = 63
"""The widest sum, in bits with its sign: a bit of the modulus 2^64 stays to spare."""

TOGETHER_MAX = 2_900
"""The most bits of all statistics together where the sender reads the low bits of what it decrypts. One that cheats learns as
many bits about the receiver's re-randomiser of a cell: up to 1,829 ternary coefficients (``packed-encryption.md``)."""

_PREFIX_BYTES = 16


@dataclass(frozen=True, slots=True)
class ReleasedSums(Message):
    """Low bits of what the sender decrypted, with noise, 8 bytes each: cell after cell, in a cell statistic after statistic."""

    sums: bytes


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
        return tag_bytes(self.receiver_size * self.sender_size)

    @property
    def layout(self) -> masked_sums.Layout:
        """Shape of the homomorphic leg."""
        return masked_sums.Layout(self.context, len(self.receiver_blocks), self.sender_blocks, len(self.widths), self.engine)


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
    _check(params)
    check_blocks(blocks, params.receiver_blocks)
    check_labels(labels, params.shape[0])
    to_us, to_them = params.output != "responder", params.output != "receiver"
    names = yield from recv_labels(params.shape[1])
    rule = withhold(names)  # it may refuse; later, when counts are known, a refusal would tell the sender about them
    positions = yield from _match(blocks, params, rng)
    counts, cells = yield from compute(_cells, positions, params)
    withheld = yield from compute(withheld_cells, counts, rule, params.minimum_group, params.minimum_result)
    offsets = _offsets(withheld, params, rng)
    if params.widths:
        cells = np.where(np.append(withheld.reshape(-1), False)[cells], np.int32(-1), cells)
        yield from masked_sums.matcher(params.layout, [masked_sums.Layer(cells)], offsets, rng)
    if to_them:
        yield from send_labels(labels)
        yield from send_counts(counts, withheld)
    if not to_us:
        return Sums(counts, None, (), withheld)
    words = yield from recv_sums(params.cells, params.widths)
    sums = signed(words - offsets, params.widths).reshape(*params.shape, -1)
    sums[withheld] = 0
    return Sums(counts, sums, names, withheld)


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
    _check(params)
    check_blocks(blocks, params.sender_blocks)
    check_labels(labels, params.shape[1])
    wanted = [(len(block), len(params.widths)) for block in blocks]
    check_input([vector.shape for vector in vectors] == wanted, "values")
    check_input(noise is None or noise.shape == (params.cells, len(params.widths)), "noise")
    check_input(noise is None or params.output != "responder", "noise")
    to_us, to_them = params.output != "receiver", params.output != "responder"
    yield from send_labels(labels)
    order = yield from _return(blocks, params, rng)
    words = np.zeros((params.cells, len(params.widths)), dtype=np.uint64)
    if params.widths:
        values = yield from compute(values_in_order, vectors, params.sender_blocks, len(params.widths), order)
        words = yield from masked_sums.owner(params.layout, values, rng)
    if noise is not None:
        words += noise.astype(np.uint64)
    words &= low_bits(params.widths)
    if not to_us:
        yield from send_sums(words)
        return None
    names = yield from recv_labels(params.shape[0])
    counts, withheld = yield from recv_counts(
        params.receiver_blocks, params.sender_blocks, params.minimum_group, params.minimum_result
    )
    words[withheld.reshape(-1)] = 0
    if to_them:
        yield from send_sums(words)
    return Sums(counts, signed(words, params.widths).reshape(*params.shape, -1), names, withheld)


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


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back, without the names of groups."""
    forward, back = masked_sums.leg_bytes(params.layout) if params.widths else (0, 0)
    forward += 32 * params.receiver_size
    if params.output != "receiver":
        forward += 8 * params.cells + (params.cells + 7) // 8
    back += 32 * params.sender_size + params.tag_bytes * params.receiver_size
    if params.output != "responder":
        back += 8 * params.cells * len(params.widths)
    return forward, back


# --- matching ------------------------------------------------------------------------------------------------------------


def _match(blocks: Sequence[Items], params: Params, rng: Rng) -> Script[NDArray[np.int64]]:
    """The receiver's half: for every position of the sender's list the position of our item that it equals, or -1."""
    padded = yield from compute(padded_blocks, blocks, params.receiver_blocks, rng)
    blind = rng.scalar()
    own, theirs = list(chunks(params.receiver_size)), list(chunks(params.sender_size))
    tags: list[bytes] = []
    seen: list[bytes] = []
    for turn in range(max(len(own), len(theirs)) + 1):
        if turn < len(own):
            part = own[turn]
            points = yield from compute(hash_and_mask, padded.slice(*part), params.context, blind, work=part[1] - part[0])
            yield from send(BlindedItems(points))
        if 1 <= turn <= len(theirs):  # one chunk behind, so that both sides compute at once
            start, stop = theirs[turn - 1]
            masked = (yield from recv(MaskedItems)).points
            require(len(masked) == stop - start, "a chunk has another number of elements than agreed")
            seen.append(_prefixes(masked))
            tags.append((yield from compute(_double_mask, masked, blind, params, work=stop - start)))
    # Counted twice, an item of the sender would make a cell larger than the sets. Refused whether it is in common or not.
    require((yield from compute(_all_differ, seen)), "an element came twice")
    returned = []
    for start, stop in chunks(params.receiver_size, CHUNK_BYTES // params.tag_bytes):
        part_tags = (yield from recv(ReturnedTags)).tags
        require(len(part_tags) == (stop - start) * params.tag_bytes, "a chunk of tags has another size than agreed")
        returned.append(part_tags)
    return (yield from compute(find_tags, b"".join(tags), b"".join(returned), params.tag_bytes))


def _return(blocks: Sequence[Items], params: Params, rng: Rng) -> Script[NDArray[np.int64]]:
    """The sender's half: return sorted tags; the result is the secret order, the padded place of every position."""
    order = _secret_order(params.sender_blocks, rng)
    shuffled = yield from compute(_shuffled, blocks, params, order, rng)
    key = rng.scalar()
    theirs, own = list(chunks(params.receiver_size)), list(chunks(params.sender_size))
    tags: list[bytes] = []
    seen: list[bytes] = []
    for turn in range(max(len(own), len(theirs))):
        blinded = None
        if turn < len(theirs):
            start, stop = theirs[turn]
            blinded = (yield from recv(BlindedItems)).points
            require(len(blinded) == stop - start, "a chunk has another number of elements than agreed")
        if turn < len(own):
            part = own[turn]
            points = yield from compute(hash_and_mask, shuffled.slice(*part), params.context, key, work=part[1] - part[0])
            yield from send(MaskedItems(points))
        if blinded is not None:
            seen.append(_prefixes(blinded))
            tags.append((yield from compute(_double_mask, blinded, key, params, work=len(blinded))))
    # Sent several times, an element would show by the multiplicity of its tag whether it is in common.
    require((yield from compute(_all_differ, seen)), "an element came twice")
    returned = yield from compute(_sorted_blocks, b"".join(tags), params)
    for start, stop in chunks(params.receiver_size, CHUNK_BYTES // params.tag_bytes):
        yield from send(ReturnedTags(returned[start * params.tag_bytes : stop * params.tag_bytes]))
    return order


def _secret_order(sizes: Sequence[int], rng: Rng) -> NDArray[np.int64]:
    """Blocks stay one after another; inside each the order is random, so a position says nothing of a row."""
    starts = np.cumsum([0, *sizes])
    return np.concatenate([start + rng.permutation(size).astype(np.int64) for start, size in zip(starts, sizes)])


def _shuffled(blocks: Sequence[Items], params: Params, order: NDArray[np.int64], rng: Rng) -> Items:
    return padded_blocks(blocks, params.sender_blocks, rng).take(order.astype(np.uint32))


def _prefixes(points: PointBatch) -> bytes:
    """Half of each encoding: equal elements have equal ones, and different elements practically never."""
    return np.frombuffer(points.data, dtype=np.uint8).reshape(-1, 32)[:, :_PREFIX_BYTES].tobytes()


def _all_differ(prefixes: list[bytes]) -> bool:
    ordered, _ = sort_tags(b"".join(prefixes), _PREFIX_BYTES)
    rows = np.frombuffer(ordered, dtype=np.uint64).reshape(-1, 2)
    return not bool((rows[1:] == rows[:-1]).all(axis=1).any())


def _double_mask(points: PointBatch, scalar: Scalar, params: Params) -> bytes:
    return point_tags(mask(points, scalar), params.context, params.tag_bytes)


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


# --- sums ----------------------------------------------------------------------------------------------------------------


def _check(params: Params) -> None:
    check_cells(*params.shape)
    check_input(min(params.receiver_blocks + params.sender_blocks) >= 1, "sizes of groups")
    check_input(all(1 <= width <= WIDTH_MAX for width in params.widths), "widths")
    check_widths(params.widths, params.output)


def _offsets(withheld: NDArray[np.bool_], params: Params, rng: Rng) -> NDArray[np.uint64]:
    """What hides the sums from the sender: all 64 bits, or, where it is to learn the low W bits, those above."""
    words = np.frombuffer(rng.bytes(8 * params.cells * len(params.widths)), dtype="<u8").astype(np.uint64)
    words = words.reshape(params.cells, len(params.widths))
    if params.output == "receiver":
        return words
    return np.where(withheld.reshape(-1, 1), words, words & ~low_bits(params.widths))


def low_bits(widths: Sequence[int]) -> NDArray[np.uint64]:
    """Return for each statistic the mask of its sum's bits."""
    return np.array([(1 << width) - 1 for width in widths], dtype=np.uint64)


def signed(words: NDArray[np.uint64], widths: Sequence[int]) -> NDArray[np.int64]:
    """Return the low bits of (…, statistics) words as two's complement numbers of the statistics' widths."""
    above = np.array([64 - width for width in widths], dtype=np.uint64)
    numbers: NDArray[np.int64] = (words << above).view(np.int64) >> above.astype(np.int64)
    return numbers


def send_sums(words: NDArray[np.uint64]) -> Script[None]:
    """Send (cells, statistics) words."""
    data = word_bytes(words)
    for start, stop in chunks(len(data), CHUNK_BYTES):
        yield from send(ReleasedSums(data[start:stop]))


def recv_sums(cells: int, widths: Sequence[int]) -> Script[NDArray[np.uint64]]:
    """Receive the words of all cells.

    Raises:
        RemoteProtocolError: there are more or fewer than (cells, statistics), or one has more bits than its width.
    """
    parts = []
    for start, stop in chunks(8 * cells * len(widths), CHUNK_BYTES):
        part = (yield from recv(ReleasedSums)).sums
        require(len(part) == stop - start, "a piece of the sums has another size than agreed")
        parts.append(part)
    words = words_of(b"".join(parts), cells * len(widths), "the sums").reshape(cells, -1)
    require(bool((words <= low_bits(widths)).all()), "a sum has more bits than agreed")
    return words
