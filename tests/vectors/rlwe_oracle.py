"""Packed additive encryption in plain Python integers, from docs/protocols/packed-encryption.md: slow, independent of our Rust.

A polynomial is a list of 8192 integers modulo q. Products are schoolbook ones, so one factor is a ``Sparse`` polynomial: the
secrets, masks and random polynomials of this oracle have few terms, which is as insecure as it is quick.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

N = 8192
PRIMES = (4398046150657, 4398045708289, 4398045511681, 4398045380609)
ROOTS = (3761857733064, 4051916851763, 1897799179668, 4072525989273)
Q = PRIMES[0] * PRIMES[1] * PRIMES[2] * PRIMES[3]
T = 1 << 64
BITS = 42
PREFIX = b"PSC-V1-ristretto255-SHA512-Sums-"

Polynomial = list[int]
Sparse = dict[int, int]


def recombine(residues: Sequence[int]) -> int:
    """Return the number modulo q with these residues."""
    return sum(r * (Q // p) * pow(Q // p, -1, p) for r, p in zip(residues, PRIMES, strict=True)) % Q


def pack(polynomial: Polynomial) -> bytes:
    """Prime after prime, 42 bits a residue, the first in the lowest bits."""
    parts = []
    for prime in PRIMES:
        number = 0
        for coefficient in reversed(polynomial):
            number = number << BITS | coefficient % prime
        parts.append(number.to_bytes(N * BITS // 8, "little"))
    return b"".join(parts)


def unpack(data: bytes) -> list[list[int]]:
    """Return the residues prime by prime."""
    assert len(data) == 21 * N
    planes = []
    for index in range(4):
        number = int.from_bytes(data[index * N * BITS // 8 :][: N * BITS // 8], "little")
        digits = f"{number:0{N * BITS}b}"
        planes.append([int(digits[at : at + BITS], 2) for at in range(len(digits) - BITS, -1, -BITS)])
    return planes


def coefficients(data: bytes) -> Polynomial:
    """Return the polynomial whose packed coefficients are given."""
    return [recombine(residues) for residues in zip(*unpack(data), strict=True)]


def _order(index: int) -> int:
    return int(f"{index:013b}"[::-1], 2)


def to_values(polynomial: Polynomial, index: int) -> list[int]:
    """Return the values at the odd powers of the root modulo a prime, by splitting X^n - c into X^(n/2) -+ sqrt(c)."""
    prime, root = PRIMES[index], ROOTS[index]

    def split(part: list[int], exponent: int) -> list[int]:
        if len(part) == 1:
            return part
        half, c = len(part) // 2, pow(root, exponent // 2, prime)
        upper = [c * x for x in part[half:]]
        plus = split([(x + y) % prime for x, y in zip(part, upper)], exponent // 2)
        return plus + split([(x - y) % prime for x, y in zip(part, upper)], exponent // 2 + N)

    return split([x % prime for x in polynomial], N)


def from_values(values: list[int], index: int) -> list[int]:
    """Return the coefficients modulo a prime."""
    prime, root = PRIMES[index], ROOTS[index]

    def join(part: list[int], exponent: int) -> list[int]:
        if len(part) == 1:
            return part
        half, inverse = len(part) // 2, pow(2 * pow(root, exponent // 2, prime), -1, prime)
        plus, minus = join(part[:half], exponent // 2), join(part[half:], exponent // 2 + N)
        halved = pow(2, -1, prime)
        lower = [(x + y) * halved % prime for x, y in zip(plus, minus)]
        return lower + [(x - y) * inverse % prime for x, y in zip(plus, minus)]

    return join(values, N)


def value_at(polynomial: Polynomial, index: int, entry: int) -> int:
    """Return one entry of ``to_values`` by Horner's rule."""
    prime = PRIMES[index]
    x = pow(ROOTS[index], 2 * _order(entry) + 1, prime)
    total = 0
    for coefficient in reversed(polynomial):
        total = (total * x + coefficient) % prime
    return total


@functools.cache
def public(context: bytes, section: int, kind: int, number: int) -> Polynomial:
    """Return the coefficients of the public polynomial of the key (kind 0) or of a block (kind 1)."""
    label = PREFIX + context
    planes = []
    for index, prime in enumerate(PRIMES):
        message = len(label).to_bytes(2, "big") + label + section.to_bytes(4, "big")
        message += bytes([kind]) + number.to_bytes(8, "big") + bytes([index])
        key = hashlib.sha512(message).digest()[:32]
        stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(2 * N * BITS // 8))
        drawn = f"{int.from_bytes(stream, 'little'):0{2 * N * BITS}b}"
        candidates = (int(drawn[at : at + BITS], 2) for at in range(len(drawn) - BITS, -1, -BITS))
        values = [x for x in candidates if x < prime][:N]
        planes.append(from_values(values, index))
    return [recombine(residues) for residues in zip(*planes, strict=True)]


def times(a: Polynomial, b: Sparse) -> Polynomial:
    """Return a·b modulo X^8192 + 1 and q, term by term."""
    product = [0] * N
    for at, factor in b.items():
        for index, coefficient in enumerate(a):
            product[(index + at) % N] += (1 if index + at < N else -1) * coefficient * factor
    return [x % Q for x in product]


def mask_of(weights: Sparse) -> Sparse:
    """Return the polynomial that makes coefficient 0 of a product the sum of weight times coefficient."""
    return {(-at) % N: weight if at == 0 else -weight for at, weight in weights.items()}


def centred(x: int) -> int:
    """Return the representative between -q/2 and q/2."""
    return (x + Q // 2) % Q - Q // 2


class Owner:
    """The value owner, with secrets of few terms."""

    def __init__(self, context: bytes, section: int, secrets: Sequence[Sparse], error: Callable[[], int]) -> None:
        self._context, self._section, self.secrets, self._error = context, section, secrets, error

    def _encrypt(self, kind: int, number: int, column: int, message: Sequence[int]) -> bytes:
        product = times(public(self._context, self._section, kind, number), self.secrets[column])
        padded = list(message) + [0] * (N - len(message))
        return pack([(T * self._error() + v - x) % Q for v, x in zip(padded, product)])

    def key_material(self) -> bytes:
        """Return the public key's b of every column."""
        return b"".join(self._encrypt(0, 0, column, []) for column in range(len(self.secrets)))

    def encrypt(self, number: int, rows: Sequence[Sequence[int]]) -> list[bytes]:
        """Encrypt at most 8192 rows: one ciphertext a column."""
        return [self._encrypt(1, number, column, [row[column] for row in rows]) for column in range(len(self.secrets))]

    def decrypt(self, reply: bytes) -> list[int]:
        """Return for each column the whole centred number: 2^64 times the noise plus the sum."""
        planes = unpack(reply[: 21 * N])
        c1 = [recombine(residues) for residues in zip(*(from_values(plane, i) for i, plane in enumerate(planes)), strict=True)]
        out = []
        for column, secret in enumerate(self.secrets):
            data = int.from_bytes(reply[21 * (N + column) :][:21], "little")
            c0 = recombine([data >> BITS * i & (1 << BITS) - 1 for i in range(4)])
            out.append(centred(c0 + sum(s * (c1[0] if at == 0 else -c1[N - at]) for at, s in secret.items())))
        return out


class Matcher:
    """The matcher of one cell, with masks and random polynomials of few terms."""

    def __init__(self, context: bytes, section: int, key_material: bytes) -> None:
        self._context, self._section = context, section
        self._keys = [coefficients(key_material[21 * N * j :][: 21 * N]) for j in range(len(key_material) // (21 * N))]
        self._c1, self._c0 = [0] * N, [0] * len(self._keys)

    def _add(self, public_part: Polynomial, parts: Sequence[Polynomial], weights: Sparse) -> None:
        product = times(public_part, mask_of(weights))
        self._c1 = [(x + y) % Q for x, y in zip(self._c1, product)]
        for column, b in enumerate(parts):
            self._c0[column] += sum(weight * b[at] for at, weight in weights.items())

    def absorb(self, number: int, ciphertexts: Sequence[bytes], weights: Sparse) -> None:
        """Add the weighted positions of a block."""
        a = public(self._context, self._section, 1, number)
        self._add(a, [coefficients(one) for one in ciphertexts], weights)

    def finish(self, offsets: Sequence[int], ternary: Sparse, error: Callable[[], int], flood: Callable[[], int]) -> bytes:
        """Return the re-randomised and flooded reply."""
        self._add(public(self._context, self._section, 0, 0), self._keys, ternary)
        c1 = [(x + T * error()) % Q for x in self._c1]
        values = [to_values(c1, index) for index in range(4)]
        reply = pack([recombine(residues) for residues in zip(*values, strict=True)])
        for offset, c0 in zip(offsets, self._c0, strict=True):
            c0 = (c0 + T * (error() + flood()) + offset) % Q
            reply += sum((c0 % prime) << BITS * i for i, prime in enumerate(PRIMES)).to_bytes(21, "little")
        return reply
