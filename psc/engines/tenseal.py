"""Exact sums under BFV by TenSEAL: an oracle beside the default engine, and an engine where membership may be known.

The engine's id is ``bfv-8192-168/1``. A value stands modulo five primes of 36 bits, one BFV ciphertext each, 8192 values in the
slots; the matcher multiplies by masks of zeros and weights, adds up the blocks and adds a fresh encryption of random slots whose
sum is its offset. The owner adds up the slots and puts the residues together.

Security:
    ``hides_mask`` is false: TenSEAL has no noise flooding, so the noise of a reply tells an owner who looks which of its values
    were summed. Use it only where the owner of the values may know that. The random slots hide the offset and everything of the
    sum but its low 64 bits (statistical distance below 2^-40, see ``check``). A peer's bytes are checked by
    ``psc.engines.structure`` and then loaded in a process with limits only; the keys' randomness is SEAL's own.

References:
    Fan and Vercauteren 2012 (eprint 2012/144), "Somewhat Practical Fully Homomorphic Encryption"; SEAL's SECURITY.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import tenseal as ts

from psc.engines.seal_parameters import (
    BFV_BLOCKS_MAX,
    BFV_SLOTS,
    PLAIN_PRIMES,
    bfv_context,
    own_parameters,
    seal_version,
)
from psc.engines.shapes import (
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
from psc.engines.structure import frame, public_key, unframe, vector
from psc.engines.worker import Worker
from psc.errors import CryptoError, LocalProtocolError, MalformedMessageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from psc.crypto import Rng

__all__ = ["BFV", "BfvEngine"]

_SERVANT = "psc.engines.seal_servant"
_PRIMES = len(PLAIN_PRIMES)
_MODULUS = math.prod(PLAIN_PRIMES)
_COLUMNS_MAX = 16
_SUM_BITS = 124
_HIDING_BITS = 40

# SEAL compresses what it writes; the objects of these parameters vary by some hundred bytes below these lengths.
_CIPHERTEXT_FRAME = 320_000
_KEY_FRAME = 425_000


class BfvEngine:
    """The ``SumEngine`` over TenSEAL.

    Attributes:
        id: names engine, parameters and version in the handshake.
        block: values of one ciphertext.
        max_cells: sums that one key releases: what a cheating matcher can learn of the key by so many stays within the margin.
        hides_mask: false; see the module.
        ciphertext_bytes: bytes of one block of one column.
    """

    id = "bfv-8192-168/1"
    block = BFV_SLOTS
    max_cells = 40
    hides_mask = False
    ciphertext_bytes = _CIPHERTEXT_FRAME * _PRIMES

    def key_bytes(self, columns: int) -> int:
        """Return the bytes of the key material: keys of its own for each column and prime."""
        check_count("columns", columns, _COLUMNS_MAX)
        return _KEY_FRAME * _PRIMES * columns

    def reply_bytes(self, columns: int) -> int:
        """Return the bytes of the reply of one cell."""
        check_count("columns", columns, _COLUMNS_MAX)
        return self.ciphertext_bytes * columns

    def check(self, positions: int, max_weight: int) -> None:
        """Refuse sums that could exceed what noise and masks are made for.

        Args:
            positions: values of the largest sum.
            max_weight: the largest size of a weight.

        Raises:
            UsageError: a number is out of range.
            CryptoError: more than 2^28 positions, or ``positions * 2^63 * max_weight`` times 2^41 exceeds the plaintext modulus.
        """
        check_count("positions", positions, None)
        check_count("weight", max_weight, WEIGHT_MAX)
        largest = positions * max_weight << 63
        if positions > BFV_BLOCKS_MAX * BFV_SLOTS or largest >= 1 << _SUM_BITS or largest << (_HIDING_BITS + 1) > _MODULUS:
            raise CryptoError("engines.overflow", positions=positions, weight=max_weight, engine=self.id)

    def owner(self, context: bytes, section: int, columns: int, rng: Rng) -> BfvOwner:  # noqa: ARG002 - SEAL draws its own
        """Return the value owner's part, with fresh keys."""
        bound_context(context, section)
        return BfvOwner(columns)

    def matcher(self, context: bytes, section: int, columns: int, cells: int, key_material: bytes) -> BfvMatcher:
        """Return the matcher's part.

        Raises:
            UsageError: too many cells or columns.
            RemoteProtocolError: the keys are refused.
        """
        bound_context(context, section)
        check_count("cells", cells, self.max_cells)
        check_count("columns", columns, _COLUMNS_MAX)
        return BfvMatcher(columns, cells, key_material)


BFV = BfvEngine()
"""The one parameter set."""


class BfvOwner:
    """The value owner: makes the keys, encrypts, and decrypts the replies once."""

    def __init__(self, columns: int) -> None:
        check_count("columns", columns, _COLUMNS_MAX)
        self._columns = columns
        self._contexts: list[list[Any]] = [[bfv_context(prime) for prime in PLAIN_PRIMES] for _ in range(columns)]
        kept = {"save_public_key": True, "save_secret_key": False, "save_galois_keys": False, "save_relin_keys": False}
        made = [context.serialize(**kept) for of_column in self._contexts for context in of_column]
        self._material = b"".join(frame(one, _KEY_FRAME) for one in made)

    def key_material(self) -> bytes:
        """Return the public contexts, column by column, prime by prime."""
        return self._material

    def encrypt(self, first_block: int, values: NDArray[np.int64]) -> list[list[bytes]]:
        """Encrypt the rows of ``values``; the last block is filled up with zeros.

        Args:
            first_block: the number of the first block.
            values: rows × columns.

        Returns:
            ``result[block][column]``, ``ciphertext_bytes`` each.

        Raises:
            UsageError: wrong shape or type.
            LocalProtocolError: the keys were used up.
        """
        contexts = self._alive()
        check_values(first_block, values, self._columns)
        blocks = -(-len(values) // BFV_SLOTS)
        whole = np.zeros((blocks * BFV_SLOTS, self._columns), np.int64)
        whole[: len(values)] = values
        return [
            [self._encrypt(contexts[column], part[:, column]) for column in range(self._columns)]
            for part in whole.reshape(blocks, BFV_SLOTS, self._columns)
        ]

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        """Decrypt the replies, and forget the keys.

        Args:
            replies: one a cell as received, at most ``max_cells``.

        Returns:
            Cells × columns: sum plus offset modulo 2^64.

        Raises:
            RemoteProtocolError: too many replies, or one is malformed.
            LocalProtocolError: the keys were used up.
        """
        contexts = self._alive()
        self._contexts = []
        check_replies(replies, BFV.reply_bytes(self._columns), BFV.max_cells)
        vectors = _checked(b"".join(replies), "reply")
        kept = {"save_public_key": True, "save_secret_key": True, "save_galois_keys": False, "save_relin_keys": False}
        own = [context.serialize(**kept) for of_column in contexts for context in of_column]
        with Worker(_SERVANT, "reply") as worker:
            (data,) = worker.call("bfv-release", [struct.pack("<I", len(own)), *own, *vectors]) or [b""]
        if len(data) != 8 * len(vectors):
            raise MalformedMessageError("engines.length", what="reply", length_bytes=len(data), expected_bytes=8 * len(vectors))
        residues = np.frombuffer(data, dtype="<i8").reshape(-1, _PRIMES).tolist()
        low = [_joined_residues(row) & 0xFFFF_FFFF_FFFF_FFFF for row in residues]
        return np.array(low, dtype=np.uint64).reshape(len(replies), self._columns)

    def _alive(self) -> list[list[Any]]:
        if not self._contexts:
            raise LocalProtocolError("engines.used-up", what="key")
        return self._contexts

    @staticmethod
    def _encrypt(contexts: list[Any], values: NDArray[np.int64]) -> bytes:
        made = []
        for context, prime in zip(contexts, PLAIN_PRIMES, strict=True):
            residues = values % prime  # 0 … prime - 1 also of a negative value
            made.append(frame(ts.bfv_vector(context, residues.tolist()).serialize(), _CIPHERTEXT_FRAME))
        return b"".join(made)


class BfvMatcher:
    """The matcher: sums masked blocks in a worker process, and returns one reply a cell."""

    def __init__(self, columns: int, cells: int, key_material: bytes) -> None:
        expected = BFV.key_bytes(columns)
        if len(key_material) != expected:
            raise MalformedMessageError("engines.length", what="key", length_bytes=len(key_material), expected_bytes=expected)
        version = seal_version()
        keys = [
            bytes(public_key(data, own_parameters(PLAIN_PRIMES[at % _PRIMES]), None, version, _KEY_FRAME))
            for at, data in enumerate(unframe(key_material, _KEY_FRAME, "key"))
        ]
        self._columns = columns
        self._cells = cells
        self._worker: Worker | None = Worker(_SERVANT, "key or ciphertext")
        self._worker.call("bfv-open", [struct.pack("<II", columns, cells), *keys])

    def absorb(
        self,
        first_block: int,
        ciphertexts: Sequence[Sequence[bytes]],
        cells: NDArray[np.int32],
        weights: NDArray[np.int64] | None = None,
    ) -> None:
        """Add values to the sums of their cells; every ciphertext is checked, also those of no cell.

        Args:
            first_block: the number of the first block.
            ciphertexts: ``[block][column]`` as received.
            cells: for each position its cell, or -1.
            weights: for each position an integer below 2^32 in size.

        Raises:
            RemoteProtocolError: a block or a ciphertext is malformed.
            UsageError: cells or weights do not fit.
            LocalProtocolError: after ``finish``.
        """
        worker = self._alive()
        blocks = len(ciphertexts)
        check_cells(first_block, cells, weights, range(max((blocks - 1) * BFV_SLOTS + 1, 0), blocks * BFV_SLOTS + 1), self._cells)
        check_blocks(ciphertexts, self._columns, BFV.ciphertext_bytes)
        vectors = _checked(b"".join(joined(ciphertexts)), "ciphertext")
        numbers = np.full(blocks * BFV_SLOTS, -1, "<i4")
        numbers[: len(cells)] = cells
        factors = np.zeros(blocks * BFV_SLOTS, "<i8")
        factors[: len(cells)] = 1 if weights is None else weights
        worker.call("bfv-absorb", [numbers.tobytes(), factors.tobytes(), *vectors])

    def finish(self, offsets: NDArray[np.uint64], rng: Rng) -> list[bytes]:
        """Return the reply of every cell, and end.

        Args:
            offsets: cells × columns, added modulo 2^64.
            rng: makes the random slots.

        Raises:
            UsageError: wrong shape or type.
            LocalProtocolError: called before.
        """
        worker = self._alive()
        check_offsets(offsets, self._cells, self._columns)
        self._worker = None
        masks = []
        for offset in offsets.ravel().tolist():
            hidden = offset + _high_mask(rng)
            masks += [_random_slots(hidden % prime, prime, rng).tobytes() for prime in PLAIN_PRIMES]
        with worker:
            made = worker.call("bfv-finish", masks)
        if len(made) != len(masks) or any(len(one) > _CIPHERTEXT_FRAME - 4 for one in made):
            raise MalformedMessageError("engines.malformed", what="ciphertext", reason="its sum has another size")
        framed = [frame(one, _CIPHERTEXT_FRAME) for one in made]
        size = _PRIMES * self._columns
        return [b"".join(framed[start : start + size]) for start in range(0, len(framed), size)]

    def _alive(self) -> Worker:
        if self._worker is None:
            raise LocalProtocolError("engines.used-up", what="matcher")
        return self._worker


def _checked(data: bytes, what: str) -> list[bytes]:
    """Return the vectors in frames, each one ciphertext that fills all slots by its structure."""
    vectors = unframe(data, _CIPHERTEXT_FRAME, what)
    version = seal_version()
    for one in vectors:
        if vector(one, BFV_SLOTS, version, _CIPHERTEXT_FRAME, what=what).sizes != (BFV_SLOTS,):
            raise MalformedMessageError("engines.malformed", what=what, reason="more or less than one full ciphertext")
    return vectors


def _high_mask(rng: Rng) -> int:
    """Return a random multiple of 2^64 that hides all of a sum but its low 64 bits, and keeps it from wrapping."""
    low, high = 1 << (_SUM_BITS - 64), (_MODULUS - (1 << (_SUM_BITS + 1))) >> 64
    return (low + int.from_bytes(rng.bytes(48), "big") % (high - low)) << 64


def _random_slots(total: int, prime: int, rng: Rng) -> NDArray[np.int64]:
    """Return uniform slots modulo ``prime`` that add up to ``total`` modulo it."""
    slots = np.frombuffer(rng.bytes(8 * BFV_SLOTS), dtype="<u8") >> np.uint64(28)
    while (over := np.flatnonzero(slots >= prime)).size:
        slots[over] = np.frombuffer(rng.bytes(8 * over.size), dtype="<u8") >> np.uint64(28)
    signed = slots.astype("<i8")
    signed[-1] = (total - sum(signed[:-1].tolist())) % prime
    return signed


@lru_cache(maxsize=1)
def _parts() -> tuple[int, ...]:
    """Return for each prime the number that is 1 modulo it and 0 modulo the others."""
    return tuple(_MODULUS // prime * pow(_MODULUS // prime, -1, prime) for prime in PLAIN_PRIMES)


def _joined_residues(residues: Sequence[int]) -> int:
    """Return the number below the product of the primes that has these residues."""
    return sum(residue * part for residue, part in zip(residues, _parts(), strict=True)) % _MODULUS
