"""Approximate sums of floats by CKKS, for the value owner's own eyes: an oracle, and a result that cannot be sent.

The decryption of a CKKS ciphertext holds its noise, and who evaluated the ciphertext can work out the key from it. So what
``CkksOwner.decrypt`` returns is ``KeyOwnerOnly``: no part of a message, no array, not pickled. Nor does CKKS hide the mask from
the owner, who sees value times mask slot by slot: use it only where membership may be known to the owner of the values.

References:
    Li and Micciancio 2020 (eprint 2020/1533), "On the Security of Homomorphic Encryption on Approximate Numbers"; SEAL's
    SECURITY.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import tenseal as ts

from psc.engines.seal_parameters import CKKS_SCALE, CKKS_SLOTS, ckks_context, own_parameters, seal_version
from psc.engines.structure import public_key, vector
from psc.engines.worker import Worker
from psc.errors import MalformedMessageError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CKKS_SLOTS", "CkksOwner", "KeyOwnerOnly", "ckks_masked_sum"]

_SERVANT = "psc.engines.seal_servant"
_KEY_BYTES_MAX = 600_000
_CIPHERTEXT_BYTES_MAX = 440_000
_HEAD_BYTES_MAX = 64


class KeyOwnerOnly:
    """A decrypted result that stays with the owner of the key.

    Only ``for_the_key_owner`` gives the values. Everything by which a value gets into a message, a file or an array raises.
    """

    __slots__ = ("_values",)

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def for_the_key_owner(self) -> NDArray[np.float64]:
        """Return the values; they must not reach who computed the ciphertext, in any form that keeps their low digits."""
        return self._values.copy()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise UsageError("engines.key-owner-only")

    __array__ = __buffer__ = __bytes__ = __complex__ = __copy__ = __deepcopy__ = __float__ = __format__ = __getitem__ = _refuse
    __getstate__ = __index__ = __int__ = __iter__ = __len__ = __reduce__ = __reduce_ex__ = __str__ = _refuse

    def __repr__(self) -> str:
        return "<a result for the key's owner only>"


class CkksOwner:
    """The value owner: makes the key, encrypts, and decrypts for itself."""

    def __init__(self) -> None:
        self._context: Any = ckks_context()

    def key_material(self) -> bytes:
        """Return the public context as TenSEAL writes it."""
        made: bytes = self._context.serialize(
            save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
        )
        return made

    def encrypt(self, values: NDArray[np.float64]) -> list[bytes]:
        """Return one serialised vector for every 4096 values; the last is filled up with zeros.

        Args:
            values: (n,) finite numbers below 2^30 in size.

        Raises:
            UsageError: a value is out of range.
        """
        if values.ndim != 1 or not np.all(np.abs(values) < 1 << 30):
            raise UsageError("engines.argument", what="values", given=str(values.shape), wanted="(n,) |v| < 2^30")
        whole = np.zeros(-(-len(values) // CKKS_SLOTS) * CKKS_SLOTS)
        whole[: len(values)] = values
        return [ts.ckks_vector(self._context, part.tolist()).serialize() for part in whole.reshape(-1, CKKS_SLOTS)]

    def decrypt(self, reply: bytes) -> KeyOwnerOnly:
        """Return the slots of a reply, for the owner of the key.

        Raises:
            RemoteProtocolError: the reply is malformed.
        """
        _check(reply, "reply")
        own = self._context.serialize(save_public_key=True, save_secret_key=True, save_galois_keys=False, save_relin_keys=False)
        with Worker(_SERVANT, "reply") as worker:
            (data,) = worker.call("ckks-release", [own, reply]) or [b""]
        if len(data) != 8 * CKKS_SLOTS:
            raise MalformedMessageError("engines.length", what="reply", length_bytes=len(data), expected_bytes=8 * CKKS_SLOTS)
        return KeyOwnerOnly(np.frombuffer(data, dtype="<f8").astype(np.float64))


def ckks_masked_sum(key_material: bytes, vectors: Sequence[bytes], mask: NDArray[np.bool_]) -> bytes:
    """Return the encrypted slot-wise sum of the chosen values; the owner adds up the slots.

    Args:
        key_material: of ``CkksOwner.key_material``, as received.
        vectors: of ``CkksOwner.encrypt``, as received.
        mask: (4096 * len(vectors),) which values are in the sum, at least one.

    Raises:
        RemoteProtocolError: key or vectors are malformed.
        UsageError: the mask does not fit, or chooses nothing.
    """
    if mask.dtype != np.bool_ or mask.shape != (CKKS_SLOTS * len(vectors),) or not mask.any():
        raise UsageError("engines.argument", what="mask", given=f"{mask.dtype} {mask.shape}", wanted="bool, one a slot")
    key = bytes(public_key(key_material, own_parameters(None), CKKS_SCALE, seal_version(), _KEY_BYTES_MAX))
    for one in vectors:
        _check(one, "ciphertext")
    chosen = np.flatnonzero(mask.reshape(-1, CKKS_SLOTS).any(axis=1))
    masks = mask.reshape(-1, CKKS_SLOTS)[chosen].astype("<f8").tobytes()
    with Worker(_SERVANT, "key or ciphertext") as worker:
        made = worker.call("ckks-sum", [key, masks, *(vectors[index] for index in chosen.tolist())])
    if len(made) != 1 or len(made[0]) > _CIPHERTEXT_BYTES_MAX + _HEAD_BYTES_MAX:
        raise MalformedMessageError("engines.malformed", what="ciphertext", reason="its sum has another size")
    return made[0]


def _check(data: bytes, what: str) -> None:
    found = vector(data, CKKS_SLOTS, seal_version(), _CIPHERTEXT_BYTES_MAX, scale=CKKS_SCALE, what=what)
    if found.sizes != (CKKS_SLOTS,):
        raise MalformedMessageError("engines.malformed", what=what, reason="more or less than one full ciphertext")
