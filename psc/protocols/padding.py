"""Public sizes: sets leave a party padded to a coarse series, so that the exact size stays at home.

The series has sixteen steps an octave from 64 up: at most 6.25 % more items than there are (more below 64), and a peer
learns the size to about four binary digits. Rows are padded to the product of the padded key count and the public bound
of rows per key, so that multiplicities change nothing on the wire.
"""

from __future__ import annotations

__all__ = ["SMALLEST_SIZE", "padded_size"]

SMALLEST_SIZE = 64
"""The size at which every smaller set, the empty one too, leaves a party."""


def padded_size(count: int) -> int:
    """Return the smallest public size that is at least ``count``.

    Args:
        count: number of distinct keys, at least 0.
    """
    if count <= SMALLEST_SIZE:
        return SMALLEST_SIZE
    step = 1 << ((count - 1).bit_length() - 5)
    return -(-count // step) * step
