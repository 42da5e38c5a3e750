"""What the key owner receives is independent of the matcher's choice; and these tests would notice if it were not.

The owner here is the plain Python one, so that everything that it may know is at hand: its secrets, its errors, the public
polynomials. It looks at replies for very different choices in two ways. *Noise*: what decryption leaves above the sum, as a
part of the flood, must be uniform, the same for every choice. *c1*: for each choice that it suspects, c1 less what that
choice would give must look uniform, modulo every prime, whether the suspicion is right or not. All randomness is seeded.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from psc.crypto import RLWE, Rng
from psc.crypto.rlwe import RlweMatcher
from tests.vectors import rlwe_oracle as oracle

CONTEXT = b"context of the hiding"
N, COLUMNS, REPLIES = oracle.N, 2, 150
VALUE = 1 << 62
FLOOD = oracle.Q // 2 // oracle.T
PRIMES = np.array(oracle.PRIMES, np.int64)
CHOICES = {
    "nothing": {},
    "everything": dict.fromkeys(range(N), 1),
    "a single row": {4321: 1},
    "weights of 2^31": dict.fromkeys(range(N), 1 << 31),
}
Residues = NDArray[np.int64]
Seen = dict[str, tuple[NDArray[np.float64], list[Residues]]]


def residues_of(polynomial: bytes) -> Residues:
    """Return (primes, entries)."""
    bits = np.unpackbits(np.frombuffer(polynomial, np.uint8), bitorder="little").reshape(4, N, 42)
    return bits.astype(np.int64) @ (1 << np.arange(42, dtype=np.int64))


def inner(a: NDArray[np.uint64], b: NDArray[np.uint64], prime: int) -> int:
    """Return the sum of products modulo a prime, by halves of 21 bits."""
    p, half = np.uint64(prime), np.uint64(21)
    high = a * (b >> half) % p
    low = a * (b & np.uint64((1 << 21) - 1)) % p
    return int((((high << half) + low) % p).sum()) % prime


class Owner:
    """The key owner with all that it knows."""

    def __init__(self) -> None:
        self._rng = random.Random(1)
        secrets = [{at: self._rng.choice((-1, 1)) for at in self._rng.sample(range(N), 20)} for _ in range(COLUMNS)]
        self._owner = oracle.Owner(CONTEXT, 0, secrets, self._error)
        self.material = self._owner.key_material()
        self.block = self._owner.encrypt(0, [[VALUE] * COLUMNS] * N)
        a = oracle.public(CONTEXT, 0, 1, 0)
        self._a = [oracle.to_values(a, index) for index in range(4)]
        self._secrets = [np.array(self._values(secret), np.uint64) for secret in secrets]
        self.suspected = {name: self._product(weights) for name, weights in CHOICES.items()}

    def _error(self) -> int:
        return self._rng.getrandbits(21).bit_count() - self._rng.getrandbits(21).bit_count()

    def _values(self, terms: oracle.Sparse) -> list[list[int]]:
        polynomial = [terms.get(at, 0) for at in range(N)]
        return [oracle.to_values(polynomial, index) for index in range(4)]

    def _product(self, weights: oracle.Sparse) -> Residues:
        mask = self._values(oracle.mask_of(weights))
        return np.array([[x * y % p for x, y in zip(a, m)] for a, m, p in zip(self._a, mask, oracle.PRIMES)], np.int64)

    def noises(self, reply: bytes, c1: Residues, sums: list[int]) -> list[int]:
        """Return what decryption leaves above the sum, for every column."""
        found = []
        for column, secret in enumerate(self._secrets):
            data = int.from_bytes(reply[21 * (N + column) :][:21], "little")
            residues = []
            for index, prime in enumerate(oracle.PRIMES):
                total = inner(c1[index].astype(np.uint64), secret[index], prime) * pow(N, -1, prime)
                residues.append((total + (data >> 42 * index & (1 << 42) - 1)) % prime)
            number = oracle.centred(oracle.recombine(residues))
            assert (number - sums[column]) % oracle.T == 0
            found.append(number // oracle.T)
        return found


@pytest.fixture(scope="module")
def owner() -> Owner:
    return Owner()


def replies(owner: Owner, weights: oracle.Sparse, seed: bytes, *, randomise: bool, flood: bool, count: int) -> list[bytes]:
    rng = Rng.insecure_from_seed(seed)
    cells = np.full(N, -1, np.int32)
    factors = np.zeros(N, np.int64)
    for at, weight in weights.items():
        cells[at], factors[at] = 0, weight
    offsets = np.zeros((1, COLUMNS), np.uint64)
    found = []
    for _ in range(count):
        matcher = RLWE.matcher(CONTEXT, 0, COLUMNS, 1, owner.material)
        assert isinstance(matcher, RlweMatcher)
        matcher.absorb(0, [owner.block], cells, factors if weights else None)
        if randomise and flood:
            found += matcher.finish(offsets, rng)
        else:
            found += matcher.insecure_finish(offsets, rng, randomise=randomise, flood=flood)
    return found


def look(owner: Owner, *, randomise: bool, flood: bool, count: int = REPLIES) -> Seen:
    """Return for every choice the noises, as parts of the flood where there is one, and the c1 of some replies."""
    seen: Seen = {}
    for name, weights in CHOICES.items():
        noises, polynomials = [], []
        total = sum(weights.values()) * VALUE
        for reply in replies(owner, weights, name.encode(), randomise=randomise, flood=flood, count=count):
            c1 = residues_of(reply[: 21 * N])
            noises += owner.noises(reply, c1, [total] * COLUMNS)
            polynomials.append(c1)
        seen[name] = np.array([noise / FLOOD if flood else float(noise) for noise in noises]), polynomials[:12]
    return seen


def differs(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Kolmogorov and Smirnov: true for equal distributions at most once in a million."""
    points = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(side), points, side="right") / len(side) for side in (a, b)]
    distance = abs(below[0] - below[1]).max()
    return bool(distance > np.sqrt(np.log(2e6) / 2 * (1 / len(a) + 1 / len(b))))


def looks_uniform(residues: Residues) -> bool:
    """Chi-squared over 256 equal parts of each prime: false for uniform residues at most once in a million."""
    parts = residues * 256 // PRIMES[:, None] + 256 * np.arange(4)[:, None]
    counts = np.bincount(parts.ravel(), minlength=1024)
    expected = residues.size / 1024
    # 1020 degrees of freedom: mean 1020, deviation 45.2.
    return bool(((counts - expected) ** 2 / expected).sum() < 1020 + 5.2 * 45.2)


def test_replies_say_nothing_of_the_choice(owner: Owner) -> None:
    seen = look(owner, randomise=True, flood=True)
    uniform = np.linspace(-1, 1, 100_001)
    for name, (noises, polynomials) in seen.items():
        assert abs(noises).max() <= 1
        assert not differs(noises, uniform), name
        assert not any(differs(noises, other) for other, _ in seen.values()), name
        for c1 in polynomials:
            assert looks_uniform(c1), name
            for suspected in owner.suspected.values():
                assert looks_uniform((c1 - suspected) % PRIMES[:, None]), name


def test_replies_of_one_choice_are_unrelated(owner: Owner) -> None:
    pair = replies(owner, CHOICES["everything"], b"pair", randomise=True, flood=True, count=2)
    first, second = (residues_of(reply[: 21 * N]) for reply in pair)
    assert looks_uniform((first - second) % PRIMES[:, None])
    assert pair[0][21 * N :] != pair[1][21 * N :]


def test_without_the_flood_the_noise_gives_the_choice_away(owner: Owner) -> None:
    seen = look(owner, randomise=True, flood=False, count=60)
    nothing = seen["nothing"][0]
    assert differs(nothing, seen["everything"][0])
    assert differs(nothing, seen["weights of 2^31"][0])


def test_without_randomisation_c1_gives_the_choice_away(owner: Owner) -> None:
    for flood in (False, True):
        seen = look(owner, randomise=False, flood=flood, count=20)
        for name, (_, polynomials) in seen.items():
            for c1 in polynomials:
                # The owner finds the choice by trying: what is left is nothing at all for the true one.
                left = {guess: (c1 - product) % PRIMES[:, None] for guess, product in owner.suspected.items()}
                assert [guess for guess, residues in left.items() if not residues.any()] == [name]
                assert not looks_uniform(left[name])
    bare = look(owner, randomise=False, flood=False, count=20)
    # Noises alternate between the columns; the row's error in the second one is not 0.
    assert differs(bare["nothing"][0][1::2], bare["a single row"][0][1::2])
