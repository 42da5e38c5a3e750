"""``dh-psi``: which items do both hold? Private set intersection from an oblivious PRF with a fresh key a run.

::

    receiver (items Y)                                      sender (items X, rows)
    b <- random scalar                                      k <- random scalar
      BlindedItems        H(y)·b, padded      ------------>
                          <------------  EvaluatedItems     H(y)·b·k, in the receiver's order
      F(y) = Hash(y, H(y)·k)                                F(x) = Hash(x, H(x)·k)
                          <------------  SenderTags         truncated F(x), padded, sorted
                          <------------  RowEntries         one sealed fixed-width entry a row, padded, sorted (when released)
      MatchedPositions    bitmap over tags    ------------> (when the output goes to both)

Glossary: H = hash to ristretto255 (RFC 9380 expand_message_xmd with SHA-512, RFC 9496 derivation) under a tag bound to the
session · b = the receiver's multiplicative blind, one a run · k = the sender's PRF key, one a run · F = PRF output.

Who learns what: the receiver learns which of its items the sender holds and, for these, the released rows; the sender
learns the receiver's padded size and, when agreed, which of its own items matched. Nothing else leaves: tags of unmatched
items are pseudorandom (one-more gap Diffie-Hellman, random oracle), their order is the order of random strings, and the
numbers of tags and of entries depend on public sizes alone.

One shared *multiplicative* blind over distinct items with a fresh key a run is sound (decisional Diffie-Hellman); a shared
*additive* blind would reveal differences. Items must be distinct: equal items would give equal points.

Adversary model: semi-honest. A malformed message is refused; a receiver that lies about its items learns whether those are
held (the agreement's quotas bound how many); a sender that lies changes the receiver's answer, or makes the run fail depending
on the receiver's items (a tag without a row, a row that does not open), one bit a run. Neither crashes anything.

Cost for padded sizes N (receiver) and M (sender): 2N and N+m scalar multiplications, m the sender's true number; bytes
64·N + t·M, t = tag length, plus (u + width + 16)·M·R for rows with bound R a key and row-tag length u.

References: RFC 9497 (OPRF mode, §3.3.1), RFC 9496, RFC 9380 §5.3.1; Jarecki and Liu, TCC 2009; Meadows, S&P 1986.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from psc.crypto import (
    SUITE,
    Items,
    OprfOutputs,
    PointBatch,
    Rng,
    Scalar,
    evaluate_items,
    find_tags,
    hash_and_mask,
    mask,
    open_rows,
    seal_rows,
    sort_tags,
    unmask,
)
from psc.errors import EncodingError
from psc.protocols.base import (
    CHUNK_BYTES,
    Message,
    ProtocolSpec,
    Script,
    check_fits,
    chunks,
    compute,
    recv,
    recv_bytes,
    require,
    send,
    send_bytes,
    tag_bytes,
)

__all__ = [
    "SPEC",
    "BlindedItems",
    "EvaluatedItems",
    "Found",
    "Intersection",
    "MatchedPositions",
    "OpenedRows",
    "Params",
    "RowEntries",
    "RowShape",
    "SenderOutput",
    "SenderRows",
    "SenderTags",
    "find",
    "message_bytes",
    "offer",
    "receiver",
    "sender",
]


@dataclass(frozen=True, slots=True)
class BlindedItems(Message):
    """A chunk of the receiver's items, hashed to the group and blinded; padded with random elements."""

    points: PointBatch


@dataclass(frozen=True, slots=True)
class EvaluatedItems(Message):
    """The same chunk, multiplied by the sender's key, in the same order."""

    points: PointBatch


@dataclass(frozen=True, slots=True)
class SenderTags(Message):
    """A chunk of the sender's truncated PRF outputs, sorted as byte strings, padded with random ones."""

    tags: bytes


@dataclass(frozen=True, slots=True)
class RowEntries(Message):
    """A chunk of sealed rows, each row tag, ciphertext and authenticator, sorted, padded with random ones."""

    entries: bytes


@dataclass(frozen=True, slots=True)
class MatchedPositions(Message):
    """A chunk of the bitmap over the sender's tags, least significant bit first; empty and not ``released`` when withheld."""

    released: bool
    bitmap: bytes


@dataclass(frozen=True, slots=True)
class RowShape:
    """Public shape of the released rows: payload width in bytes and the bound of rows per key."""

    width_bytes: int
    rows_per_key: int


@dataclass(frozen=True, slots=True)
class Params:
    """What both sides agreed in the handshake.

    Attributes:
        context: 32 bytes bound to the session, the same for both roles.
        receiver_size: the receiver's padded number of distinct items.
        sender_size: the sender's padded number of distinct items.
        rows: shape of the released rows, or ``None`` when none are released.
        reveal_to_sender: whether the sender learns which of its items matched.
        minimum_result: below this many matches the result is withheld from the sender (and, above this layer, from the user).
        shards: the number of runs of about these sizes that give one result; together they have one run's false matches.
    """

    context: bytes
    receiver_size: int
    sender_size: int
    rows: RowShape | None = None
    reveal_to_sender: bool = False
    minimum_result: int = 0
    shards: int = field(default=1, kw_only=True)

    @property
    def tag_bytes(self) -> int:
        """Length of the sender's tags."""
        return tag_bytes(self.receiver_size * self.sender_size * self.shards)

    @property
    def row_tag_bytes(self) -> int:
        """Length of row tags: every key may be tried against every entry for each counter."""
        rows = self.rows.rows_per_key if self.rows else 1
        return tag_bytes(self.receiver_size * rows * self.sender_size * rows * self.shards)

    @property
    def entry_bytes(self) -> int:
        """Length of one sealed row."""
        return self.row_tag_bytes + self.rows.width_bytes + 16 if self.rows else 0

    @property
    def entries(self) -> int:
        """Number of sealed rows on the wire: public, whatever the multiplicities are."""
        return self.sender_size * self.rows.rows_per_key if self.rows else 0


@dataclass(frozen=True, slots=True)
class SenderRows:
    """The sender's rows to release.

    Attributes:
        items: index of the distinct item of each row.
        counters: 1-based number of the row within its item, at most the bound.
        payloads: the rows' fixed-width encodings, one after the other.
    """

    items: NDArray[np.uint32]
    counters: NDArray[np.uint32]
    payloads: bytes


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """Rows that the receiver opened: index of its own item, 1-based counter, payloads one after the other."""

    items: NDArray[np.uint32]
    counters: NDArray[np.uint32]
    payloads: bytes


@dataclass(frozen=True, slots=True)
class Intersection:
    """The receiver's output: ascending indices of its matched items, and their rows when some are released."""

    matched: NDArray[np.uint32]
    rows: OpenedRows | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a receiver has before anything is told to the sender.

    Attributes:
        matched: ascending indices of its matched items.
        positions: for each of them, the position of its tag among the sender's.
        rows: their released rows, or ``None``.
    """

    matched: NDArray[np.uint32]
    positions: NDArray[np.int64]
    rows: OpenedRows | None


@dataclass(frozen=True, slots=True)
class SenderOutput:
    """The sender's output: ascending indices of its matched items, or ``None``: it learned nothing (or it was withheld)."""

    matched: NDArray[np.uint32] | None


SPEC = ProtocolSpec(
    id="dh-psi",
    version=1,
    suite=SUITE,
    model="semi-honest",
    leakage_receiver=("leakage.match.receiver", "leakage.match.lying", "leakage.match.sizes"),
    leakage_sender=("leakage.match.sender", "leakage.match.cheating", "leakage.match.sizes"),
)


def receiver(items: Items, params: Params, rng: Rng) -> Script[Intersection]:
    """Run the receiver.

    Args:
        items: distinct items, at most ``params.receiver_size``.
        params: as agreed.
        rng: source of the blind and of the dummies.

    Returns:
        The indices of the receiver's matched items and their released rows.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected.

    Leakage:
        The sender sees ``params.receiver_size`` uniformly distributed group elements.
    """
    found = yield from find(items, params, rng)
    if params.reveal_to_sender:
        yield from send_positions(found.positions, params.sender_size, params.minimum_result)
    return Intersection(found.matched, found.rows)


def find(items: Items, params: Params, rng: Rng) -> Script[Found]:
    """Run the receiver up to its matches; arguments and errors as for ``receiver``. The sender is told nothing."""
    check_fits(items, params.receiver_size)
    padded = yield from compute(items.padded, params.receiver_size, rng)
    blind = rng.scalar()
    inverse = blind.inverse()
    outputs: list[OprfOutputs] = []
    waiting: list[tuple[int, int]] = []
    for part in chunks(params.receiver_size):
        points = yield from compute(hash_and_mask, padded.slice(*part), params.context, blind, work=part[1] - part[0])
        yield from send(BlindedItems(points))
        waiting.append(part)
        # One chunk stays in flight, so that the sender evaluates while we blind; more would deadlock at capacity 1.
        if len(waiting) == 2:
            outputs.append((yield from _collect(padded, waiting.pop(0), params, inverse)))
    for part in waiting:
        outputs.append((yield from _collect(padded, part, params, inverse)))
    output = yield from compute(OprfOutputs.concat, outputs)

    tags = yield from recv_bytes(SenderTags, "tags", params.sender_size, params.tag_bytes)
    positions = (yield from compute(_positions, output, tags, params.tag_bytes))[: len(items)]
    matched = np.flatnonzero(positions >= 0).astype(np.uint32)
    require(distinct(positions[matched], params.sender_size) == len(matched), "two of our items match one tag")
    rows = None
    if params.rows is not None:
        entries = yield from recv_bytes(RowEntries, "entries", params.entries, params.entry_bytes)
        rows = yield from compute(open_entries, output, matched, entries, params, params.rows)
        require(distinct(rows.items, params.receiver_size) == len(matched), "a matched item has no row")
    return Found(matched, positions[matched], rows)


def sender(items: Items, rows: SenderRows | None, params: Params, rng: Rng) -> Script[SenderOutput]:
    """Run the sender.

    Args:
        items: distinct items, at most ``params.sender_size``.
        rows: rows to release; required exactly when ``params.rows`` is set.
        params: as agreed.
        rng: source of the key, the dummies and the order.

    Returns:
        Its matched items when ``params.reveal_to_sender``, else nothing.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected.

    Leakage:
        The receiver sees PRF outputs of its own items, and pseudorandom tags and entries in numbers fixed by public sizes.
    """
    order = yield from offer(items, rows, params, rng)
    return SenderOutput((yield from recv_positions(order, len(items))) if params.reveal_to_sender else None)


def offer(items: Items, rows: SenderRows | None, params: Params, rng: Rng) -> Script[NDArray[np.uint32]]:
    """Run the sender up to its tags and rows; arguments and errors as for ``sender``.

    Returns:
        The item of each tag; dummies have numbers from ``len(items)`` up.
    """
    check_fits(items, params.sender_size)
    key = rng.scalar()
    own = list(chunks(len(items)))
    outputs: list[OprfOutputs] = []
    for start, stop in chunks(params.receiver_size):
        blinded = yield from recv(BlindedItems)
        require(len(blinded.points) == stop - start, "a chunk has another number of elements than agreed")
        evaluated = yield from compute(mask, blinded.points, key, work=stop - start)
        yield from send(EvaluatedItems(evaluated))
        if own:  # our own items, one chunk in turn, while the receiver is busy with its next
            outputs.append((yield from _evaluate(items, own.pop(0), key, params.context)))
    for part in own:
        outputs.append((yield from _evaluate(items, part, key, params.context)))
    output = yield from compute(OprfOutputs.concat, outputs)

    tags, order = yield from compute(_padded_tags, output, params, rng)
    yield from send_bytes(SenderTags, tags, params.tag_bytes)
    if params.rows is not None:
        if rows is None:
            raise EncodingError("session.rows-missing")
        entries = yield from compute(seal_entries, output, rows, params, params.rows, rng)
        yield from send_bytes(RowEntries, entries, params.entry_bytes)
    return order


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back: the formula of the module's docstring."""
    forward = 32 * params.receiver_size + ((params.sender_size + 7) // 8 if params.reveal_to_sender else 0)
    back = 32 * params.receiver_size + params.tag_bytes * params.sender_size + params.entry_bytes * params.entries
    return forward, back


def _collect(padded: Items, part: tuple[int, int], params: Params, inverse: Scalar) -> Script[OprfOutputs]:
    evaluated = (yield from recv(EvaluatedItems)).points
    own = padded.slice(*part)
    require(len(evaluated) == len(own), "the sender answered another number of elements")
    return (yield from compute(unmask, own, evaluated, inverse, params.context, work=len(own)))


def _positions(output: OprfOutputs, tags: bytes, length: int) -> NDArray[np.int64]:
    return find_tags(output.tags(length), tags, length)


def distinct(numbers: NDArray[np.integer], bound: int) -> int:
    """Return how many different numbers there are, all at least 0 and below ``bound``."""
    seen = np.zeros(bound, dtype=bool)
    seen[numbers] = True
    return int(np.count_nonzero(seen))


def open_entries(output: OprfOutputs, matched: NDArray[np.uint32], entries: bytes, params: Params, shape: RowShape) -> OpenedRows:
    """Open the rows of the receiver's matched items."""
    found = open_rows(output, matched, entries, shape.width_bytes, params.row_tag_bytes, shape.rows_per_key, params.context)
    return OpenedRows(*found)


def seal_entries(output: OprfOutputs, rows: SenderRows, params: Params, shape: RowShape, rng: Rng) -> bytes:
    """Seal the sender's rows under the outputs of their items, padded and sorted."""
    return seal_rows(
        output,
        rows.items,
        rows.counters,
        rows.payloads,
        shape.width_bytes,
        params.row_tag_bytes,
        params.context,
        rng,
        params.entries,
    )


def _evaluate(items: Items, part: tuple[int, int], key: Scalar, context: bytes) -> Script[OprfOutputs]:
    return (yield from compute(evaluate_items, items.slice(*part), key, context, work=part[1] - part[0]))


def _padded_tags(output: OprfOutputs, params: Params, rng: Rng) -> tuple[bytes, NDArray[np.uint32]]:
    dummies = rng.bytes((params.sender_size - len(output)) * params.tag_bytes)
    return sort_tags(output.tags(params.tag_bytes) + dummies, params.tag_bytes)


def send_positions(positions: NDArray[np.int64], tags: int, minimum: int) -> Script[None]:
    """Send the bitmap over the sender's ``tags`` tags, or that it is withheld: fewer than ``minimum`` match."""
    if len(positions) < minimum:
        yield from send(MatchedPositions(released=False, bitmap=b""))
        return
    marks = np.zeros(tags, dtype=np.uint8)
    marks[positions] = 1
    bitmap = np.packbits(marks, bitorder="little").tobytes()
    for start, stop in chunks(len(bitmap), CHUNK_BYTES):
        yield from send(MatchedPositions(released=True, bitmap=bitmap[start:stop]))


def recv_positions(order: NDArray[np.uint32], count: int) -> Script[NDArray[np.uint32] | None]:
    """Receive the bitmap; return the sender's matched items, or ``None`` when it is withheld.

    Args:
        order: the item of each tag; dummies have numbers from ``count`` up.
        count: number of items.
    """
    parts: list[bytes] = []
    for start, stop in chunks((len(order) + 7) // 8, CHUNK_BYTES):
        message = yield from recv(MatchedPositions)
        if not message.released:
            require(not parts and not message.bitmap, "a withheld result carries positions")
            return None
        require(len(message.bitmap) == stop - start, "the bitmap has another size than agreed")
        parts.append(message.bitmap)
    marks = np.unpackbits(np.frombuffer(b"".join(parts), dtype=np.uint8), bitorder="little")
    require(not marks[len(order) :].any(), "the bitmap marks positions beyond the end")
    matched = np.sort(order[np.flatnonzero(marks[: len(order)])])
    return matched[matched < count]  # a marked dummy is a lie; to refuse it would tell how many dummies there are
