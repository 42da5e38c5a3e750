"""Sums under Paillier encryption: one ciphertext a value, interoperable with ``phe`` and any other Paillier software.

The engine's ids are ``paillier-2048/1`` and ``paillier-3072/1``. The owner of the values makes a fresh key for every run and
encrypts value by value; the matcher multiplies the ciphertexts of each cell, which adds the values, and returns one fresh
ciphertext a cell. It is thousands of times slower than the default engine and exists for partners whose values are, or must be,
encrypted under Paillier. ``psc.engines.phe`` takes and returns ``phe`` objects.

Security:
    Values are integers at one scale that both sides know; no exponent is sent. A reply is a uniformly random encryption of
    ``sum + offset + 2^64 R`` with ``R`` uniform below about ``n / 2^64``: it depends on nothing but the sum modulo 2^64
    (statistical distance below 2^-1800 when all plaintexts are 64-bit values). An owner that encrypts larger numbers, to tag
    customers by powers of two, learns 64 bits and where its numbers wrap modulo ``n``; with a uniform offset it learns nothing.

References:
    Paillier 1999; Private Join and Compute, Ion et al. 2020 (eprint 2019/723), section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gmpy2
import numpy as np

from psc.engines.paillier_keys import PROOF_ROOTS, PrivateKey, PublicKey, in_threads, integers, random_below, to_bytes
from psc.engines.shapes import (
    COLUMNS_MAX,
    WEIGHT_MAX,
    bound_context,
    check_blocks,
    check_cells,
    check_count,
    check_offsets,
    check_replies,
    check_values,
    joined,
)
from psc.errors import CryptoError, LocalProtocolError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from psc.crypto import Rng

__all__ = ["PAILLIER_2048", "PAILLIER_3072", "PaillierEngine", "Sums", "high_mask"]

_SUM_BITS = 160
"""A sum's size is below 2^160, which ``check`` assures; ``R`` leaves that much room at both ends of the plaintexts."""

_WEIGHT_SHIFT = 3 * (WEIGHT_MAX + 1) - 1
"""Added to every weight, and taken off the sum again: what is an exponent has 34 bits then, whatever the weight. It is odd."""


def high_mask(key: PublicKey, bits: int, rng: Rng, count: int) -> list[int]:
    """Return ``count`` random multiples of ``2^bits`` that hide all of a sum but its low ``bits`` bits.

    Args:
        key: the key that the sum is encrypted under.
        bits: what may be seen of the sum, 1 to 1024.
        rng: makes them.
        count: how many.

    Returns:
        Integers between ``2^160`` and ``n - 2^160``: sums below that in size do not wrap modulo ``n``.
    """
    if not 1 <= bits <= 1024:
        raise UsageError("engines.argument", what="bits", given=bits, wanted="1 … 1024")
    low = -(-(1 << _SUM_BITS) // (1 << bits))
    high = (key.n - (1 << (_SUM_BITS + 1))) >> bits
    return [(low + value) << bits for value in random_below(high - low, rng, count)]


class Sums:
    """Encrypted sums of the cells of a table that grow as ciphertexts come in.

    Args:
        key: what the ciphertexts are encrypted under.
        cells: the number of sums.

    Security:
        Which ciphertext is in which cell, or in none, is what the owner of the key must not learn, and it waits for the reply. So
        every ciphertext is multiplied into something, those of no cell into a sum that is thrown away; a sum begins with a
        number of full size, for multiplying by 1 is quick; and every weight is an exponent of one length, taken in constant
        time. What remains are the times of memory accesses.
    """

    def __init__(self, key: PublicKey, cells: int) -> None:
        self._key = key
        begin = key.square - 1  # -1: it cancels, see products
        self._added = [begin] * (cells + 1)  # the last one, at index -1, is that of no cell
        self._taken = [begin] * (cells + 1)
        self._weighted = False

    def add(self, ciphertexts: Sequence[int], cells: Sequence[int], weights: Sequence[int] | None = None) -> None:
        """Add each plaintext, times its weight, to the sum of its cell.

        Args:
            ciphertexts: already checked.
            cells: for each the number of its cell, or -1 for none.
            weights: for each an integer below 2^32 in size; all 1 when None.
        """
        square, added, taken = self._key.square, self._added, self._taken
        if weights is None:
            for value, cell in zip(ciphertexts, cells, strict=True):
                added[cell] = added[cell] * value % square
            return
        self._weighted = True
        pairs = list(zip(ciphertexts, (weight + _WEIGHT_SHIFT for weight in weights), strict=True))
        powers = in_threads(lambda part: [gmpy2.powmod_sec(c, e, square) for c, e in part], pairs)
        for value, power, cell in zip(ciphertexts, powers, cells, strict=True):
            added[cell] = added[cell] * power % square
            taken[cell] = taken[cell] * value % square

    def products(self) -> list[int]:
        """Return the ciphertext of each sum as it is: never to be sent, because it shows which ciphertexts it is made of."""
        square, taken = self._key.square, self._taken[:-1]
        if self._weighted:
            taken = [gmpy2.powmod(each, _WEIGHT_SHIFT, square) for each in taken]
        # Both began with -1, and -1 to an odd power is -1.
        return [a * gmpy2.invert(t, square) % square for a, t in zip(self._added[:-1], taken, strict=True)]

    def replies(self, offsets: Sequence[int], rng: Rng) -> list[int]:
        """Return a fresh ciphertext of each sum plus its offset.

        Args:
            offsets: one a cell; ``high_mask`` makes what hides a sum's high bits.
            rng: makes the randomness.
        """
        return self._key.randomise(self.products(), offsets, rng)


class PaillierEngine:
    """The ``SumEngine`` of one key size.

    Args:
        bits: of the modulus.

    Attributes:
        id: names engine, parameters and version in the handshake.
        block: values of one ciphertext: one.
        max_cells: sums that one key releases; a decrypted reply says nothing of the key, so this bounds work only.
        hides_mask: the owner of the key learns nothing of which values were summed.
    """

    block = 1
    max_cells = 4096
    hides_mask = True

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.id = f"paillier-{bits}/1"
        self.ciphertext_bytes = bits // 4

    def key_bytes(self, columns: int) -> int:
        """Return the bytes of the key material: one modulus serves all columns."""
        check_count("columns", columns, COLUMNS_MAX)
        return self.bits // 8 * (1 + PROOF_ROOTS)

    def reply_bytes(self, columns: int) -> int:
        """Return the bytes of the reply of one cell."""
        check_count("columns", columns, COLUMNS_MAX)
        return self.ciphertext_bytes * columns

    def check(self, positions: int, max_weight: int) -> None:
        """Refuse sums that could exceed what the masks are made for.

        Args:
            positions: values of the largest sum.
            max_weight: the largest size of a weight.

        Raises:
            UsageError: a number is out of range.
            CryptoError: ``positions * 2^63 * max_weight`` reaches 2^160.
        """
        check_count("positions", positions, None)
        check_count("weight", max_weight, WEIGHT_MAX)
        if positions * max_weight << 63 >= 1 << _SUM_BITS:
            raise CryptoError("engines.overflow", positions=positions, weight=max_weight, engine=self.id)

    def owner(self, context: bytes, section: int, columns: int, rng: Rng) -> PaillierOwner:
        """Return the value owner's part, with a fresh key."""
        return PaillierOwner(self, bound_context(context, section), columns, rng)

    def matcher(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> PaillierMatcher:
        """Return the matcher's part.

        Raises:
            UsageError: too many cells or columns.
            RemoteProtocolError: the key is refused.
        """
        check_count("cells", cells, self.max_cells)
        check_count("columns", columns, COLUMNS_MAX)
        key = PublicKey.proved(key_material, self.bits, bound_context(context, section))
        return PaillierMatcher(self, key, columns, cells)


class PaillierOwner:
    """The value owner: makes the key, encrypts, and decrypts the replies once."""

    def __init__(self, engine: PaillierEngine, context: bytes, columns: int, rng: Rng) -> None:
        check_count("columns", columns, COLUMNS_MAX)
        self._engine = engine
        self._columns = columns
        self._rng = rng
        self._key: PrivateKey | None = PrivateKey.generate(engine.bits, rng)
        self._material = self._key.material(context)

    def key_material(self) -> bytes:
        """Return the public key with its proof."""
        return self._material

    def encrypt(self, first_block: int, values: NDArray[np.int64]) -> list[list[bytes]]:
        """Encrypt the rows of ``values``.

        Args:
            first_block: the number of the first row.
            values: rows × columns.

        Returns:
            ``result[row][column]``, ``ciphertext_bytes`` each.

        Raises:
            UsageError: wrong shape or type.
            LocalProtocolError: the key was used up.
        """
        key = self._alive()
        check_values(first_block, values, self._columns)
        width = self._engine.ciphertext_bytes
        made = [to_bytes(value, width) for value in key.encrypt(values.ravel().tolist(), self._rng)]
        return [made[start : start + self._columns] for start in range(0, len(made), self._columns)]

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        """Decrypt the replies, and forget the key.

        Args:
            replies: one a cell as received, at most ``max_cells``.

        Returns:
            Cells × columns: sum plus offset modulo 2^64.

        Raises:
            LimitExceededError: too many replies.
            MalformedMessageError: a reply of another length.
            InvalidElementError: not a ciphertext.
            LocalProtocolError: the key was used up.
        """
        key = self._alive()
        self._key = None
        check_replies(replies, self._engine.reply_bytes(self._columns), self._engine.max_cells)
        values = integers(b"".join(replies), self._engine.ciphertext_bytes)
        key.public.check_ciphertexts(values)
        low = [int(value) & 0xFFFF_FFFF_FFFF_FFFF for value in key.decrypt(values)]
        return np.array(low, dtype=np.uint64).reshape(len(replies), self._columns)

    def _alive(self) -> PrivateKey:
        if self._key is None:
            raise LocalProtocolError("engines.used-up", what="key")
        return self._key


class PaillierMatcher:
    """The matcher: adds up ciphertexts by cells and returns one fresh ciphertext a cell and column."""

    def __init__(self, engine: PaillierEngine, key: PublicKey, columns: int, cells: int) -> None:
        self._engine = engine
        self._key = key
        self._cells = cells
        self._sums: list[Sums] | None = [Sums(key, cells) for _ in range(columns)]

    def absorb(
        self,
        first_block: int,
        ciphertexts: Sequence[Sequence[bytes]],
        cells: NDArray[np.int32],
        weights: NDArray[np.int64] | None = None,
    ) -> None:
        """Add values to the sums of their cells; every ciphertext is checked, also those of no cell.

        Args:
            first_block: the number of the first row.
            ciphertexts: ``[row][column]`` as received.
            cells: for each row its cell, or -1.
            weights: for each row an integer below 2^32 in size.

        Raises:
            MalformedMessageError: a row or a ciphertext of another length.
            InvalidElementError: not a ciphertext; ``index`` counts through the rows.
            UsageError: cells or weights do not fit.
            LocalProtocolError: after ``finish``.
        """
        sums = self._alive()
        check_cells(first_block, cells, weights, range(len(ciphertexts), len(ciphertexts) + 1), self._cells)
        check_blocks(ciphertexts, len(sums), self._engine.ciphertext_bytes)
        flat = integers(b"".join(joined(ciphertexts)), self._engine.ciphertext_bytes)
        self._key.check_ciphertexts(flat)
        numbers = cells.tolist()
        factors = None if weights is None else weights.tolist()
        for column, kept in enumerate(sums):
            kept.add(flat[column :: len(sums)], numbers, factors)

    def finish(self, offsets: NDArray[np.uint64], rng: Rng) -> list[bytes]:
        """Return the reply of every cell, and end.

        Args:
            offsets: cells × columns, added modulo 2^64.
            rng: makes the masks.

        Raises:
            UsageError: wrong shape or type.
            LocalProtocolError: called before.
        """
        sums = self._alive()
        check_offsets(offsets, self._cells, len(sums))
        self._sums = None
        width = self._engine.ciphertext_bytes
        replies = []
        for column, kept in enumerate(sums):
            masks = high_mask(self._key, 64, rng, self._cells)
            added = [mask + offset for mask, offset in zip(masks, offsets[:, column].tolist(), strict=True)]
            replies.append([to_bytes(value, width) for value in kept.replies(added, rng)])
        return [b"".join(parts) for parts in zip(*replies, strict=True)]

    def _alive(self) -> list[Sums]:
        if self._sums is None:
            raise LocalProtocolError("engines.used-up", what="matcher")
        return self._sums


PAILLIER_2048 = PaillierEngine(2048)
"""112-bit security: the least that is accepted."""

PAILLIER_3072 = PaillierEngine(3072)
"""128-bit security."""
