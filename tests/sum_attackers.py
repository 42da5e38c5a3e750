"""What a cheating party of a sum has at hand: engines that watch or tamper, and arithmetic in the ring of ``psc.crypto.rlwe``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Rng
from psc.crypto.rlwe import RLWE
from psc.crypto.sums import SumEngine

MODULI = (4_398_046_150_657, 4_398_045_708_289, 4_398_045_511_681, 4_398_045_380_609)
"""The primes of the parameter set ``rlwe-8192-168/1``."""

DEGREE, BITS = 8192, 42
Values = tuple[NDArray[Any], ...]
"""A polynomial as the values of its transform modulo each prime: Python integers, so that products are exact."""


class Tampered:
    """An engine whose two ends go through functions of the attacker."""

    def __init__(
        self, engine: SumEngine, *, owner: Callable[[Any], Any] = lambda end: end, matcher: Any = lambda end: end
    ) -> None:
        self._engine, self._owner, self._matcher = engine, owner, matcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def owner(self, *arguments: Any) -> Any:
        return self._owner(self._engine.owner(*arguments))

    def matcher(self, *arguments: Any) -> Any:
        return self._matcher(self._engine.matcher(*arguments))


class _End:
    def __init__(self, end: Any) -> None:
        self.end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self.end, name)


class Watching(_End):
    """An owner that keeps what it decrypts."""

    def __init__(self, end: Any, seen: list[NDArray[np.uint64]]) -> None:
        super().__init__(end)
        self._seen = seen

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        words: NDArray[np.uint64] = self.end.release(replies)
        self._seen.append(words.copy())
        return words


class Choosing(_End):
    """A matcher that adds up what it likes: ``choose`` changes the cells of positions, ``weight`` multiplies their values."""

    def __init__(self, end: Any, choose: Callable[[NDArray[np.int32]], NDArray[np.int32]], weight: int = 1) -> None:
        super().__init__(end)
        self._choose, self._weight = choose, weight

    def absorb(self, first_block: int, ciphertexts: Any, cells: NDArray[np.int32], weights: Any = None) -> None:
        self.end.absorb(first_block, ciphertexts, self._choose(cells.copy()), np.full(len(cells), self._weight, dtype=np.int64))


class Replying(_End):
    """A matcher that sends what it likes: ``reply`` makes each reply from the number of its cell and the bare sum, unflooded."""

    def __init__(self, end: Any, reply: Callable[[int, bytes], bytes]) -> None:
        super().__init__(end)
        self._reply = reply

    def finish(self, offsets: NDArray[np.uint64], rng: Rng) -> list[bytes]:
        bare = self.end.insecure_finish(np.zeros_like(offsets), rng, randomise=False, flood=False)
        return [self._reply(cell, data) for cell, data in enumerate(bare)]


class Reading(_End):
    """An owner that asks the matcher about its re-randomiser u: empty ciphertexts, public keys of its own making, and c0 read as
    it came, low 64 bits, without its secret. ``keys`` has one polynomial a column, as a few coefficients from place 0 on."""

    def __init__(self, end: Any, keys: Sequence[Sequence[int]]) -> None:
        super().__init__(end)
        self._keys = keys

    def key_material(self) -> bytes:
        self.end.key_material()
        padded = [np.array([*key, *[0] * (DEGREE - len(key))], dtype=object) for key in self._keys]
        return b"".join(pack(key % p) for key in padded for p in MODULI)

    def encrypt(self, first_block: int, values: NDArray[np.int64]) -> list[list[bytes]]:
        return [[bytes(len(one)) for one in block] for block in self.end.encrypt(first_block, values)]

    def release(self, replies: Sequence[bytes]) -> NDArray[np.uint64]:
        words = [[whole(residues) % (1 << 64) for residues in split_reply(reply)[1].tolist()] for reply in replies]
        return np.array(words, dtype=np.uint64)


def whole(residues: Sequence[int]) -> int:
    """The number between -q/2 and q/2 that has these residues modulo the primes."""
    q = math.prod(MODULI)
    number = sum(r * (q // p) * pow(q // p, -1, p) for r, p in zip(residues, MODULI)) % q
    return number - q if number > q // 2 else number


def unpack(data: bytes, count: int) -> NDArray[Any]:
    """Residues of 42 bits each."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").reshape(count, BITS)
    return (bits.astype(np.int64) @ (1 << np.arange(BITS, dtype=np.int64))).astype(object)


def pack(residues: NDArray[Any]) -> bytes:
    numbers = residues.astype(np.int64)
    return np.packbits((numbers[:, None] >> np.arange(BITS) & 1).astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def split_reply(reply: bytes) -> tuple[Values, NDArray[Any]]:
    """A reply's polynomial c1, and coefficient 0 of c0 of every column (columns, primes)."""
    plane = DEGREE * BITS // 8
    values = tuple(unpack(reply[at * plane : (at + 1) * plane], DEGREE) for at in range(len(MODULI)))
    rest = reply[len(MODULI) * plane :]
    return values, unpack(rest, len(rest) * 8 // BITS).reshape(-1, len(MODULI))


def make_reply(values: Values, c0: NDArray[Any]) -> bytes:
    return b"".join(pack(plane) for plane in values) + pack(c0.reshape(-1))


def scaled(reply: bytes, factor: int) -> bytes:
    """The reply times a number: what it decrypts to is multiplied by it, noise and all."""
    values, c0 = split_reply(reply)
    moduli = np.array(MODULI, dtype=object)
    return make_reply(tuple(plane * factor % p for plane, p in zip(values, MODULI)), c0 * factor % moduli)


def steps(context: bytes = bytes(32)) -> Values:
    """1/X (or X, by the order of the transform) at every point of the transform, learnt from the engine's own replies."""
    replies = []
    for position in (0, 1):
        rng = Rng.insecure_from_seed(b"steps")
        owner = RLWE.owner(context, 0, 1, rng)
        ciphertexts = owner.encrypt(0, np.zeros((DEGREE, 1), dtype=np.int64))
        cells = np.full(DEGREE, -1, dtype=np.int32)
        cells[position] = 0
        matcher: Any = RLWE.matcher(context, 0, 1, 1, owner.key_material())
        matcher.absorb(0, ciphertexts, cells)
        bare = matcher.insecure_finish(np.zeros((1, 1), dtype=np.uint64), rng, randomise=False, flood=False)
        replies.append(split_reply(bare[0])[0])
    inverse = np.vectorize(pow, otypes=[object])
    return tuple(b * inverse(a, -1, p) % p for a, b, p in zip(*replies, MODULI))


def power(step: Values, exponent: int) -> Values:
    raised = np.vectorize(pow, otypes=[object])
    return tuple(raised(plane, exponent, p) for plane, p in zip(step, MODULI))


def product(a: Values, b: Values) -> Values:
    return tuple(x * y % p for x, y, p in zip(a, b, MODULI))


def digits_of_key(step: Values, count: int) -> Values:
    """The polynomial whose product with the key has at coefficient 0 the key's first coefficients, as digits of base 3."""
    total = tuple(np.zeros(DEGREE, dtype=object) for _ in MODULI)
    for digit in reversed(range(count)):
        total = tuple((plane * y + 3**digit) % p for plane, y, p in zip(total, step, MODULI))
    return total


def balanced_digits(number: int, count: int) -> list[int]:
    """Digits -1, 0, 1 of base 3, the lowest first."""
    digits = []
    for _ in range(count):
        digit = (number + 1) % 3 - 1
        digits.append(digit)
        number = (number - digit) // 3
    return digits
