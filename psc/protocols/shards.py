"""Shards: a ``match`` of large sets as a row of small ones, so that memory does not grow with the sets.

::

    receiver (items Y)                                      sender (items X, rows)
    both split their items by one keyed hash into K shards
      shard 0             one run of the protocol <------>  shard 0
      ...                                                   ...
      shard K-1           one run of the protocol <------>  shard K-1
      MatchedPositions    bitmap over the tags of all shards  ------------> (when the output goes to both)

Glossary: N, M = the receiver's and the sender's padded sizes · K = ⌈max(N, M) / 2^20⌉, public · shard of an item =
⌊K · BLAKE3(key, item) / 2^64⌋, the key derived from the session's context and K · n', m' = the padded sizes of a shard.

With K = 1 this is the protocol itself, byte for byte. Shards run one after the other over the same channel, each with a
context of its own, derived from the session's context, its number and K, and with fresh secrets. What a shard held is dropped
before the next begins; there remain the positions of matches, the opened rows, and when the output goes to both the order of
the sender's tags.

Who learns what: nothing beyond what the protocol itself says. The items of a shard are a random part of the set, so its true
size would say little, but a party must not see even that: every shard is padded with random dummies to ``shard_bound``, which
follows from the padded size alone. A shard of either party holds more with probability at most 2^-40, over all shards and both
parties together; the run then ends before anything of it was sent. The matches of one shard are told to the sender with those
of all others, after the last one: the minimum is kept by the whole result, and a shard says nothing when the whole is withheld.

Adversary model: the protocol's. In malicious mode a receiver may use about as many items as the tables of all shards have room
for. The tags are so long that all shards together have the false matches that one run may have. A party that could choose the
other's items and the key could make a shard overflow, and so the run end; the key comes from fresh random numbers of both.

Cost: K times that of a run with n' and m'; ``shard_bound`` is about 0.7 % above N/K at 2^20 items a shard.

Resuming: a run that broke off may go on in another session after the shards that both parties finished and kept (``Keep``). Its
items are split as in the first attempt; what is done anew is done with that session's context and fresh secrets, and no secret of
a shard is kept, only its outcome. This lies outside the protocol's proof: a receiver that departs from it may use other items in
the shards that are done anew, which is why these are charged again.

References: DESIGN.md, "Protocols"; docs/decisions/0011-shards.md; docs/decisions/0014-resumed-runs.md.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.errors import CryptoError, DecryptionError, EncodingError
from psc.protocols.base import Script, check_fits, compute
from psc.protocols.dh_psi import (
    Found,
    Intersection,
    OpenedRows,
    Params,
    RowShape,
    SenderOutput,
    SenderRows,
    recv_positions,
    send_positions,
)

__all__ = [
    "OVERFLOW_BITS",
    "SHARD_KEYS",
    "Find",
    "Keep",
    "Offer",
    "Shards",
    "find_all",
    "message_bytes",
    "offer_all",
    "receiver",
    "sender",
    "shard_bound",
    "shards_of",
    "tell",
]

SHARD_KEYS = 1 << 20
"""Keys of the larger set in one shard, at most (before padding).

A shard of that many keys takes about 250 MB at a party of vole-psi, and 0.7 % of dummies. Half as many would save half of it and
cost 1.0 % of dummies; and 2^20 keys against 2^20, where speed is compared, still are one run."""

OVERFLOW_BITS = 40
"""Some shard of either party overflows with probability at most 2 to the minus this."""

_ABSENT = np.uint32(0xFFFF_FFFF)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_STIRLING = ((1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156), (-3617, 122400))
"""Coefficients of n^-1, n^-3, … in the logarithm of n!; the first that is left out is below 10^-40 at 256."""
_STIRLING_FROM = 256
_DIGITS = Context(prec=50)

P = TypeVar("P", bound=Params)
Find = Callable[[Items, P, Rng], Script[Found]]
"""A protocol's receiver up to its matches: ``dh_psi.find`` or ``vole_psi.find``."""
Offer = Callable[[Items, SenderRows | None, P, Rng], Script[NDArray[np.uint32]]]
"""A protocol's sender up to its tags and rows, returning the item of each tag: ``dh_psi.offer`` or ``vole_psi.offer``."""


@dataclass(frozen=True, slots=True)
class Shards:
    """How two sets are split: a public function of their padded sizes.

    Attributes:
        count: number of shards, 1 when the sets are not split.
        receiver_size: items of the receiver in one shard, padded.
        sender_size: items of the sender in one shard, padded.
    """

    count: int
    receiver_size: int
    sender_size: int


@dataclass(frozen=True, slots=True, repr=False)
class Keep:
    """Where a party keeps its part of every finished shard, and what it kept in an earlier attempt.

    Attributes:
        split: keys the split of the sets: the context of the run's first attempt.
        finished: the party's parts of shards 0, 1, …, as they were given to ``keep``; the other party has as many.
        keep: is given the number and the part of each shard that this attempt finishes. A part is personal data.
    """

    split: bytes
    finished: Sequence[bytes]
    keep: Callable[[int, bytes], None]


def shards_of(receiver_size: int, sender_size: int, shard_keys: int = SHARD_KEYS) -> Shards:
    """Return how two sets of these padded sizes are split.

    Args:
        receiver_size: the receiver's padded number of items.
        sender_size: the sender's padded number of items.
        shard_keys: keys of the larger set in one shard; both parties must give the same.
    """
    count = max(-(-max(receiver_size, sender_size) // shard_keys), 1)
    return Shards(count, shard_bound(receiver_size, count), shard_bound(sender_size, count))


@lru_cache(maxsize=256)
def shard_bound(size: int, count: int) -> int:
    """Return the padded size of a shard: the least that all ``count`` shards of one party keep to but for 2^-41.

    Both parties must come to the same number, so it is computed in decimal arithmetic, whose results do not depend on the
    machine, and not with its floating point.

    Args:
        size: the party's padded number of items; its true number is at most that.
        count: number of shards.
    """
    if count == 1:
        return size
    with localcontext(_DIGITS):
        limit = Decimal(1) / (Decimal(2) ** (OVERFLOW_BITS + 1) * count)
        low, high = size // count, size  # P[X > high] = 0
        while low < high:
            middle = (low + high) // 2
            if _tail_exceeds(size, count, middle, limit):
                low = middle + 1
            else:
                high = middle
    return low


def _tail_exceeds(size: int, count: int, bound: int, limit: Decimal) -> bool:
    """Say whether P[X > bound] > limit for X binomial with ``size`` trials that succeed once in ``count``."""
    if bound >= size:
        return False
    first = bound + 1
    logarithm = _ln_factorial(size) - _ln_factorial(first) - _ln_factorial(size - first)
    logarithm += (size - first) * Decimal(count - 1).ln() - size * Decimal(count).ln()
    term = total = logarithm.exp()
    for successes in range(first, size):
        if total > limit:
            return True
        ratio = Decimal(size - successes) / (Decimal(successes + 1) * (count - 1))
        # Later ratios are smaller: what is left is below a geometric series.
        if ratio < 1 and total + term * ratio / (1 - ratio) <= limit:
            return False
        term *= ratio
        total += term
    return total > limit


def _ln_factorial(number: int) -> Decimal:
    if number < _STIRLING_FROM:
        return Decimal(math.factorial(number)).ln()
    n = Decimal(number)
    series = sum((Decimal(a) / (b * n ** (2 * k + 1)) for k, (a, b) in enumerate(_STIRLING)), Decimal(0))
    return n * n.ln() - n + (2 * _PI * n).ln() / 2 + series


def receiver(
    find: Find[P], items: Items, params: P, rng: Rng, shard_keys: int = SHARD_KEYS, keep: Keep | None = None
) -> Script[Intersection]:
    """Run the receiver of a match over all shards.

    Args:
        find: the protocol's receiver of one shard.
        items: distinct items, at most ``params.receiver_size``; in the same order as in an earlier attempt.
        params: as agreed, for the whole sets.
        rng: source of every secret.
        shard_keys: as for ``shards_of``.
        keep: keeps finished shards, and has those of an earlier attempt; ``None`` keeps nothing.

    Returns:
        The indices of the receiver's matched items among all of them, and their released rows, shard after shard.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected.
        CryptoError: a shard overflows (rarer than 2^-40), or the protocol's own rare failure.

    Leakage:
        The protocol's for the whole sets; nothing of single shards.
    """
    found = yield from find_all(find, items, params, rng, shard_keys, keep)
    if params.reveal_to_sender:
        yield from tell(found, params, shard_keys)
    return Intersection(found.matched, found.rows)


def find_all(
    find: Find[P], items: Items, params: P, rng: Rng, shard_keys: int = SHARD_KEYS, keep: Keep | None = None
) -> Script[Found]:
    """Run the receiver over all shards up to its matches; arguments and errors as for ``receiver``. The sender is told nothing.

    Returns:
        What it found of all its items. Positions are among the tags of all shards, shard after shard; they are there, in an
        order of their own, only when they are to be told.
    """
    shards = shards_of(params.receiver_size, params.sender_size, shard_keys)
    check_fits(items, params.receiver_size)
    finished = () if keep is None else keep.finished
    matched: list[NDArray[np.uint32]] = []
    positions: list[NDArray[np.int64]] = []
    rows: list[OpenedRows] = []
    split_by = params.context if keep is None else keep.split
    for number, own in enumerate((yield from _split(items, shards.count, shards.receiver_size, split_by))):
        if number < len(finished):
            found = yield from compute(_unpack_found, finished[number], params)
        else:
            part = items if own is None else (yield from compute(items.take, own))
            found = yield from find(part, _params_of(params, shards, number), rng)
            if own is not None:
                found = _found_of_whole(found, own, number * shards.sender_size, params)
            if keep is not None:
                yield from compute(_keep_found, keep.keep, number, found)
            del part
        matched.append(found.matched)
        if params.reveal_to_sender:
            positions.append(found.positions)
        if found.rows is not None:
            rows.append(found.rows)
        del found
    together = np.concatenate(matched)
    matched.clear()
    together.sort()
    told = np.concatenate(positions) if positions else np.zeros(0, np.int64)
    return Found(together, told, None if params.rows is None else (yield from compute(_merge_rows, rows)))


def tell(found: Found, params: Params, shard_keys: int = SHARD_KEYS) -> Script[None]:
    """Tell the sender which of its tags matched, in all shards, or that fewer than the minimum did."""
    shards = shards_of(params.receiver_size, params.sender_size, shard_keys)
    yield from send_positions(found.positions, shards.count * shards.sender_size, params.minimum_result)


def sender(
    offer: Offer[P],
    items: Items,
    rows: SenderRows | None,
    params: P,
    rng: Rng,
    shard_keys: int = SHARD_KEYS,
    keep: Keep | None = None,
) -> Script[SenderOutput]:
    """Run the sender of a match over all shards.

    Args:
        offer: the protocol's sender of one shard.
        items: distinct items, at most ``params.sender_size``; in the same order as in an earlier attempt.
        rows: rows to release; required exactly when ``params.rows`` is set.
        params: as agreed, for the whole sets.
        rng: source of every secret.
        shard_keys: as for ``shards_of``.
        keep: keeps finished shards, and has those of an earlier attempt; ``None`` keeps nothing.

    Returns:
        Its matched items when ``params.reveal_to_sender``, else nothing.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected.
        CryptoError: a shard overflows (rarer than 2^-40).

    Leakage:
        The protocol's for the whole sets; nothing of single shards.
    """
    order = yield from offer_all(offer, items, rows, params, rng, shard_keys, keep)
    return SenderOutput((yield from recv_positions(order, len(items))) if params.reveal_to_sender else None)


def offer_all(
    offer: Offer[P],
    items: Items,
    rows: SenderRows | None,
    params: P,
    rng: Rng,
    shard_keys: int = SHARD_KEYS,
    keep: Keep | None = None,
) -> Script[NDArray[np.uint32]]:
    """Run the sender over all shards up to its last tags and rows; arguments and errors as for ``sender``.

    Returns:
        The item of each tag, shard after shard, when it is to be told which matched, else nothing; dummies have numbers that
        no item has.
    """
    shards = shards_of(params.receiver_size, params.sender_size, shard_keys)
    check_fits(items, params.sender_size)
    if params.rows is not None and rows is None:
        raise EncodingError("session.rows-missing")
    finished = () if keep is None else keep.finished
    split_by = params.context if keep is None else keep.split
    parts = yield from _split(items, shards.count, shards.sender_size, split_by)
    rows_of: Iterator[SenderRows | None] = iter([rows] * shards.count)
    if shards.count > 1 and rows is not None and params.rows is not None:
        rows_of = _split_rows(rows, parts, len(items), params.rows, len(finished))
    orders = [np.frombuffer(part, np.uint32) for part in finished]
    for number, own in enumerate(parts[len(finished) :], len(finished)):
        part = items if own is None else (yield from compute(items.take, own))
        part_rows = yield from compute(next, rows_of)
        order = yield from offer(part, part_rows, _params_of(params, shards, number), rng)
        if not params.reveal_to_sender:
            order = order[:0]
        elif own is not None:
            order = _whole(order, own)
        orders.append(order)
        if keep is not None:
            yield from compute(keep.keep, number, order.tobytes())
        del part, part_rows, order
    return np.concatenate(orders)


def message_bytes(
    of_shard: Callable[[P], tuple[int, int]], params: P, shard_keys: int = SHARD_KEYS, finished: int = 0
) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back, from the protocol's own formula.

    ``finished`` shards were finished in an earlier attempt.
    """
    shards = shards_of(params.receiver_size, params.sender_size, shard_keys)
    forward, back = ((shards.count - finished) * each for each in of_shard(_params_of(params, shards, 0)))
    return forward + ((shards.count * shards.sender_size + 7) // 8 if params.reveal_to_sender else 0), back


def _split(items: Items, count: int, size: int, context: bytes) -> Script[list[NDArray[np.uint32] | None]]:
    """Return the positions of the items of each shard; one ``None`` for sets that are not split.

    Raises:
        CryptoError: a shard overflows; nothing was sent.
    """
    if count == 1:
        return [None]
    order, ends = yield from compute(items.split, context, count)
    parts: list[NDArray[np.uint32] | None] = []
    for start, stop in zip([0, *ends[:-1].tolist()], ends.tolist()):
        if stop - start > size:
            raise CryptoError("session.shard-overflow", size=size)
        parts.append(order[start:stop])
    return parts


def _params_of(params: P, shards: Shards, number: int) -> P:
    """Return the parameters of one shard, whose positions are told later, with all the others'."""
    context = params.context
    if shards.count > 1:
        label = b"PSC-V1-shard" + number.to_bytes(8, "big") + shards.count.to_bytes(8, "big")
        context = hashlib.sha256(label + params.context).digest()
    return replace(
        params,
        context=context,
        receiver_size=shards.receiver_size,
        sender_size=shards.sender_size,
        reveal_to_sender=False,
        minimum_result=0,
        shards=params.shards * shards.count,
    )


def _split_rows(
    rows: SenderRows, parts: list[NDArray[np.uint32] | None], count: int, shape: RowShape, finished: int
) -> Iterator[SenderRows]:
    """Yield the rows of the items of each shard that is not finished, numbered as these are."""
    local, shard_of = np.empty(count, np.uint32), np.empty(count, np.uint16)
    for number, own in enumerate(parts):
        local[own], shard_of[own] = np.arange(0 if own is None else len(own)), number
    of_rows = shard_of[rows.items]
    order = np.argsort(of_rows, kind="stable").astype(np.uint32)
    ends = np.cumsum(np.bincount(of_rows, minlength=len(parts))).tolist()
    del shard_of, of_rows
    payloads = np.frombuffer(rows.payloads, np.uint8).reshape(len(rows.items), shape.width_bytes)
    for start, stop in list(zip([0, *ends[:-1]], ends))[finished:]:
        chosen = order[start:stop]
        yield SenderRows(local[rows.items[chosen]], rows.counters[chosen], payloads[chosen].tobytes())


def _found_of_whole(found: Found, own: NDArray[np.uint32], offset: int, params: Params) -> Found:
    """Return what a shard found, in indices of the whole set and positions among the tags of all shards."""
    rows = None if found.rows is None else replace(found.rows, items=own[found.rows.items])
    positions = found.positions + offset if params.reveal_to_sender else np.zeros(0, np.int64)  # no view: it would keep the rest
    return Found(own[found.matched], positions, rows)


_PACKED = struct.Struct("<QQQ")
"""Matched items, positions and rows of a part that a receiver keeps; the payloads are the rest."""


def _keep_found(keep: Callable[[int, bytes], None], number: int, found: Found) -> None:
    rows = found.rows or OpenedRows(found.matched[:0], found.matched[:0], b"")
    head = _PACKED.pack(len(found.matched), len(found.positions), len(rows.items))
    numbers = (found.matched, rows.items.astype(np.uint32), rows.counters.astype(np.uint32))
    parts = [each.tobytes() for each in (found.positions.astype(np.int64), *numbers)]
    keep(number, b"".join([head, *parts, rows.payloads]))


def _unpack_found(part: bytes, params: Params) -> Found:
    """Return what a receiver found in a shard of an earlier attempt.

    Raises:
        DecryptionError: the part is not one of such a run.
    """
    matched, positions, count = _PACKED.unpack_from(part) if len(part) >= _PACKED.size else (0, 0, 0)
    ends = np.cumsum([_PACKED.size, 8 * positions, 4 * matched, 4 * count, 4 * count]).tolist()
    width = 0 if params.rows is None else params.rows.width_bytes
    fits = positions == (matched if params.reveal_to_sender else 0) and (params.rows is not None or count == 0)
    if len(part) != ends[-1] + count * width or not fits:
        raise DecryptionError("session.kept-part-malformed")
    at = np.frombuffer(part, np.int64, positions, ends[0])
    items, owners, counters = (np.frombuffer(part, np.uint32, n, end) for n, end in zip((matched, count, count), ends[1:4]))
    rows = None if params.rows is None else OpenedRows(owners, counters, part[ends[4] :])
    return Found(items, at, rows)


def _whole(order: NDArray[np.uint32], own: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the item among all of each tag of a shard; dummies have a number that no item has."""
    whole = np.full(len(order), _ABSENT)
    real = order < len(own)
    whole[real] = own[order[real]]
    return whole


def _merge_rows(rows: list[OpenedRows]) -> OpenedRows:
    if len(rows) == 1:
        return rows[0]
    items = np.concatenate([part.items for part in rows])
    return OpenedRows(items, np.concatenate([part.counters for part in rows]), b"".join(part.payloads for part in rows))
