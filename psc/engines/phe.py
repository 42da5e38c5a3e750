"""Takes and returns keys and numbers of ``phe``: the only place where ``phe`` is imported, and only when a function needs it.

``phe`` gives every number a power of 16 as its exponent and sends it in clear; for floats it differs with the size of the
value. Here all numbers of a sum are integers at one exponent that both sides fixed, 0 for plain integers. What stands at a
larger exponent is brought down exactly, as ``phe``'s ``decrease_exponent_to`` does; what stands at a smaller one would lose
digits and is refused with its row.

``phe`` is published under the GNU General Public License 3. It is no part of this package: importing it is the user's own act.

Security:
    ``phe`` checks nothing that it is given, and its sums carry no fresh randomness. Keys and ciphertexts are checked here, and
    ``masked_sums`` returns fresh ciphertexts. A key made by ``phe`` has no proof that it is a Paillier key, so who uses one
    relies on the partner for that; on the wire the engine asks for the proof.

References:
    python-paillier (``phe``) 1.5, ``phe.paillier`` and ``phe.encoding``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gmpy2
import numpy as np
from gmpy2 import mpz

from psc.engines.paillier import Sums, high_mask
from psc.engines.paillier_keys import PrivateKey, PublicKey
from psc.engines.shapes import check_cells
from psc.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from psc.crypto import Rng

__all__ = [
    "at_exponent",
    "from_phe_encrypted",
    "from_phe_private_key",
    "from_phe_public_key",
    "masked_sums",
    "to_phe",
    "to_phe_private_key",
    "to_phe_public_key",
]

_BASE = 16
_STEPS_MAX = 16


def _phe() -> Any:
    try:
        from phe import paillier
    except ModuleNotFoundError as missing:
        raise UsageError("engines.extra-missing", engine="paillier", package="phe", extra="paillier") from missing
    return paillier


def from_phe_public_key(key: Any) -> PublicKey:
    """Return the checked key of a ``phe.PaillierPublicKey``.

    Raises:
        RemoteProtocolError: the modulus is refused.
    """
    return PublicKey.checked(mpz(key.n))


def from_phe_private_key(key: Any) -> PrivateKey:
    """Return the key of a ``phe.PaillierPrivateKey``.

    Raises:
        RemoteProtocolError: the modulus is refused.
    """
    from_phe_public_key(key.public_key)
    return PrivateKey(mpz(key.p), mpz(key.q))


def to_phe_public_key(key: PublicKey) -> Any:
    """Return the ``phe.PaillierPublicKey`` of a key."""
    return _phe().PaillierPublicKey(int(key.n))


def to_phe_private_key(key: PrivateKey) -> Any:
    """Return the ``phe.PaillierPrivateKey`` of a key."""
    return _phe().PaillierPrivateKey(to_phe_public_key(key.public), int(key.p), int(key.q))


def at_exponent(key: PublicKey, ciphertexts: Sequence[int], exponents: Sequence[int], exponent: int = 0) -> list[int]:
    """Return the ciphertexts of the same values as integers at one exponent.

    Args:
        key: what they are encrypted under.
        ciphertexts: as they came.
        exponents: for each the power of 16 that its integer stands at.
        exponent: the power that both sides fixed.

    Raises:
        InvalidElementError: not a ciphertext; ``index`` is its row.
        DataError: a row stands below ``exponent``, where digits would be lost, or more than 16 steps above it, where a 64-bit
            value would leave the room that sums have.
    """
    values = [mpz(value) for value in ciphertexts]
    key.check_ciphertexts(values)
    brought = []
    for row, (value, given) in enumerate(zip(values, exponents, strict=True)):
        steps = given - exponent
        if not 0 <= steps <= _STEPS_MAX:
            raise DataError("engines.phe-exponent", row=row, exponent=given, wanted=exponent)
        brought.append(gmpy2.powmod(value, _BASE**steps, key.square) if steps else value)
    return brought


def from_phe_encrypted(key: PublicKey, numbers: Sequence[Any], exponent: int = 0) -> list[int]:
    """Return the ciphertexts of ``phe.EncryptedNumber`` objects, checked and at one exponent.

    Args:
        key: what they are encrypted under.
        numbers: the objects; they are not changed.
        exponent: the power of 16 that the integers stand at, 0 for integers.

    Raises:
        DataError: a row of another key, or whose exponent cannot be brought to ``exponent``.
        InvalidElementError: not a ciphertext; ``index`` is its row.
    """
    for row, number in enumerate(numbers):
        if number.public_key.n != key.n:
            raise DataError("engines.phe-other-key", row=row)
    return at_exponent(
        key, [number.ciphertext(be_secure=False) for number in numbers], [number.exponent for number in numbers], exponent
    )


def to_phe(key: PublicKey, ciphertext: int, exponent: int = 0) -> Any:
    """Return the ``phe.EncryptedNumber`` of a ciphertext.

    Args:
        key: what it is encrypted under.
        ciphertext: one that carries fresh randomness, as ``masked_sums`` and ``PublicKey.encrypt`` return them.
        exponent: the power of 16 that its integer stands at.
    """
    return _phe().EncryptedNumber(to_phe_public_key(key), int(ciphertext), exponent)


def masked_sums(
    key: PublicKey,
    ciphertexts: Sequence[int],
    cells: NDArray[np.int32],
    count: int,
    rng: Rng,
    *,
    visible_bits: int | None,
    weights: NDArray[np.int64] | None = None,
    offsets: Sequence[int] | None = None,
) -> list[int]:
    """Return a fresh ciphertext of the sum of each cell; with offset and mask, sums below 2^160 in size come out exactly.

    Args:
        key: what the values are encrypted under.
        ciphertexts: of ``from_phe_encrypted`` or ``at_exponent``.
        cells: for each value the number of its cell, 0 … count - 1, or -1 for none.
        count: the number of cells.
        rng: makes the randomness.
        visible_bits: how many low bits of a sum its decryption shows; the rest is masked, so the key's owner takes
            ``private_key.raw_decrypt(c) % 2**visible_bits``. None masks nothing, and ``private_key.decrypt`` gives the sum.
        weights: for each value an integer below 2^32 in size; all 1 when None.
        offsets: integers that are added to the sums, one a cell; all 0 when None.

    Raises:
        UsageError: arguments that do not fit.

    Security:
        With None, an owner that encrypts 1, 2, 4, 8, … reads from the sum which of its values are in it.
    """
    size = range(len(ciphertexts), len(ciphertexts) + 1)
    check_cells(0, cells, weights, size, count)
    added = list(offsets) if offsets is not None else [0] * count
    if len(added) != count:
        raise UsageError("engines.argument", what="offsets", given=len(added), wanted=count)
    if visible_bits is not None:
        added = [a + m for a, m in zip(added, high_mask(key, visible_bits, rng, count), strict=True)]
    sums = Sums(key, count)
    sums.add(ciphertexts, cells.tolist(), None if weights is None else weights.tolist())
    return sums.replies(added, rng)
