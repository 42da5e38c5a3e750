"""The group ristretto255 in batches: hashing to it, and multiplying by one secret scalar.

A point travels as its canonical 32-byte encoding. Decoding refuses the identity and everything that is not canonical,
and names the first such position, so every point that a kernel works on is an element of prime order.

References:
    RFC 9496 (ristretto255); RFC 9380, section 5.3.1 (``expand_message_xmd``); RFC 9497, section 2.1 (``HashToGroup``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from psc import _core
from psc._core import Scalar
from psc.crypto.items import Items, KeyCells
from psc.crypto.label import SUITE, dst
from psc.errors import MalformedMessageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from psc._core import Rng

__all__ = [
    "POINT_BYTES",
    "SUITE",
    "PointBatch",
    "Scalar",
    "backend_name",
    "check",
    "expand_message_xmd",
    "hash_and_mask",
    "hash_to_group",
    "hash_to_group_dst",
    "mask",
]

POINT_BYTES = 32
"""Bytes of an encoded point."""


@dataclass(frozen=True, slots=True, repr=False)
class PointBatch:
    """Points in order, as their 32-byte encodings one after another.

    Making a batch checks its length only; ``check``, ``mask`` and ``unmask`` decode, and refuse bad points.

    Args:
        data: 32 bytes a point.

    Raises:
        MalformedMessageError: the length is not a multiple of 32.
    """

    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) % POINT_BYTES:
            raise MalformedMessageError("crypto.points-length", length_bytes=len(self.data), unit_bytes=POINT_BYTES)

    def __len__(self) -> int:
        return len(self.data) // POINT_BYTES

    def __repr__(self) -> str:
        return f"PointBatch({len(self)} points)"

    def slice(self, start: int, stop: int) -> PointBatch:
        """Return the points ``start..stop``; positions are clipped to the batch, as Python slices are."""
        return PointBatch(self.data[start * POINT_BYTES : stop * POINT_BYTES])

    def take(self, order: NDArray[np.integer]) -> PointBatch:
        """Return the points in another order: position i of the result is position ``order[i]`` of this batch."""
        rows = np.frombuffer(self.data, dtype=f"V{POINT_BYTES}")
        return PointBatch(rows[order].tobytes())

    @staticmethod
    def concat(parts: Iterable[PointBatch]) -> PointBatch:
        """Join batches in order."""
        return PointBatch(b"".join(part.data for part in parts))

    @staticmethod
    def random(rng: Rng, count: int) -> PointBatch:
        """Return uniform points whose discrete logarithms nobody knows: dummies that look like any masked item."""
        offsets = np.arange(count + 1, dtype=np.int64) * POINT_BYTES
        seeds = Items.encode([KeyCells(b"dummy", offsets, rng.bytes(count * POINT_BYTES))])
        return hash_to_group(seeds, b"random-points")


def backend_name() -> str:
    """Return the name of the group arithmetic in use; ``PSC_BACKEND`` forces one.

    Raises:
        UsageError: ``PSC_BACKEND`` names one that does not exist or cannot run here.
    """
    return _core.backend_name()


def expand_message_xmd(message: bytes, dst: bytes, length_bytes: int) -> bytes:
    """Return uniform bytes for a message, with SHA-512.

    Args:
        message: any bytes.
        dst: the domain separation tag, 1 to 255 bytes.
        length_bytes: 1 to 16,320.

    Raises:
        UsageError: a length is out of range.

    References:
        RFC 9380, section 5.3.1.
    """
    return _core.expand_message_xmd(message, dst, length_bytes)


def hash_to_group_dst(items: Items, dst: bytes) -> PointBatch:
    """Return ``H(item)`` of every item under a given domain separation tag; ``hash_to_group`` is for all but vectors.

    Args:
        items: any number.
        dst: 1 to 255 bytes.

    Raises:
        UsageError: the tag is empty or too long.

    References:
        RFC 9380, appendix B; RFC 9497, section 2.1.
    """
    return PointBatch(_core.hash_to_group(items, dst))


def hash_to_group(items: Items, context: bytes) -> PointBatch:
    """Return ``H(item)`` of every item, in order.

    Args:
        items: any number.
        context: binds the points, normally the 32-byte label of a session; 1 to 200 bytes.

    Returns:
        One point an item.

    Raises:
        UsageError: the context is empty or too long.

    Security:
        Constant time in the items' content. An unmasked point identifies its item to everyone who can guess the item:
        it never leaves the party.
    """
    return hash_to_group_dst(items, dst(context))


def hash_and_mask(items: Items, context: bytes, scalar: Scalar) -> PointBatch:
    """Return ``H(item)·scalar`` of every item, in order.

    Args:
        items: any number; distinct ones, or equal items show as equal points.
        context: as for ``hash_to_group``; both parties use the same.
        scalar: the secret, the same for the whole batch and fresh for the run.

    Returns:
        One point an item.

    Raises:
        UsageError: the context is empty or too long.

    Security:
        Constant time in the scalar and in the items' content. Under DDH the points of distinct items look random.
    """
    return PointBatch(_core.hash_to_group(items, dst(context), scalar))


def mask(points: PointBatch, scalar: Scalar) -> PointBatch:
    """Multiply every point by a secret scalar, in order.

    Args:
        points: as received; every one is checked.
        scalar: the secret, the same for the whole batch.

    Returns:
        One point a point.

    Raises:
        InvalidElementError: a point is the identity or not canonical; ``fields["index"]`` is the first such position.

    Security:
        Constant time in the scalar. The batch is refused as a whole, so no product of a bad point leaves.
    """
    return PointBatch(_core.mask(points.data, scalar))


def check(points: PointBatch) -> None:
    """Refuse the first point that is the identity or not canonical.

    Args:
        points: as received.

    Raises:
        InvalidElementError: with the first such position in ``fields["index"]``.
    """
    _core.check(points.data)
