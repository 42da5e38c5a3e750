"""Short tags that stand for points or outputs: making, sorting and matching them.

A tag has ``length_bytes``; tags follow one another without separators. Two sets of n and m elements need
``40 + log2(n·m)`` bits for a false match to be rarer than 2^-40.

Security:
    Tables are keyed by a fresh random seed, so tags that a peer chose cannot make matching slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from psc import _core
from psc.crypto.group import PointBatch
from psc.crypto.label import label

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["count_common", "find_tags", "point_tags", "sort_tags"]


def point_tags(points: PointBatch, context: bytes, length_bytes: int) -> bytes:
    """Return the first bytes of SHA-512 of each point, bound to a context.

    Args:
        points: own results; they are not decoded again.
        context: 1 to 200 bytes.
        length_bytes: bytes of a tag, 1 to 64.

    Returns:
        One tag a point, in order.

    Raises:
        UsageError: a length is out of range.
    """
    return _core.point_tags(points.data, label("PointTag", context), length_bytes)


def sort_tags(tags: bytes, length_bytes: int) -> tuple[bytes, NDArray[np.uint32]]:
    """Sort tags as byte strings; equal tags keep their order.

    Args:
        tags: ``length_bytes`` each.
        length_bytes: 1 to 64.

    Returns:
        The tags in order, and for each the position that it had (read-only).

    Raises:
        UsageError: ``tags`` is not whole tags, or a length is out of range.
    """
    return _core.sort_tags(tags, length_bytes)


def find_tags(needles: bytes, haystack: bytes, length_bytes: int) -> NDArray[np.int64]:
    """Find each needle in the haystack. Neither side need be sorted or distinct.

    Args:
        needles: ``length_bytes`` each.
        haystack: ``length_bytes`` each.
        length_bytes: 1 to 64.

    Returns:
        For each needle the first position of an equal tag in the haystack, or -1 (read-only).

    Raises:
        UsageError: a side is not whole tags, or a length is out of range.
    """
    return _core.find_tags(needles, haystack, length_bytes)


def count_common(a: bytes, b: bytes, length_bytes: int) -> int:
    """Count the distinct tags that stand on both sides.

    Args:
        a: ``length_bytes`` each.
        b: ``length_bytes`` each.
        length_bytes: 1 to 64.

    Returns:
        The size of the intersection of the two sets of tags.

    Raises:
        UsageError: a side is not whole tags, or a length is out of range.
    """
    return _core.count_common(a, b, length_bytes)
