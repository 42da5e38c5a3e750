"""Stages: a ``match`` by any of several keys as one match after the other, in one session.

::

    receiver (for each alternative: items Y)                sender (for each alternative: items X, rows)
      stage 0             a match, in shards when large <-> stage 0
      ...                                                   ...
      stage S-1           a match                       <-> stage S-1
      MatchedPositions    of stage 0, ..., of stage S-1 -----------------> (when the output goes to both)

Glossary: S = number of alternative keys, public · a stage = the match by one of them: all items that either party has by this
key, padded to sizes of its own.

With S = 1 this is ``shards`` itself, byte for byte. Every stage has a context of its own, derived from the session's context,
its number and S, and fresh secrets, so that nothing of one stage can be compared with another: the same text as two keys makes
unrelated hashes. The receiver ranks by itself, after the run: which rows take which stage's matches is not seen by anyone else.

Who learns what: of each stage what a match by this key alone says. So the receiver learns by which keys its rows match, also
by those that it then does not use, and the sender, when the output goes to both, the same of its own items. A stage is not cut
down to what earlier ones left over: the sender cannot know which items these are, and the receiver's sizes would tell it.

The minimum is kept by each stage: the matches of one that has fewer are withheld from the sender. A stage with few matches that
was told beside a large one would be a small result. All stages are told after the last one, so that a run that ends early has
told nothing.

Adversary model: the protocol's, for each stage. No theorem covers the stages together: a party that deviates may use items in
one stage that have nothing to do with those of another. All stages together have the false matches that one run may have, and
each may overflow in a shard as rarely as one run.

Cost: the sum of the stages'. A run of several stages that broke off starts again from the first.

References: docs/decisions/0013-any-of-keys.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, Rng
from psc.protocols import shards
from psc.protocols.base import Script
from psc.protocols.dh_psi import Found, Intersection, Params, SenderOutput, SenderRows, recv_positions
from psc.protocols.shards import SHARD_KEYS, Find, Keep, Offer

__all__ = ["Own", "message_bytes", "receiver", "sender"]

P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True, repr=False)
class Own(Generic[P]):
    """What a party brings to one stage.

    Attributes:
        items: its distinct items by this key.
        params: as agreed for this key; their context is the session's.
        rows: the sender's rows to release, required exactly when ``params.rows`` is set; the receiver has none.
    """

    items: Items
    params: P
    rows: SenderRows | None = None


def receiver(
    find: Find[P], stages: Sequence[Own[P]], rng: Rng, shard_keys: int = SHARD_KEYS, keep: Keep | None = None
) -> Script[tuple[Intersection, ...]]:
    """Run the receiver of a match by any of several keys.

    Args:
        find: the protocol's receiver of one shard.
        stages: its items by each key, in the agreed order; at least one.
        rng: source of every secret.
        shard_keys: as for ``shards.shards_of``.
        keep: keeps finished shards of a match by one key; a match by several is not resumed.

    Returns:
        What it found by each key, all of it: a minimum is the caller's to keep.

    Raises:
        RemoteProtocolError: a message of the sender is malformed or unexpected.
        CryptoError: a shard overflows (rarer than 2^-40 a stage), or the protocol's own rare failure.

    Leakage:
        The protocol's, for each stage.
    """
    found: list[Found] = []
    params = _params_of(stages)
    for own, of_stage in zip(stages, params, strict=True):
        found.append((yield from shards.find_all(find, own.items, of_stage, rng, shard_keys, keep)))
    for part, of_stage in zip(found, params, strict=True):
        if of_stage.reveal_to_sender:
            yield from shards.tell(part, of_stage, shard_keys)
    return tuple(Intersection(part.matched, part.rows) for part in found)


def sender(
    offer: Offer[P], stages: Sequence[Own[P]], rng: Rng, shard_keys: int = SHARD_KEYS, keep: Keep | None = None
) -> Script[tuple[SenderOutput, ...]]:
    """Run the sender of a match by any of several keys.

    Args:
        offer: the protocol's sender of one shard.
        stages: its items and rows by each key, in the agreed order; at least one.
        rng: source of every secret.
        shard_keys: as for ``shards.shards_of``.
        keep: keeps finished shards of a match by one key; a match by several is not resumed.

    Returns:
        For each key the matched items that it is told.

    Raises:
        RemoteProtocolError: a message of the receiver is malformed or unexpected.
        CryptoError: a shard overflows (rarer than 2^-40 a stage).

    Leakage:
        The protocol's, for each stage.
    """
    orders: list[NDArray[np.uint32]] = []
    params = _params_of(stages)
    for own, of_stage in zip(stages, params, strict=True):
        orders.append((yield from shards.offer_all(offer, own.items, own.rows, of_stage, rng, shard_keys, keep)))
    told: list[SenderOutput] = []
    for own, order, of_stage in zip(stages, orders, params, strict=True):
        matched = (yield from recv_positions(order, len(own.items))) if of_stage.reveal_to_sender else None
        told.append(SenderOutput(matched))
    return tuple(told)


def message_bytes(
    of_shard: Callable[[P], tuple[int, int]], params: Sequence[P], shard_keys: int = SHARD_KEYS, finished: int = 0
) -> tuple[int, int]:
    """Return the payload bytes of a run, receiver to sender and back, from the protocol's own formula.

    Args:
        of_shard: the payload bytes of one run of the protocol.
        params: as agreed, for each key.
        shard_keys: as for ``shards.shards_of``.
        finished: shards that were finished in an earlier attempt, of a match by one key.
    """
    of_stages = [_stage(one, number, len(params)) for number, one in enumerate(params)]
    each = [shards.message_bytes(of_shard, one, shard_keys, finished) for one in of_stages]
    return sum(forward for forward, _ in each), sum(back for _, back in each)


def _params_of(stages: Sequence[Own[P]]) -> list[P]:
    return [_stage(own.params, number, len(stages)) for number, own in enumerate(stages)]


def _stage(params: P, number: int, count: int) -> P:
    """Return the parameters of one stage; tags are long enough for all of them together."""
    if count == 1:
        return params
    label = b"PSC-V1-stage" + number.to_bytes(8, "big") + count.to_bytes(8, "big")
    return replace(params, context=hashlib.sha256(label + params.context).digest(), shards=params.shards * count)
