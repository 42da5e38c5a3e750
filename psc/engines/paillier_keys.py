"""Paillier keys that are checked, and arithmetic in batches: all of Paillier here but the engine's two roles.

A public key is a modulus ``n``; with ``g = n + 1`` a ciphertext of ``m`` is ``(1 + m n) r^n mod n^2``. The owner of the key
knows ``n = p q`` and works modulo ``p^2`` and ``q^2``, which makes an encryption four times cheaper. Integers are ``gmpy2``'s
(``mpz``), which behave as ``int``; long batches run on threads with the GIL released (``PSC_THREADS`` limits them).

Security:
    A public key of a peer is refused unless it has 2048, 3072 or 4096 bits, is odd, neither prime nor a perfect power, and has no
    prime factor below 2^16. That does not yet make it a Paillier key: with ``gcd(n, phi(n)) > 1`` the mask ``r^n`` would hide
    nothing of part of the group. So a key on the wire carries a proof: the n-th roots of eight values that are hashed from the
    modulus. Were the gcd not 1, at most one value in 2^16 would have a root, so such a key passes with chance 2^-128.
    Exponents that hold a secret of the key go through GMP's constant-time ``mpz_powm_sec``.

References:
    Paillier 1999, "Public-Key Cryptosystems Based on Composite Degree Residuosity Classes"; Goldberg, Reyzin, Sagga, Baldimtsi
    2018 (eprint 2018/057), "Efficient Noninteractive Certification of RSA Moduli and Beyond", section 3 (n-th roots);
    CVE-2023-33241 (keys with small factors).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import gmpy2
from gmpy2 import mpz

from psc.errors import InvalidElementError, MalformedMessageError, ParameterMismatchError, UsageError

if TYPE_CHECKING:
    from psc.crypto import Rng

__all__ = ["BITS", "PROOF_ROOTS", "PrivateKey", "PublicKey", "in_threads", "integers", "random_below", "to_bytes"]

BITS = (2048, 3072, 4096)
"""The sizes of a modulus that are accepted, in bits; 3072 is for 128-bit security, 2048 for 112."""

PROOF_ROOTS = 8
"""The roots in a key's proof: 8 times the 16 bits of the trial division make 2^-128."""

_SMALL = 1 << 16
_LABEL = b"PSC-V1-Paillier-KeyProof"
_PRIME_TESTS = 40
_BATCH = 32

T = TypeVar("T")
R = TypeVar("R")


@lru_cache(maxsize=1)
def _small_primes() -> int:
    """Return the product of all primes below 2^16."""
    product: int = gmpy2.primorial(_SMALL)
    return product


def _threads() -> int:
    given = os.environ.get("PSC_THREADS", "")
    if not given:
        return os.cpu_count() or 1
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 1024):
        raise UsageError("crypto.bad-threads", value=given)
    return int(given)


def in_threads(function: Callable[[Sequence[T]], list[R]], items: Sequence[T], batch: int = _BATCH) -> list[R]:
    """Return ``function`` of consecutive batches of ``items``, joined, in their order; on threads with the GIL released.

    Args:
        function: pure; of a batch.
        items: any number.
        batch: items of one call.
    """

    def run(start: int) -> list[R]:
        with gmpy2.context(allow_release_gil=True):
            return function(items[start : start + batch])

    starts = range(0, len(items), batch)
    threads = min(_threads(), len(starts))
    if threads <= 1:
        return list(chain.from_iterable(map(run, starts)))
    with ThreadPoolExecutor(threads) as pool:
        return list(chain.from_iterable(pool.map(run, starts)))


def random_below(bound: int, rng: Rng, count: int = 1) -> Iterator[int]:
    """Yield ``count`` integers, each uniform in ``range(bound)`` but for a bias below 2^-128."""
    width = (int(bound).bit_length() + 7) // 8 + 16
    for _ in range(count):
        yield mpz.from_bytes(rng.bytes(width), "big") % bound


def to_bytes(value: int, width: int) -> bytes:
    """Return ``value`` in ``width`` bytes, the highest first."""
    return int(value).to_bytes(width, "big")


def integers(data: bytes, width: int) -> list[int]:
    """Return the integers of ``width`` bytes each, the highest byte first; ``data`` holds whole ones."""
    return [mpz.from_bytes(data[start : start + width], "big") for start in range(0, len(data), width)]


@dataclass(frozen=True)
class PublicKey:
    """A modulus that passed the checks; made by ``checked``, ``proved`` or a ``PrivateKey``.

    Attributes:
        n: the modulus, an ``mpz``.
    """

    n: int

    @classmethod
    def checked(cls, n: int, bits: int | None = None) -> PublicKey:
        """Return the key, after the checks that need no proof.

        Args:
            n: the modulus as it came.
            bits: the size that it must have; None allows every size in ``BITS``.

        Raises:
            ParameterMismatchError: another size.
            MalformedMessageError: even, prime, a perfect power, or a prime factor below 2^16.

        Security:
            Enough towards a partner who is honest about its own key; see the module for what it leaves open.
        """
        wanted = BITS if bits is None else (bits,)
        if n <= 0 or int(n).bit_length() not in wanted:
            size = int(n).bit_length() if n > 0 else 0
            raise ParameterMismatchError("engines.other-parameters", what="modulus", reason=f"{size} bits")
        n = mpz(n)
        for wrong, reason in (
            (lambda: n % 2 == 0, "it is even"),
            (lambda: gmpy2.gcd(n, _small_primes() % n) != 1, "it has a prime factor below 2^16"),
            (lambda: gmpy2.is_power(n), "it is a perfect power"),
            (lambda: gmpy2.is_prime(n, _PRIME_TESTS), "it is prime"),
        ):
            if wrong():
                raise MalformedMessageError("engines.key-refused", reason=reason)
        return cls(n)

    @classmethod
    def proved(cls, data: bytes, bits: int, context: bytes) -> PublicKey:
        """Return the key of a peer's ``PrivateKey.material``.

        Args:
            data: modulus and roots, ``(1 + PROOF_ROOTS) * bits / 8`` bytes.
            bits: the size that is agreed.
            context: what the proof was made for.

        Raises:
            MalformedMessageError: wrong length, a key that is refused, or a root that is wrong.
            ParameterMismatchError: a modulus of another size.
        """
        width = bits // 8
        if len(data) != width * (1 + PROOF_ROOTS):
            raise MalformedMessageError(
                "engines.length", what="key", length_bytes=len(data), expected_bytes=width * (1 + PROOF_ROOTS)
            )
        n, *roots = integers(bytes(data), width)
        key = cls.checked(n, bits)
        for root, wanted in zip(roots, _challenges(key.n, bits, context), strict=True):
            if not 0 < root < key.n or gmpy2.powmod(root, key.n, key.n) != wanted:
                raise MalformedMessageError("engines.key-refused", reason="its proof is wrong")
        return key

    @property
    def bits(self) -> int:
        """Bits of the modulus."""
        return int(self.n).bit_length()

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a ciphertext."""
        return self.bits // 4

    @cached_property
    def square(self) -> int:
        """The modulus of ciphertexts, ``n^2``."""
        return self.n * self.n

    def check_ciphertexts(self, values: Sequence[int]) -> None:
        """Refuse what is not a ciphertext: outside ``0 < c < n^2``, or sharing a factor with ``n``.

        Args:
            values: integers as they came.

        Raises:
            InvalidElementError: with ``index``, the first position that is wrong.
        """
        for index, value in enumerate(values):
            if not 0 < value < self.square:
                raise InvalidElementError("engines.ciphertext-refused", index=index, reason="it is out of range")
        product = mpz(1)
        for value in values:
            product = product * value % self.n
        if gmpy2.gcd(product, self.n) == 1:
            return
        for index, value in enumerate(values):
            if gmpy2.gcd(value, self.n) != 1:
                raise InvalidElementError("engines.ciphertext-refused", index=index, reason="it shares a factor with the modulus")

    def unit(self, rng: Rng) -> int:
        """Return a uniform invertible number modulo ``n``."""
        while True:
            value = next(random_below(self.n, rng))
            if gmpy2.gcd(value, self.n) == 1:
                return value

    def encrypt(self, values: Sequence[int], rng: Rng) -> list[int]:
        """Return a fresh ciphertext of each value; a negative value stands for ``n`` minus its size.

        Args:
            values: integers, taken modulo ``n``.
            rng: makes the randomness.
        """
        return self.randomise([1] * len(values), values, rng)

    def randomise(self, ciphertexts: Sequence[int], values: Sequence[int], rng: Rng) -> list[int]:
        """Return ciphertexts of plaintext plus value, each with fresh randomness.

        Args:
            ciphertexts: already checked.
            values: integers to add, one a ciphertext.
            rng: makes the randomness.

        Security:
            With ``gcd(n, phi(n)) = 1`` the result depends on the plaintext alone, not on how it was reached.
        """
        items = [(c, v, self.unit(rng)) for c, v in zip(ciphertexts, values, strict=True)]
        n, square = self.n, self.square

        def batch(part: Sequence[tuple[int, int, int]]) -> list[int]:
            return [c * (1 + v % n * n) % square * gmpy2.powmod(r, n, square) % square for c, v, r in part]

        return in_threads(batch, items, batch=4)


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """Two primes of one size; fresh for every run. Shows no content.

    Attributes:
        p: one prime, an ``mpz``.
        q: the other.
    """

    p: int
    q: int

    @classmethod
    def generate(cls, bits: int, rng: Rng) -> PrivateKey:
        """Return a fresh key.

        Args:
            bits: of the modulus, one of ``BITS``.
            rng: makes the primes.

        Raises:
            UsageError: another size.
        """
        if bits not in BITS:
            raise UsageError("engines.argument", what="bits", given=bits, wanted=", ".join(map(str, BITS)))
        p = _prime(bits // 2, rng)
        q = _prime(bits // 2, rng)
        while q == p:
            q = _prime(bits // 2, rng)
        return cls(p, q)

    def __repr__(self) -> str:
        return f"<Paillier private key of {self.public.bits} bits>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a private key is not pickled")

    @cached_property
    def public(self) -> PublicKey:
        """The public key."""
        return PublicKey(mpz(self.p) * self.q)

    @cached_property
    def _halves(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """For each prime: itself, its square, and what turns ``L(c^(p-1) mod p^2)`` into the plaintext modulo it."""
        n = self.public.n
        return tuple(  # type: ignore[return-value]
            (p, p * p, gmpy2.invert(_log(gmpy2.powmod_sec(1 + n, p - 1, p * p), p), p)) for p in (mpz(self.p), mpz(self.q))
        )

    @cached_property
    def _inverse(self) -> int:
        """``p^-2`` modulo ``q^2``."""
        (_, p2, _), (_, q2, _) = self._halves
        inverse: int = gmpy2.invert(p2, q2)
        return inverse

    def material(self, context: bytes) -> bytes:
        """Return the modulus and the proof that ``PublicKey.proved`` checks.

        Args:
            context: binds the proof to its use.
        """
        public = self.public
        n = public.n
        exponent = gmpy2.invert(n, (self.p - 1) * (self.q - 1))
        roots = [gmpy2.powmod_sec(value, exponent, n) for value in _challenges(n, public.bits, context)]
        return b"".join(to_bytes(value, public.bits // 8) for value in (n, *roots))

    def encrypt(self, values: Sequence[int], rng: Rng) -> list[int]:
        """Return a fresh ciphertext of each value, as ``PublicKey.encrypt`` does at a quarter of its cost.

        Args:
            values: integers, taken modulo ``n``.
            rng: makes the randomness.
        """
        (p, p2, _), (q, q2, _) = self._halves
        n, square, inverse = self.public.n, self.public.square, self._inverse
        # x^p mod p^2 for x uniform is distributed as r^n mod p^2 for r uniform: r -> r^q permutes the residues of p.
        ones, twos = (random_below(prime - 1, rng, len(values)) for prime in (p, q))
        items = [(value, 1 + x, 1 + y) for value, x, y in zip(values, ones, twos, strict=True)]

        def batch(part: Sequence[tuple[int, int, int]]) -> list[int]:
            made = []
            for value, x, y in part:
                low = gmpy2.powmod_sec(x, p, p2)
                high = gmpy2.powmod_sec(y, q, q2)
                mask = low + p2 * ((high - low) * inverse % q2)
                made.append((1 + value % n * n) * mask % square)
            return made

        return in_threads(batch, items)

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the plaintext of each ciphertext, in ``range(n)``.

        Args:
            ciphertexts: already checked.
        """
        (p, p2, hp), (q, q2, hq) = self._halves
        inverse = gmpy2.invert(p, q)

        def batch(part: Sequence[int]) -> list[int]:
            opened = []
            for value in part:
                low = _log(gmpy2.powmod_sec(value % p2, p - 1, p2), p) * hp % p
                high = _log(gmpy2.powmod_sec(value % q2, q - 1, q2), q) * hq % q
                opened.append(low + p * ((high - low) * inverse % q))
            return opened

        return in_threads(batch, ciphertexts)


def _prime(bits: int, rng: Rng) -> int:
    """Return a random prime whose two top bits are set, so that two of them make a modulus of twice the bits."""
    top = (mpz(3) << (bits - 2)) | 1
    while True:
        candidate: int = mpz.from_bytes(rng.bytes(bits // 8), "big") | top
        if gmpy2.is_prime(candidate, _PRIME_TESTS):
            return candidate


def _log(value: int, p: int) -> int:
    """Return ``(value - 1) / p``, which is a logarithm to the base ``1 + p`` modulo ``p^2``."""
    return (value - 1) // p


def _challenges(n: int, bits: int, context: bytes) -> list[int]:
    """Return the values whose n-th roots prove a key: hashed from the modulus and the context."""
    width = bits // 8 + 16
    modulus = to_bytes(n, bits // 8)
    head = b"".join(len(part).to_bytes(4, "big") + part for part in (_LABEL, context, modulus))
    stream = hashlib.shake_256(head).digest(width * PROOF_ROOTS)
    return [value % n for value in integers(stream, width)]
