"""TenSEAL in its worker process: the only code that loads what a peer's TenSEAL wrote, after ``structure`` has passed it.

``serve`` answers the operations of ``psc.engines.tenseal`` and ``psc.engines.ckks``. Arrays travel as little-endian bytes. The
keys of a peer are put into contexts of our own parameters; a peer's parameters are never loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tenseal as ts

from psc.engines.seal_parameters import BFV_SLOTS, CKKS_SCALE, CKKS_SLOTS, PLAIN_PRIMES, own_parameters
from psc.engines.structure import length_delimited
from psc.engines.worker import Refusal

__all__ = ["serve"]


# Fields 2 and 3 of a public context: all automatic steps on (TenSEAL's default), and the head of the scale.
_FLAGS = b"\x10\x07"
_SCALE = b"\x19"


def _with_key(prime: int | None, key: bytes) -> Any:
    """Return a context of our parameters (CKKS when ``prime`` is None) and a peer's public key."""
    public = length_delimited(1, key) + _FLAGS + _SCALE + struct.pack("<d", -1.0 if prime is not None else CKKS_SCALE)
    return _load(ts.context_from, length_delimited(1, own_parameters(prime)) + length_delimited(2, public), 1)


def _load(function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return function(*arguments)
    except (ValueError, RuntimeError, TypeError) as error:
        raise Refusal("the library does not accept it") from error


def _vector(load: Callable[..., Any], context: Any, data: bytes, slots: int) -> Any:
    """Load one vector that must be one fresh-sized ciphertext of our parameters."""
    found = _load(load, context, data)
    first = found.ciphertext()
    if len(first) != 1 or first[0].size() != 2 or found.size() != slots:
        raise Refusal("it is not one ciphertext of two polynomials")
    return found


def _array(data: bytes, dtype: str, shape: tuple[int, ...]) -> Any:
    return np.frombuffer(data, dtype=dtype).reshape(shape)


class _Bfv:
    """The matcher's sums: a context a column and prime, a running sum a cell, column and prime."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        head, *keys = parts
        self.columns, self.cells = struct.unpack("<II", head)
        self.contexts = [_with_key(PLAIN_PRIMES[at % len(PLAIN_PRIMES)], key) for at, key in enumerate(keys)]
        self.sums: dict[tuple[int, int], Any] = {}

    def absorb(self, parts: Sequence[bytes]) -> list[bytes]:
        """Add blocks: cells, weights, then the vectors, block by block, column by column, prime by prime."""
        cell_bytes, weight_bytes, *vectors = parts
        cells = _array(cell_bytes, "<i4", (-1, BFV_SLOTS))
        weights = _array(weight_bytes, "<i8", (-1, BFV_SLOTS))
        todo: Iterator[bytes] = iter(vectors)
        for numbers, factors in zip(cells, weights, strict=True):
            masks = {int(cell): np.where(numbers == cell, factors, 0) for cell in np.unique(numbers[numbers >= 0])}
            lists = {cell: mask.tolist() for cell, mask in masks.items() if mask.any()}
            for at, context in enumerate(self.contexts):
                loaded = _vector(ts.bfv_vector_from, context, next(todo), BFV_SLOTS)
                for cell, mask in lists.items():
                    product = loaded * mask
                    kept = self.sums.get((cell, at))
                    self.sums[cell, at] = product if kept is None else kept + product
        return []

    def finish(self, parts: Sequence[bytes]) -> list[bytes]:
        """Add to each sum a fresh encryption of its vector of masks, cell by cell, column by column, prime by prime."""
        replies = []
        for index, mask in enumerate(parts):
            cell, at = divmod(index, len(self.contexts))
            fresh = ts.bfv_vector(self.contexts[at], np.frombuffer(mask, dtype="<i8").tolist())
            kept = self.sums.get((cell, at))
            replies.append((fresh if kept is None else kept + fresh).serialize())
        return replies


def _bfv_release(parts: Sequence[bytes]) -> list[bytes]:
    """Decrypt replies with our own contexts and add up their slots: one sum modulo its prime each."""
    head, *rest = parts
    (count,) = struct.unpack("<I", head)
    contexts = [ts.context_from(own, 1) for own in rest[:count]]
    sums = []
    for index, data in enumerate(rest[count:]):
        slots = _vector(ts.bfv_vector_from, contexts[index % count], data, BFV_SLOTS).decrypt()
        sums.append(sum(slots) % PLAIN_PRIMES[index % len(PLAIN_PRIMES)])
    return [np.array(sums, dtype="<i8").tobytes()]


def _ckks_sum(parts: Sequence[bytes]) -> list[bytes]:
    """Return the sum of masked vectors: key, masks, then the vectors."""
    key, mask_bytes, *vectors = parts
    context = _with_key(None, key)
    kept: Any = None
    for mask, data in zip(_array(mask_bytes, "<f8", (-1, CKKS_SLOTS)), vectors, strict=True):
        product = _vector(ts.ckks_vector_from, context, data, CKKS_SLOTS) * mask.tolist()
        kept = product if kept is None else kept + product
    return [kept.serialize()]


def _ckks_release(parts: Sequence[bytes]) -> list[bytes]:
    """Decrypt one vector with our own context."""
    own, data = parts
    values = _vector(ts.ckks_vector_from, ts.context_from(own, 1), data, CKKS_SLOTS).decrypt()
    return [np.array(values, dtype="<f8").tobytes()]


def _decrypt_unchecked(parts: Sequence[bytes]) -> list[bytes]:
    """Load and decrypt without the checks above: what the tests of the worker use to see what they guard against."""
    kind, own, data = parts
    context = ts.context_from(own, 1)
    if kind == b"tensor":
        return [np.array(ts.ckks_tensor_from(context, data).decrypt().tolist(), dtype="<f8").tobytes()]
    load, dtype = (ts.bfv_vector_from, "<i8") if kind == b"bfv" else (ts.ckks_vector_from, "<f8")
    loaded = load(context, data)
    return [np.array((loaded + loaded).decrypt(), dtype=dtype).tobytes()]


_bfv: list[_Bfv] = []


def serve(operation: str, parts: Sequence[bytes]) -> list[bytes]:
    """Answer one question.

    Raises:
        Refusal: the peer's bytes are wrong.
    """
    if operation == "bfv-open":
        _bfv[:] = [_Bfv(parts)]
        return []
    if operation == "bfv-absorb":
        return _bfv[0].absorb(parts)
    if operation == "bfv-finish":
        return _bfv[0].finish(parts)
    others = {
        "bfv-release": _bfv_release,
        "ckks-sum": _ckks_sum,
        "ckks-release": _ckks_release,
        "decrypt-unchecked": _decrypt_unchecked,
    }
    return others[operation](parts)
