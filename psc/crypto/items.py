"""Items: the byte strings that stand for keys.

``Items.encode(columns)`` makes one item a row from one or more key columns. An item is the number of columns (1 byte),
then for each column the length of its tag (1 byte), the tag, the length of its cell (2 bytes, big-endian) and the cell.
Equal items therefore mean equal cells of equal kinds: the encoding is injective, and a phone never equals an e-mail.

==============================  =========================================================================================
``Items.encode(columns)``       one item a row; columns have equal row counts; at most 255 columns and 65,535 bytes an item
``Items.from_list(items)``      byte strings as they are; for tests and vectors
``Items.concat(batches)``       the items of several batches, one batch after the other
``len(items)``                  the number of items
``items.slice(start, stop)``    the items ``start..stop``; shares the storage
``items.padded(total, rng)``    the items, and after them dummies of 32 random bytes, ``total`` together
``items.take(positions)``       the items at some positions (uint32), in that order
``items.split(context, n)``     the positions of the items, shard after shard of n, and where each shard ends (both uint32), by a
                                hash keyed with ``context``: equal items of both parties fall into shards of one number
``items.distinct()``            the distinct items in order of first appearance, and for each row the position of its item
``items.get(index)``            the bytes of one item
``items.digest(salt)``          SHA-256 over the salt and all items in order, each with its length before it
``ItemsBuilder(expected)``      ``add(columns, seen)`` encodes what is left of so many rows behind those before; ``finish()``
==============================  =========================================================================================

Security:
    Items are personal data. They have no repr of their content, cannot be pickled, and their storage is zeroised when
    the last slice goes. A digest is only published with a salt that stays secret or is fresh for its purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from psc._core import Items, ItemsBuilder
from psc.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

__all__ = ["ITEM_BYTES_MAX", "Items", "ItemsBuilder", "KeyCells"]

ITEM_BYTES_MAX = 65_535
"""The longest item in bytes; RFC 9497 writes an input's length in two bytes."""


@dataclass(frozen=True, slots=True)
class KeyCells:
    """One key column, in the layout of Arrow's large strings.

    Args:
        tag: separates kinds, for instance ``b"phone"``; 1 to 255 bytes.
        offsets: int64, rows + 1, non-decreasing offsets of the cells in ``data``; the first need not be 0.
        data: the bytes of the cells.

    Raises:
        UsageError: the elements of ``offsets`` are neither bytes nor 64 bits wide.
    """

    tag: bytes
    offsets: Buffer | NDArray[np.int64] = field(repr=False)
    data: Buffer | NDArray[np.uint8] = field(repr=False)

    def __post_init__(self) -> None:
        view = memoryview(cast("Buffer", self.offsets))
        if view.itemsize not in (1, 8):
            raise UsageError("crypto.wrong-type", what="offsets", given=f"{8 * view.itemsize} bits wide", wanted="int64")
