"""How long and how much: the plan's figures, from the protocol's own formulas and a short measurement of this machine."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

from psc.crypto import Items, Rng, hash_and_mask

__all__ = ["LINK_BYTES_A_SECOND", "Estimate", "estimate", "seconds_per_item"]

_SAMPLE = 2048
_FRAME_OVERHEAD = 1.0015
"""Numbering, digests and gRPC's own framing, as a factor on the payload (measured on 256 KiB messages)."""


LINK_BYTES_A_SECOND = 12_500_000
"""What a choice between protocols takes a link between two machines for: 100 Mbit/s."""

_MESSAGE_BYTES_A_SECOND = 100_000_000
"""What a message costs wherever it goes: TLS, framing, sealing or encoding of what is in it (measured on one machine)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will move and take: bytes each way as the initiator sees them, and wall seconds."""

    bytes_sent: int
    bytes_received: int
    seconds: float


@functools.lru_cache(maxsize=1)
def seconds_per_item() -> float:
    """Return the seconds that this machine takes for one scalar multiplication with its hash, all cores together."""
    items = Items.from_list([b"calibration %d" % number for number in range(_SAMPLE)])
    scalar = Rng.system().scalar()
    hash_and_mask(items.slice(0, 64), bytes(32), scalar)
    begin = time.perf_counter()
    hash_and_mask(items, bytes(32), scalar)
    return (time.perf_counter() - begin) / _SAMPLE


def estimate(
    payload: tuple[int, int], work: tuple[float, float], partner_seconds_per_item: float, *, same_machine: bool
) -> Estimate:
    """Return the estimate of a run.

    Args:
        payload: payload bytes, ours and theirs.
        work: multiplications of the curve, or what takes their time, ours and theirs.
        partner_seconds_per_item: the partner's own measurement, from its status.
        same_machine: both parties share the cores, so their work adds up instead of overlapping.
    """
    mine, theirs = work[0] * seconds_per_item(), work[1] * partner_seconds_per_item
    seconds = mine + theirs if same_machine else max(mine, theirs)
    seconds += 0.1 + sum(payload) / _MESSAGE_BYTES_A_SECOND
    return Estimate(int(payload[0] * _FRAME_OVERHEAD), int(payload[1] * _FRAME_OVERHEAD), seconds)
