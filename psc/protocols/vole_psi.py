"""``vole-psi``: which items do both hold? Private set intersection from silent VOLE and an oblivious key-value store.

::

    receiver (items Y)                                      sender (items X, rows)
    silent VOLE of m elements, m = ⌈1.1·N⌉ + 256            delta <- random
                          <------------  VoleChoices        128 base transfers, one a bit of delta
      VoleExtension       correlated transfers, check ----->
                          <------------  VoleTrees          punctured trees
      VoleChallenge       of the trees    ------------>     (malicious mode only)
                          <------------  VoleAnswer         (malicious mode only)
    A', C                                                   B with C = A'·delta + B
                          <------------  MaskCommitment     Hash(v, nonce) (malicious mode only)
      TableSeed           r               ------------>     h, row <- keyed by r
      MaskedTable         P + A', in chunks ---------->     K = B + delta·(P + A')
      ReceiverMask        u               ------------>     (malicious mode only)
                          <------------  MaskOpening        v, nonce (malicious mode only)
    F(y) = Hash(<row(y), C> + w, y)                         F(x) = Hash(<row(x), K> + delta·h(x) + w, x)
                          <------------  SenderTags         truncated F(x), padded, sorted
                          <------------  RowEntries         one sealed fixed-width entry a row, padded, sorted (when released)
      MatchedPositions    bitmap over tags    ------------> (when the output goes to both)

Glossary: N, M = the receiver's and the sender's padded size · row(y) = a band of 256 random bits among m columns · P = the
table with <row(y), P> = h(y) for every own y (the key-value store) · h = hash to GF(2^128) · w = u + v in malicious mode, else
0 · F = pseudorandom function of the run. All arithmetic is in GF(2^128).

Who learns what: the receiver learns which of its items the sender holds and, for these, the released rows; the sender learns
the receiver's padded size and, when agreed, which of its own items matched. Nothing else leaves: the table travels under
pseudorandom A' (learning parity with noise), tags of unmatched items are pseudorandom to the receiver, their order is the order
of random strings, and all numbers and lengths depend on public sizes alone. Items must be distinct. When the items cannot be
encoded (rarer than 2^-50) the run ends before anything that depends on them was sent; it is never tried again by itself.

Adversary model: semi-honest; or malicious for the one-sided match without rows (``Params.malicious``), with false matches rarer
than 2^-40. Then a malicious receiver learns about at most m of the sender's items, not only N, and a malicious sender can at
most have other items than it says; either can end the run. Rows, the bitmap and the minimum are outside that theorem. In
semi-honest mode a malformed message is refused; a receiver that lies about its items learns whether those are held (the
agreement's quotas bound how many), and a sender that lies changes the answer. Neither crashes anything.

Cost: 16·m + t·M bytes and the VOLE's (about 1.5 MB at 2^20 items), t = tag length, 16 in malicious mode; plus
(u + width + 16)·M·R for rows with bound R a key and row-tag length u. ``message_bytes`` is exact.

References: Raghuraman and Rindal, ePrint 2022/320 (the protocol; figure 10 for the masks); Bienstock, Patel, Seo and Yeo, ePrint
2023/903 (the store); Boyle et al., ePrint 2019/1159, and Raghuraman, Rindal and Tanguy, ePrint 2023/882 (silent VOLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.crypto.vole import (
    COMMITMENT_BYTES,
    ELEMENT_BYTES,
    MASK_BYTES,
    OPENING_BYTES,
    SEED_BYTES,
    PsiShape,
    VolePsiOutputs,
    VolePsiReceiver,
    VolePsiSender,
    VoleReceiver,
    VoleSender,
    VoleShares,
    VoleVectors,
    psi_shape,
    vole_bytes,
)
from psc.errors import EncodingError, UsageError
from psc.protocols import dh_psi
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
    recv_parts,
    require,
    send,
    send_bytes,
)
from psc.protocols.dh_psi import (
    Found,
    Intersection,
    RowEntries,
    SenderOutput,
    SenderRows,
    SenderTags,
    distinct,
    open_entries,
    recv_positions,
    seal_entries,
    send_positions,
)

__all__ = [
    "SPEC",
    "MaskCommitment",
    "MaskOpening",
    "MaskedTable",
    "Params",
    "ReceiverMask",
    "TableSeed",
    "VoleAnswer",
    "VoleChallenge",
    "VoleChoices",
    "VoleExtension",
    "VoleTrees",
    "buffer_bytes",
    "evaluate_all",
    "evaluate_own",
    "find",
    "message_bytes",
    "offer",
    "receiver",
    "sender",
]

_CHUNK_ELEMENTS = CHUNK_BYTES // ELEMENT_BYTES


@dataclass(frozen=True, slots=True)
class VoleChoices(Message):
    """The sender's base transfers: two group elements a bit of delta."""

    data: bytes


@dataclass(frozen=True, slots=True)
class VoleExtension(Message):
    """A chunk of the receiver's base point, its correlated transfers and their check."""

    data: bytes


@dataclass(frozen=True, slots=True)
class VoleTrees(Message):
    """A chunk of the sender's punctured trees."""

    data: bytes


@dataclass(frozen=True, slots=True)
class VoleChallenge(Message):
    """The receiver's challenge of the trees."""

    data: bytes


@dataclass(frozen=True, slots=True)
class VoleAnswer(Message):
    """The sender's answer to it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MaskCommitment(Message):
    """The sender's commitment to its mask, before it knows the table."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TableSeed(Message):
    """The receiver's seed, which keys the hash of items to rows."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MaskedTable(Message):
    """A chunk of the receiver's masked table: field elements, 16 bytes each."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReceiverMask(Message):
    """The receiver's mask, after the whole table."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MaskOpening(Message):
    """The sender's mask, and the nonce that hid it in the commitment."""

    data: bytes


_Chunk = TypeVar("_Chunk", VoleChoices, VoleExtension, VoleTrees)
_Short = TypeVar("_Short", VoleChallenge, VoleAnswer, MaskCommitment, TableSeed, ReceiverMask, MaskOpening)


@dataclass(frozen=True, slots=True)
class Params(dh_psi.Params):
    """What both sides agreed in the handshake: as in ``dh-psi``, and the mode.

    Attributes:
        malicious: withstand a peer that deviates; only without rows and with output to the receiver alone.

    Raises:
        UsageError: ``malicious`` with rows or with output to the sender.
    """

    malicious: bool = False

    def __post_init__(self) -> None:
        if self.malicious and (self.rows is not None or self.reveal_to_sender):
            raise UsageError("session.malicious-match-one-sided")

    @property
    def shape(self) -> PsiShape:
        """Elements of the table, and bytes of a tag."""
        return psi_shape(self.receiver_size, self.sender_size, self.malicious, self.shards)

    @property
    def tag_bytes(self) -> int:
        """Length of the sender's tags."""
        return self.shape.tag_bytes


SPEC = ProtocolSpec(
    id="vole-psi",
    version=1,
    suite="GF(2^128), RB-OKVS 1.1/256, ExConv 7/24, BLAKE3",
    model="semi-honest",
    leakage_receiver=("leakage.match.receiver", "leakage.match.lying", "leakage.match.sizes"),
    leakage_sender=("leakage.match.sender", "leakage.match.cheating", "leakage.match.sizes"),
)


def receiver(items: Items, params: Params, rng: Rng) -> Script[Intersection]:
    """Run the receiver.

    Args:
        items: distinct items, at most ``params.receiver_size``.
        params: as agreed.
        rng: source of the noise, the seed and the dummies.

    Returns:
        The indices of the receiver's matched items and their released rows.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected, or a check failed.
        CryptoError: the items could not be encoded (rarer than 2^-50).

    Leakage:
        The sender sees messages of public lengths that are pseudorandom to it.
    """
    found = yield from find(items, params, rng)
    if params.reveal_to_sender:
        yield from send_positions(found.positions, params.sender_size, params.minimum_result)
    return Intersection(found.matched, found.rows)


def find(items: Items, params: Params, rng: Rng) -> Script[Found]:
    """Run the receiver up to its matches; arguments and errors as for ``receiver``. The sender is told nothing."""
    outputs = yield from evaluate_own(items, params, rng)
    yield from compute(outputs.prepare, work=len(items))  # while the sender evaluates its own

    tags = yield from recv_parts(SenderTags, "tags", params.sender_size, params.tag_bytes)
    positions = (yield from compute(outputs.find, tags))[: len(items)]
    del tags
    matched = np.flatnonzero(positions >= 0).astype(np.uint32)
    require(distinct(positions[matched], params.sender_size) == len(matched), "two of our items match one tag")
    rows = None
    if params.rows is not None:
        entries = yield from recv_bytes(RowEntries, "entries", params.entries, params.entry_bytes)
        output = yield from compute(outputs.outputs)
        rows = yield from compute(open_entries, output, matched, entries, params, params.rows)
        require(distinct(rows.items, params.receiver_size) == len(matched), "a matched item has no row")
    return Found(matched, positions[matched], rows)


def sender(items: Items, rows: SenderRows | None, params: Params, rng: Rng) -> Script[SenderOutput]:
    """Run the sender.

    Args:
        items: distinct items, at most ``params.sender_size``.
        rows: rows to release; required exactly when ``params.rows`` is set.
        params: as agreed.
        rng: source of delta, the trees and the dummies.

    Returns:
        Its matched items when ``params.reveal_to_sender``, else nothing.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected, or a check failed.

    Leakage:
        The receiver sees outputs of a pseudorandom function of its own items, and pseudorandom tags and entries in numbers
        fixed by public sizes.
    """
    order = yield from offer(items, rows, params, rng)
    return SenderOutput((yield from recv_positions(order, len(items))) if params.reveal_to_sender else None)


def offer(items: Items, rows: SenderRows | None, params: Params, rng: Rng) -> Script[NDArray[np.uint32]]:
    """Run the sender up to its tags and rows; arguments and errors as for ``sender``.

    Returns:
        The item of each tag; dummies have numbers from ``len(items)`` up.
    """
    check_fits(items, params.sender_size)
    padded = yield from compute(items.padded, params.sender_size, rng)
    outputs = yield from evaluate_all(padded, params, rng)
    yield from compute(outputs.prepare, work=len(items))

    tags, order = yield from compute(outputs.sorted_tags)
    yield from send_bytes(SenderTags, tags, params.tag_bytes)
    if params.rows is not None:
        if rows is None:
            raise EncodingError("session.rows-missing")
        yield from _send_rows(outputs, rows, params, params.rows, rng)
    return order


def evaluate_own(items: Items, params: Params, rng: Rng) -> Script[VolePsiOutputs]:
    """Run the receiver up to its outputs F(y): those of its items first, then those of the dummies that pad them.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected, or a check failed.
        CryptoError: the items could not be encoded (rarer than 2^-50).
    """
    check_fits(items, params.receiver_size)
    padded = yield from compute(items.padded, params.receiver_size, rng)
    vectors = yield from _vole_receiver(params, rng)
    commitment = (yield from _recv_short(MaskCommitment, COMMITMENT_BYTES)) if params.malicious else None
    public = (params.context, params.receiver_size, params.sender_size, params.malicious)
    state = yield from compute(VolePsiReceiver.start, *public, commitment, rng, params.shards)
    yield from send(TableSeed(state.seed()))  # so that the sender hashes its items while ours are encoded
    yield from compute(state.encode, padded, vectors)
    for start, stop in chunks(params.shape.columns, _CHUNK_ELEMENTS):
        yield from send(MaskedTable((yield from compute(state.masked, start, stop))))
    opening = None
    if params.malicious:
        yield from send(ReceiverMask(state.mask() or b""))
        opening = yield from _recv_short(MaskOpening, OPENING_BYTES)
    return (yield from compute(state.finish, opening))


def evaluate_all(padded: Items, params: Params, rng: Rng) -> Script[VolePsiOutputs]:
    """Run the sender up to its outputs F(x), in the order of its padded items.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected, or a check failed.
    """
    shares = yield from _vole_sender(params, rng)
    public = (params.context, params.receiver_size, params.sender_size, params.malicious)
    state = yield from compute(VolePsiSender.start, *public, shares, rng, params.shards)
    if params.malicious:
        yield from send(MaskCommitment(state.commitment() or b""))
    seed = yield from _recv_short(TableSeed, SEED_BYTES)
    yield from compute(state.hash, seed, padded)
    for start, stop in chunks(params.shape.columns, _CHUNK_ELEMENTS):
        piece = (yield from recv(MaskedTable)).data
        require(len(piece) == (stop - start) * ELEMENT_BYTES, "a chunk of the table has another size than agreed")
        yield from compute(state.absorb, piece)
    if params.malicious:
        mask = yield from _recv_short(ReceiverMask, MASK_BYTES)
        yield from send(MaskOpening(state.open(mask)))
    return (yield from compute(state.finish))


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back: the formula of the module's docstring."""
    shape, vole = params.shape, vole_bytes(params.shape.columns, params.malicious)
    forward = vole.extension + vole.challenge + SEED_BYTES + ELEMENT_BYTES * shape.columns
    back = vole.choices + vole.trees + vole.answer + shape.tag_bytes * params.sender_size + params.entry_bytes * params.entries
    if params.malicious:
        forward += MASK_BYTES
        back += COMMITMENT_BYTES + OPENING_BYTES
    if params.reveal_to_sender:
        forward += (params.sender_size + 7) // 8
    return forward, back


def buffer_bytes(params: Params) -> int:
    """Return how many bytes of large buffers a party's kernels hold at once, about: it holds the most while it encodes."""
    return 150 * params.shape.columns


def _vole_receiver(params: Params, rng: Rng) -> Script[VoleVectors]:
    columns = params.shape.columns
    lengths = vole_bytes(columns, params.malicious)
    choices = yield from _recv_chunks(VoleChoices, lengths.choices)
    state = yield from compute(VoleReceiver.start, params.context, columns, params.malicious, choices, rng)
    yield from _send_chunks(VoleExtension, state.extension())
    trees = yield from _recv_chunks(VoleTrees, lengths.trees)
    challenge = yield from compute(state.expand, trees, rng)
    answer = None
    if challenge is not None:
        yield from send(VoleChallenge(challenge))
        answer = yield from _recv_short(VoleAnswer, lengths.answer)
    return (yield from compute(state.finish, answer))


def _vole_sender(params: Params, rng: Rng) -> Script[VoleShares]:
    columns = params.shape.columns
    lengths = vole_bytes(columns, params.malicious)
    state = yield from compute(VoleSender.start, params.context, columns, params.malicious, rng)
    yield from _send_chunks(VoleChoices, state.choices())
    extension = yield from _recv_chunks(VoleExtension, lengths.extension)
    yield from _send_chunks(VoleTrees, (yield from compute(state.puncture, extension, rng)))
    if params.malicious:
        challenge = yield from _recv_short(VoleChallenge, lengths.challenge)
        yield from send(VoleAnswer((yield from compute(state.answer, challenge))))
    return (yield from compute(state.finish))


def _send_rows(outputs: VolePsiOutputs, rows: SenderRows, params: Params, shape: dh_psi.RowShape, rng: Rng) -> Script[None]:
    output = yield from compute(outputs.outputs)
    entries = yield from compute(seal_entries, output, rows, params, shape, rng)
    yield from send_bytes(RowEntries, entries, params.entry_bytes)


def _send_chunks(kind: type[_Chunk], data: bytes) -> Script[None]:
    for start, stop in chunks(len(data), CHUNK_BYTES):
        yield from send(kind(data[start:stop]))


def _recv_chunks(kind: type[_Chunk], length: int) -> Script[bytes]:
    parts = []
    for start, stop in chunks(length, CHUNK_BYTES):
        part = (yield from recv(kind)).data
        require(len(part) == stop - start, f"a chunk of {kind.__name__} has another size than agreed")
        parts.append(part)
    return b"".join(parts)


def _recv_short(kind: type[_Short], length: int) -> Script[bytes]:
    data = (yield from recv(kind)).data
    require(len(data) == length, f"{kind.__name__} has another size than agreed")
    return data
