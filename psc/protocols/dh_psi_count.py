"""``dh-psi-count``: how many items do both hold? Cardinality by double masking; what returns is sorted, so it links to nothing.

::

    receiver (items Y)                                      sender (items X)
    b <- random scalar                                      k <- random scalar
      BlindedItems        H(y)·b, padded      ------------>
                          <------------  MaskedItems        H(x)·k, padded, in a secret random order
                          <------------  ReturnedTags       Hash(H(y)·b·k), truncated, sorted
      count of Hash(H(x)·k·b) among the returned tags
      CommonCount         count               ------------> (when the output goes to both)

Glossary: H = hash to ristretto255 under a tag bound to the session · b, k = one-shot masks of the run.

Who learns what: the receiver learns the number of common items and no more: the returned tags are sorted, so none can be
linked to one of its items, and the sender's elements come in a random order. The sender learns the receiver's padded size.

Adversary model: semi-honest. **A cheating receiver obtains membership**: it masks each item y with its own b_y, then tests
every returned tag against every (x, b_y), M multiplications a key (``tests/integration/test_attacks.py`` carries this out).
Elements that come twice are refused, which stops the cheaper form: one mask, and key i sent i times. The quotas of ``match``
apply to ``count`` too, and the leakage statement says so.

Cost for padded sizes N and M: N+M scalar multiplications a party; bytes 32·N + 32·M + t·N.

References: De Cristofaro, Gasti, Tsudik, CANS 2012 (PSI-CA); Ion et al., ePrint 2019/723, Figure 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psc.crypto import SUITE, Items, PointBatch, Rng, Scalar, count_common, hash_and_mask, mask, point_tags, sort_tags
from psc.protocols.base import (
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
from psc.protocols.dh_psi import BlindedItems

__all__ = [
    "SPEC",
    "CommonCount",
    "Count",
    "MaskedItems",
    "Params",
    "ReturnedTags",
    "exchange_as_receiver",
    "exchange_as_sender",
    "message_bytes",
    "receiver",
    "sender",
]

_PREFIX_BYTES = 16


@dataclass(frozen=True, slots=True)
class MaskedItems(Message):
    """A chunk of the sender's items, hashed and masked, in a secret random order; padded with random elements."""

    points: PointBatch


@dataclass(frozen=True, slots=True)
class ReturnedTags(Message):
    """A chunk of the tags of the receiver's doubly masked items, sorted as byte strings."""

    tags: bytes


@dataclass(frozen=True, slots=True)
class CommonCount(Message):
    """The receiver's count for the sender; 0 and not ``released`` when it is below the agreed minimum."""

    released: bool
    count: int


@dataclass(frozen=True, slots=True)
class Params:
    """What both sides agreed in the handshake; fields as in ``dh_psi.Params``."""

    context: bytes
    receiver_size: int
    sender_size: int
    reveal_to_sender: bool = False
    minimum_result: int = 0

    @property
    def tag_bytes(self) -> int:
        """Length of the returned tags."""
        return tag_bytes(self.receiver_size * self.sender_size)


@dataclass(frozen=True, slots=True)
class Count:
    """A party's output: the number of common items, or ``None``: it was not agreed to learn it (or it was withheld)."""

    common: int | None


SPEC = ProtocolSpec(
    id="dh-psi-count",
    version=1,
    suite=SUITE,
    model="semi-honest",
    leakage_receiver=("leakage.count.receiver", "leakage.count.cheating", "leakage.match.sizes"),
    leakage_sender=("leakage.count.sender", "leakage.match.cheating", "leakage.match.sizes"),
)


def receiver(items: Items, params: Params, rng: Rng) -> Script[Count]:
    """Run the receiver.

    Args:
        items: distinct items, at most ``params.receiver_size``.
        params: as agreed.
        rng: source of the mask and of the dummies.

    Returns:
        The number of common items.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected.

    Leakage:
        The receiver learns the cardinality; one that masks items differently learns membership (module docstring).
    """
    check_fits(items, params.receiver_size)
    padded = yield from compute(items.padded, params.receiver_size, rng)
    tags = yield from exchange_as_receiver(padded, params, rng)
    returned = yield from recv_bytes(ReturnedTags, "tags", params.receiver_size, params.tag_bytes)
    common = yield from compute(count_common, tags, returned, params.tag_bytes)
    if params.reveal_to_sender:
        released = common >= params.minimum_result
        yield from send(CommonCount(released, common if released else 0))
    return Count(common)


def sender(items: Items, params: Params, rng: Rng) -> Script[Count]:
    """Run the sender.

    Args:
        items: distinct items, at most ``params.sender_size``.
        params: as agreed.
        rng: source of the mask, the dummies and the order.

    Returns:
        The count when ``params.reveal_to_sender``, else nothing.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected.

    Leakage:
        The sender learns the receiver's padded size.
    """
    check_fits(items, params.sender_size)
    shuffled = yield from compute(_shuffled, items, params.sender_size, rng)
    tags = yield from exchange_as_sender(shuffled, params, rng)
    returned, _ = yield from compute(sort_tags, tags, params.tag_bytes)
    # Sent several times, an element would show by the multiplicity of its tag whether it is in common.
    require(not _has_repeats(returned, params.tag_bytes), "an element came twice")
    yield from send_bytes(ReturnedTags, returned, params.tag_bytes)
    if not params.reveal_to_sender:
        return Count(None)
    answer = yield from recv(CommonCount)
    require(answer.released or answer.count == 0, "a withheld count is not zero")
    require(answer.count <= min(params.receiver_size, params.sender_size), "the count is larger than the sets")
    return Count(answer.count if answer.released else None)


def message_bytes(params: Params) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back."""
    forward = 32 * params.receiver_size + (8 if params.reveal_to_sender else 0)
    return forward, 32 * params.sender_size + params.tag_bytes * params.receiver_size


def _shuffled(items: Items, size: int, rng: Rng) -> Items:
    # The receiver sees which of our elements match; a secret order keeps it from learning which of our rows those are.
    return items.padded(size, rng).take(rng.permutation(size))


# --- the exchange, of this protocol and of dh-sum ------------------------------------------------------------------------


def exchange_as_receiver(padded: Items, params: Params, rng: Rng, *, refuse_repeats: bool = False) -> Script[bytes]:
    """Run the receiver's half up to the returned tags, which it does not take.

    Args:
        padded: own items, ``params.receiver_size`` of them.
        params: as agreed.
        rng: source of the mask.
        refuse_repeats: whether an element of the sender that comes twice is refused, by what came alone.

    Returns:
        The tags Hash(H(x)·k·b), in the order in which the sender's elements came.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected.
    """
    blind = rng.scalar()
    own, theirs = list(chunks(params.receiver_size)), list(chunks(params.sender_size))
    tags: list[bytes] = []
    seen: list[bytes] = []
    for turn in range(max(len(own), len(theirs)) + 1):
        if turn < len(own):
            yield from send(BlindedItems((yield from _mask_chunk(padded, own[turn], blind, params))))
        if 1 <= turn <= len(theirs):  # one chunk behind, so that both sides compute at once
            masked = yield from _recv_points(MaskedItems, theirs[turn - 1])
            if refuse_repeats:
                seen.append(_prefixes(masked))
            tags.append((yield from compute(_mask_again, masked, blind, params, work=len(masked))))
    if refuse_repeats:
        require(not (yield from compute(_one_repeats, seen)), "an element came twice")
    return b"".join(tags)


def exchange_as_sender(padded: Items, params: Params, rng: Rng, *, refuse_repeats: bool = False) -> Script[bytes]:
    """Run the sender's half up to the returned tags, which it does not send.

    Args:
        padded: own items, ``params.sender_size`` of them, in an order that is secret.
        params: as agreed.
        rng: source of the mask.
        refuse_repeats: whether an element of the receiver that comes twice is refused, by what came alone.

    Returns:
        The tags Hash(H(y)·b·k), in the order in which the receiver's elements came.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected.
    """
    key = rng.scalar()
    own, theirs = list(chunks(params.sender_size)), list(chunks(params.receiver_size))
    tags: list[bytes] = []
    seen: list[bytes] = []
    for turn in range(max(len(own), len(theirs))):
        blinded = (yield from _recv_points(BlindedItems, theirs[turn])) if turn < len(theirs) else None
        if turn < len(own):
            yield from send(MaskedItems((yield from _mask_chunk(padded, own[turn], key, params))))
        if blinded is not None:
            if refuse_repeats:
                seen.append(_prefixes(blinded))
            tags.append((yield from compute(_mask_again, blinded, key, params, work=len(blinded))))
    if refuse_repeats:
        require(not (yield from compute(_one_repeats, seen)), "an element came twice")
    return b"".join(tags)


def _mask_chunk(padded: Items, part: tuple[int, int], scalar: Scalar, params: Params) -> Script[PointBatch]:
    return (yield from compute(hash_and_mask, padded.slice(*part), params.context, scalar, work=part[1] - part[0]))


def _recv_points(kind: type[BlindedItems] | type[MaskedItems], part: tuple[int, int]) -> Script[PointBatch]:
    points: PointBatch = (yield from recv(kind)).points
    require(len(points) == part[1] - part[0], "a chunk has another number of elements than agreed")
    return points


def _mask_again(points: PointBatch, scalar: Scalar, params: Params) -> bytes:
    return point_tags(mask(points, scalar), params.context, params.tag_bytes)


def _prefixes(points: PointBatch) -> bytes:
    """Half of each encoding: equal elements have equal ones, and different elements practically never."""
    return np.frombuffer(points.data, dtype=np.uint8).reshape(-1, 32)[:, :_PREFIX_BYTES].tobytes()


def _one_repeats(prefixes: list[bytes]) -> bool:
    return _has_repeats(sort_tags(b"".join(prefixes), _PREFIX_BYTES)[0], _PREFIX_BYTES)


def _has_repeats(entries: bytes, width: int) -> bool:
    """Say whether two of the sorted entries of ``width`` bytes are equal."""
    rows = np.frombuffer(entries, dtype=f"V{width}")
    return bool((rows[1:] == rows[:-1]).any())
