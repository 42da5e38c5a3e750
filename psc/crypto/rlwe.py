"""Packed additive encryption: 8192 numbers of 64 bits in a ciphertext of 21 bytes a number.

Ring learning with errors in dimension 8192 modulo a product of four primes of 42 bits, plaintexts modulo 2^64, one number a
coefficient. The matcher adds up the positions of its choice and returns, a cell, one polynomial that serves all columns and
one coefficient a column. What it returns is re-randomised, and flooded as wide as exact decryption allows.

Security:
    For semi-honest parties, under ring-LWE at 128 bits. The matcher sees ciphertexts only. The owner learns, for each cell
    and column, the sum plus the matcher's offset modulo 2^64, and within 2^-40 nothing else. Neither the cell nor the weight
    of a position decides a branch or an address. A dishonest matcher can use decryptions that it is told of to learn the
    keys; so a key set is fresh, releases at most 40 cells, and is wiped then. Columns share their public part under keys of
    their own.

References:
    ``docs/protocols/packed-encryption.md``: parameters, bounds, proofs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from psc import _core
from psc.crypto.label import label
from psc.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from psc._core import Rng
    from psc.crypto.sums import SumEngine

__all__ = ["RLWE", "RlweEngine", "RlweMatcher", "RlweOwner"]

_Number = TypeVar("_Number", np.int32, np.int64, np.uint64)
_BLOCK = 8192
_COEFFICIENT_BYTES = 21
_POLYNOMIAL_BYTES = _BLOCK * _COEFFICIENT_BYTES


class RlweOwner:
    """The owner's end of one section; ``RLWE.owner`` makes it. See ``psc.crypto.sums.SumOwner``."""

    __slots__ = ("_columns", "_core")

    def __init__(self, context: bytes, section: int, columns: int, rng: Rng) -> None:
        self._columns = columns
        self._core = _core.RlweOwner(label("Sums", context), section, columns, rng)

    def key_material(self) -> bytes:
        """Return the public keys of the columns, 172,032 bytes each."""
        return self._core.key_material()

    def encrypt(self, first_block: int, values: NDArray[np.int64]) -> list[list[bytes]]:
        """Encrypt consecutive positions.

        Args:
            first_block: number within the section of the block that the first row opens. Numbers only rise, since using
                one twice would show differences of values.
            values: (n, columns) int64, any n; the last block is filled up with zeros.

        Returns:
            ``result[block][column]``, 172,032 bytes each.

        Raises:
            UsageError: another shape or type, a block number that was used, or the keys were released.
        """
        values = _array("values", values, np.int64)
        if values.ndim != 2 or values.shape[1] != self._columns:
            raise UsageError("crypto.count-mismatch", what="columns", count=values.shape[-1], expected=self._columns)
        return self._core.encrypt(first_block, values)

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        """Decrypt the section's replies, once: the keys are gone afterwards, also after an error.

        Args:
            replies: one a cell, in order; at most 40.

        Returns:
            (cells, columns) sums plus offsets modulo 2^64, read-only.

        Raises:
            MalformedMessageError: a reply has another length, or a residue is not below its prime.
            LimitExceededError: there are more than 40.
            UsageError: the keys were released before.
        """
        return self._core.release(replies).reshape(len(replies), self._columns)


class RlweMatcher:
    """The matcher's end of one section; ``RLWE.matcher`` makes it. See ``psc.crypto.sums.SumMatcher``."""

    __slots__ = ("_cells", "_columns", "_core")

    def __init__(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> None:
        self._columns, self._cells = columns, cells
        self._core = _core.RlweMatcher(label("Sums", context), section, columns, cells, key_material)

    def absorb(
        self,
        first_block: int,
        ciphertexts: Sequence[Sequence[bytes]],
        cells: NDArray[np.int32],
        weights: NDArray[np.int64] | None = None,
    ) -> None:
        """Add the positions of some blocks to the running sums. After an error the sums are gone.

        Args:
            first_block: number within the section of the first block.
            ciphertexts: ``[block][column]``, as received.
            cells: (n,) int32, for every position its cell within the section, or -1 for none.
            weights: (n,) int64 factors below 2^32 in absolute value; 1 when ``None``.

        Raises:
            MalformedMessageError: a ciphertext has another length, a residue is not below its prime, or there are not as
                many as the positions need.
            CryptoError: sums over so many positions might be inexact.
            UsageError: a cell does not exist, a weight is too large, a type is another, or the sums were finished.

        Security:
            All cells cost the same for every position: constant time in cells and weights.
        """
        cells = _array("cells", cells, np.int32)
        if weights is not None:
            weights = _array("weights", weights, np.int64)
        self._core.absorb(first_block, ciphertexts, cells, weights)

    def finish(self, offsets: NDArray[np.uint64], rng: Rng) -> list[bytes]:
        """Return one re-randomised and flooded reply a cell, once.

        Args:
            offsets: (cells, columns) uint64, added modulo 2^64.
            rng: source of what re-randomises and floods.

        Raises:
            UsageError: another shape or type, or the sums were finished.
        """
        return self._core.finish(self._checked(offsets), rng)

    def insecure_finish(self, offsets: NDArray[np.uint64], rng: Rng, *, randomise: bool, flood: bool) -> list[bytes]:
        """Return replies that may lack what hides the choice: for the test that proves that it would notice."""
        return self._core.insecure_finish(self._checked(offsets), rng, randomise, flood)

    def _checked(self, offsets: NDArray[np.uint64]) -> NDArray[np.uint64]:
        offsets = _array("offsets", offsets, np.uint64)
        if offsets.shape != (self._cells, self._columns):
            raise UsageError("crypto.count-mismatch", what="offsets", count=offsets.size, expected=self._cells * self._columns)
        return offsets


@dataclass(frozen=True)
class RlweEngine:
    """The parameter set; see ``psc.crypto.sums.SumEngine``."""

    id: str = "rlwe-8192-168/1"
    block: int = _BLOCK
    max_cells: int = 40
    hides_mask: bool = True
    ciphertext_bytes: int = _POLYNOMIAL_BYTES

    def key_bytes(self, columns: int) -> int:
        """Return the length of a section's key material."""
        return columns * _POLYNOMIAL_BYTES

    def reply_bytes(self, columns: int) -> int:
        """Return the length of a cell's reply: one polynomial, and one coefficient a column."""
        return _POLYNOMIAL_BYTES + columns * _COEFFICIENT_BYTES

    def check(self, positions: int, max_weight: int) -> None:
        """Refuse a section whose sums may be inexact, or whose replies may say more than the sums.

        Args:
            positions: positions that may enter a sum; they count in whole blocks.
            max_weight: bound of the weights' absolute values; every weight but 1 counts as 2^32 - 1.

        Raises:
            CryptoError: the flood would be less than 2^40 times as wide as the noise that it hides.
            UsageError: a weight of 2^32 or more.
        """
        rounded = -(-positions // _BLOCK) * _BLOCK
        _core.rlwe_flood_bound(rounded, max(max_weight, (1 << 32) - 1) if max_weight > 1 else 1)

    def owner(self, context: bytes, section: int, columns: int, rng: Rng) -> RlweOwner:
        """Make fresh keys.

        Args:
            context: 1 to 200 bytes bound to the session: public randomness comes from it and the section's number.
            section: number of the section within the session, below 2^32; each is used once.
            columns: values a position, 1 to 1024.
            rng: source of the secrets.

        Raises:
            UsageError: a size is out of range.
        """
        return RlweOwner(context, section, columns, rng)

    def matcher(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> RlweMatcher:
        """Take the owner's key material.

        Args:
            context: as for ``owner``.
            section: as for ``owner``.
            columns: as for ``owner``.
            cells: cells of the section, 1 to 40.
            key_material: as received.

        Raises:
            MalformedMessageError: the key material has another length, or a residue is not below its prime.
            UsageError: a size is out of range.
        """
        return RlweMatcher(context, section, columns, cells, key_material)


def _array(what: str, array: NDArray[_Number], wanted: type[_Number]) -> NDArray[_Number]:
    """Return the array contiguous; refuse another type, whose bytes would be read as other numbers."""
    if array.dtype != wanted:
        raise UsageError("crypto.wrong-type", what=what, given=str(array.dtype), wanted=np.dtype(wanted).name)
    return np.ascontiguousarray(array)


RLWE: SumEngine = RlweEngine()
"""The parameter set ``rlwe-8192-168/1``."""
