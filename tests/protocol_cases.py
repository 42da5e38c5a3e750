"""What the protocol tests share: sets, rows and one call a protocol that runs both parties."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from psc.crypto import Items, Rng
from psc.protocols import dh_psi, dh_psi_count
from psc.protocols.base import Message
from psc.protocols.padding import padded_size
from psc.session.codec import decode, encode
from psc.session.drive import run_pair

CONTEXT = bytes(range(32))
Tap = Callable[[str, Message], Message]


def through_codec(_: str, message: Message) -> Message:
    """Deliver what the wire would deliver."""
    frame = encode(message)
    assert len(frame) <= 512 * 1024
    return decode(frame)


def sets(n: int, m: int, common: int, seed: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Two lists of distinct items of the given sizes that share ``common``, in random order."""
    rng = random.Random(seed)
    pool = rng.sample(range(10**9), n + m - common)
    names = [b"+8613%09d" % number for number in pool]
    receiver, sender = names[:n], names[n - common : n - common + m]
    rng.shuffle(receiver)
    rng.shuffle(sender)
    return receiver, sender


def rows_of(table: dict[bytes, list[bytes]], items: list[bytes], bound: int) -> dh_psi.SenderRows:
    """The sender's rows, cut at ``bound``, shuffled as rows of a file would be."""
    flat = [(i, c, p) for i, item in enumerate(items) for c, p in enumerate(table[item][:bound], start=1)]
    random.Random(1).shuffle(flat)
    return dh_psi.SenderRows(
        np.array([i for i, _, _ in flat], dtype=np.uint32),
        np.array([c for _, c, _ in flat], dtype=np.uint32),
        b"".join(p for _, _, p in flat),
    )


def match(
    receiver: list[bytes],
    sender: list[bytes],
    *,
    table: dict[bytes, list[bytes]] | None = None,
    bound: int = 1,
    width: int = 8,
    both: bool = False,
    minimum: int = 0,
    capacity: int | None = None,
    tap: Tap = through_codec,
    seeds: tuple[bytes, bytes] | None = None,
) -> tuple[dh_psi.Intersection, dh_psi.SenderOutput]:
    """Run ``dh-psi``."""
    params = dh_psi.Params(
        CONTEXT,
        padded_size(len(receiver)),
        padded_size(len(sender)),
        dh_psi.RowShape(width, bound) if table is not None else None,
        both,
        minimum,
    )
    rngs = [Rng.insecure_from_seed(seed) for seed in seeds] if seeds else [Rng.system(), Rng.system()]
    rows = rows_of(table, sender, bound) if table is not None else None
    return run_pair(
        dh_psi.receiver(Items.from_list(receiver), params, rngs[0]),
        dh_psi.sender(Items.from_list(sender), rows, params, rngs[1]),
        capacity=capacity,
        tap=tap,
    )


def count(
    receiver: list[bytes],
    sender: list[bytes],
    *,
    both: bool = False,
    minimum: int = 0,
    capacity: int | None = None,
    tap: Tap = through_codec,
    seeds: tuple[bytes, bytes] | None = None,
) -> tuple[dh_psi_count.Count, dh_psi_count.Count]:
    """Run ``dh-psi-count``."""
    params = dh_psi_count.Params(CONTEXT, padded_size(len(receiver)), padded_size(len(sender)), both, minimum)
    rngs = [Rng.insecure_from_seed(seed) for seed in seeds] if seeds else [Rng.system(), Rng.system()]
    return run_pair(
        dh_psi_count.receiver(Items.from_list(receiver), params, rngs[0]),
        dh_psi_count.sender(Items.from_list(sender), params, rngs[1]),
        capacity=capacity,
        tap=tap,
    )
