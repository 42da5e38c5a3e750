"""Sealed rows: what is released about an item, readable only by who holds the item's OPRF output.

Bytes 32 to 63 of the item's output and the row's number give a stream of BLAKE3 in keyed mode: a tag, by which the row is
found, two elements of GF(2^128) and a pad. An entry is tag ‖ ciphertext ‖ authenticator, the ciphertext the row plus the pad,
the authenticator a polynomial of the ciphertext at the first element plus the second. A stream serves one row. Entries are
padded with rows of a random item that nobody has to a public total, and sorted by tag: the number of rows of an item, and the
order of the rows, show only to who can open them. ``docs/protocols/dh-psi.md`` has every byte and why this is sound.

References:
    Wegman and Carter, "New hash functions and their use in authentication and set equality", JCSS 22 (1981); the
    specification of BLAKE3, sections 2.2 and 2.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from psc import _core
from psc.crypto.label import label
from psc.errors import MalformedMessageError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from psc._core import OprfOutputs, Rng

__all__ = ["MAC_BYTES", "entry_bytes", "open_rows", "seal_rows"]

MAC_BYTES = 16
"""Bytes of the authenticator that ends an entry."""


def entry_bytes(width: int, tag_bytes: int) -> int:
    """Return the bytes of one sealed row of ``width`` bytes."""
    return tag_bytes + width + MAC_BYTES


def seal_rows(
    outputs: OprfOutputs,
    groups: NDArray[np.uint32],
    counters: NDArray[np.uint32],
    payloads: bytes,
    width: int,
    tag_bytes: int,
    context: bytes,
    rng: Rng,
    total: int,
) -> bytes:
    """Seal rows under the outputs of their items.

    Args:
        outputs: one an item.
        groups: for each row the position of its item among the outputs.
        counters: for each row its number within its item: 1, 2, 3, … without gap or repetition, in any order.
        payloads: the rows, ``width`` bytes each.
        width: bytes of a row, 0 to 2^20.
        tag_bytes: bytes of a tag, 1 to 32.
        context: binds the entries; 1 to 200 bytes. The same outputs and context seal at most one set of rows.
        rng: makes the dummies.
        total: the number of entries after padding; at least the number of rows.

    Returns:
        ``total`` entries of ``tag_bytes + width + 16`` bytes, sorted by tag.

    Raises:
        UsageError: counts do not fit, a counter is wrong, an item does not exist, or a size is out of range.

    Security:
        A repeated counter would use a stream twice, so it is refused; sealing other rows under the same outputs and context
        would too, and only the caller can prevent it. Dummies look like rows that one cannot open.
    """
    return _core.seal_rows(
        outputs,
        _uint32("groups", groups),
        _uint32("counters", counters),
        payloads,
        width,
        tag_bytes,
        label("Row", context),
        rng,
        total,
    )


def open_rows(
    outputs: OprfOutputs,
    indices: NDArray[np.uint32],
    entries: bytes,
    width: int,
    tag_bytes: int,
    max_rows: int,
    context: bytes,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], bytes]:
    """Open the rows of chosen items.

    Args:
        outputs: one an item.
        indices: the positions of the items to try, among the outputs.
        entries: sealed rows as received.
        width: bytes of a row.
        tag_bytes: bytes of a tag.
        max_rows: the most rows that are sought for an item.
        context: the context that the rows were sealed under.

    Returns:
        For each opened row the position of its item among the outputs and its counter (both read-only), and the rows,
        ``width`` bytes each; in the order of ``indices``, then of counters. An item ends at its first missing counter.

    Raises:
        MalformedMessageError: ``entries`` are not whole entries, or not sorted by tag.
        DecryptionError: an entry's tag is the item's, but it does not authenticate; ``fields["index"]`` is its position.
        UsageError: an index does not exist, or a size is out of range.
    """
    unit = entry_bytes(width, tag_bytes)
    if unit > 0 and len(entries) % unit:
        raise MalformedMessageError("crypto.entries-length", length_bytes=len(entries), unit_bytes=unit)
    return _core.open_rows(outputs, _uint32("indices", indices), entries, width, tag_bytes, max_rows, label("Row", context))


def _uint32(what: str, array: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the array contiguous; refuse another type, whose bytes would be read as other numbers."""
    if array.dtype != np.uint32:
        raise UsageError("crypto.wrong-type", what=what, given=str(array.dtype), wanted="uint32")
    return np.ascontiguousarray(array)
