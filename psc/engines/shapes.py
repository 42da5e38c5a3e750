"""What every engine here asks of its arguments and of the sizes of what a peer sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from psc.errors import LimitExceededError, MalformedMessageError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COLUMNS_MAX",
    "WEIGHT_MAX",
    "bound_context",
    "check_blocks",
    "check_cells",
    "check_count",
    "check_offsets",
    "check_replies",
    "check_values",
    "joined",
]

COLUMNS_MAX = 1024
"""The most columns of one section."""

WEIGHT_MAX = (1 << 32) - 1
"""The largest size of a weight."""


def check_count(what: str, given: int, most: int | None) -> None:
    """Refuse a number below 1 or above ``most`` (None: no bound)."""
    if given < 1 or (most is not None and given > most):
        raise UsageError("engines.argument", what=what, given=given, wanted=f"1 … {most}" if most is not None else "1 …")


def bound_context(context: bytes, section: int) -> bytes:
    """Return what binds a key to its session and section.

    Raises:
        UsageError: an empty or long context, or a section that does not fit 32 bits.
    """
    if not 1 <= len(context) <= 200:
        raise UsageError("crypto.context-length", length_bytes=len(context), minimum=1, maximum=200)
    if not 0 <= section < 1 << 32:
        raise UsageError("engines.argument", what="section", given=section, wanted="0 … 2^32 - 1")
    return context + section.to_bytes(4, "big")


def _check_first(first_block: int) -> None:
    if first_block < 0:
        raise UsageError("engines.argument", what="first_block", given=first_block, wanted="0 …")


def _check_array(what: str, array: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        wanted = f"{np.dtype(dtype)} {shape}"
        raise UsageError("engines.argument", what=what, given=f"{array.dtype} {array.shape}", wanted=wanted)


def check_values(first_block: int, values: NDArray[np.int64], columns: int) -> None:
    """Refuse values that are not ``int64`` of shape (n, columns)."""
    _check_first(first_block)
    _check_array("values", values, np.int64, (values.shape[0] if values.ndim else 0, columns))


def check_offsets(offsets: NDArray[np.uint64], cells: int, columns: int) -> None:
    """Refuse offsets that are not ``uint64`` of shape (cells, columns)."""
    _check_array("offsets", offsets, np.uint64, (cells, columns))


def check_cells(
    first_block: int, cells: NDArray[np.int32], weights: NDArray[np.int64] | None, capacity: range, count: int
) -> None:
    """Refuse cells or weights that do not fit the ciphertexts.

    Args:
        first_block: the number of the first block.
        cells: one a position, -1 … count - 1.
        weights: none, or one a position, at most ``WEIGHT_MAX`` in size.
        capacity: the numbers of positions that the blocks can hold.
        count: the number of cells.
    """
    _check_first(first_block)
    if cells.ndim != 1 or len(cells) not in capacity:
        wanted = f"{capacity.start} … {capacity.stop - 1}"
        raise UsageError("engines.argument", what="cells", given=str(cells.shape), wanted=wanted)
    _check_array("cells", cells, np.int32, cells.shape)
    if len(cells) and not (int(cells.min()) >= -1 and int(cells.max()) < count):
        given = f"{int(cells.min())} … {int(cells.max())}"
        raise UsageError("engines.argument", what="cells", given=given, wanted=f"-1 … {count - 1}")
    if weights is None:
        return
    _check_array("weights", weights, np.int64, cells.shape)
    if len(weights) and not (int(weights.min()) >= -WEIGHT_MAX and int(weights.max()) <= WEIGHT_MAX):
        raise UsageError("engines.argument", what="weights", given="2^32 …", wanted="|w| < 2^32")


def check_blocks(ciphertexts: Sequence[Sequence[bytes]], columns: int, length: int) -> None:
    """Refuse blocks of a peer that have another number of columns, or ciphertexts of another length.

    Raises:
        MalformedMessageError: the sizes are wrong.
    """
    for block in ciphertexts:
        if len(block) != columns:
            raise MalformedMessageError("engines.malformed", what="block", reason=f"{len(block)} columns instead of {columns}")
        for one in block:
            if len(one) != length:
                raise MalformedMessageError("engines.length", what="ciphertext", length_bytes=len(one), expected_bytes=length)


def check_replies(replies: Sequence[bytes], length: int, most: int) -> None:
    """Refuse replies of a peer that are too many for one key, or of another length.

    Raises:
        LimitExceededError: too many.
        MalformedMessageError: the sizes are wrong.
    """
    if len(replies) > most:
        raise LimitExceededError("engines.too-many-releases", count=len(replies), limit=most)
    for one in replies:
        if len(one) != length:
            raise MalformedMessageError("engines.length", what="reply", length_bytes=len(one), expected_bytes=length)


def joined(ciphertexts: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    """Yield the ciphertexts block by block."""
    for block in ciphertexts:
        yield from block
