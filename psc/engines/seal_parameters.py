"""The fixed parameter sets of the TenSEAL engines.

====================  =====================================  ====================================================
what                  BFV (exact)                            CKKS (approximate)
====================  =====================================  ====================================================
ring dimension        8192                                   8192
coefficient modulus   4 primes of 42 bits: 168 bits          60 + 40 + 40 + 60: 200 bits
slots                 8192                                   4096
plaintext             five primes of 36 bits, one            scale 2^40
                      ciphertext each: 180 bits in all
====================  =====================================  ====================================================

The homomorphic encryption standard allows 218 bits at dimension 8192 for 128-bit security. The 50 bits below it pay for what
decrypted sums give away to a matcher that cheats (``max_cells`` of the engine), as in the default engine.

The noise of a BFV sum is bounded for every input: fresh noise below 2^19 (two products of an error, at most 6 standard deviations
of 3.2, with a ternary polynomial), times a mask polynomial of 8192 coefficients below 2^35, times 2^15 blocks, is below 2^82.
Decryption fails from half of ``q / t`` on: one prime pays for the encryption with the public key, 126 bits of modulus are left,
and 126 - 37 = 89.

References:
    HomomorphicEncryption.org 2018, "Homomorphic Encryption Security Standard", table 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import tenseal as ts

from psc.engines.structure import fields

__all__ = [
    "BFV_BLOCKS_MAX",
    "BFV_SLOTS",
    "CKKS_SCALE",
    "CKKS_SLOTS",
    "PLAIN_PRIMES",
    "bfv_context",
    "ckks_context",
    "own_parameters",
    "parameters_of",
    "seal_version",
]

DEGREE = 8192
BFV_SLOTS = DEGREE
CKKS_SLOTS = DEGREE // 2
BFV_BLOCKS_MAX = 1 << 15
PLAIN_PRIMES = (68719230977, 68718428161, 68718346241, 68717740033, 68717592577)
"""The five largest primes below 2^36 that are 1 modulo 16384."""
CKKS_SCALE = float(1 << 40)

_BFV_BITS = [42, 42, 42, 42]
_CKKS_BITS = [60, 40, 40, 60]


def bfv_context(prime: int) -> Any:
    """Return a BFV context with fresh keys; its randomness is SEAL's own, from the operating system.

    Args:
        prime: one of ``PLAIN_PRIMES``.
    """
    return ts.context(ts.SCHEME_TYPE.BFV, DEGREE, prime, list(_BFV_BITS), n_threads=1)


def ckks_context() -> Any:
    """Return a CKKS context with fresh keys."""
    context = ts.context(ts.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(_CKKS_BITS), n_threads=1)
    context.global_scale = CKKS_SCALE
    return context


def parameters_of(serialised: bytes) -> bytes:
    """Return the encryption parameters in a serialised context."""
    for number, _, value in fields(memoryview(serialised), "context"):
        if number == 1 and isinstance(value, memoryview):
            return bytes(value)
    raise ValueError("a context without parameters")


@lru_cache(maxsize=8)
def own_parameters(prime: int | None) -> bytes:
    """Return our encryption parameters as SEAL writes them.

    Args:
        prime: the plaintext modulus of BFV; None for CKKS.
    """
    context = ckks_context() if prime is None else bfv_context(prime)
    kept = {"save_public_key": False, "save_secret_key": False, "save_galois_keys": False, "save_relin_keys": False}
    return parameters_of(context.serialize(**kept))


def seal_version() -> bytes:
    """Return the two bytes by which SEAL marks what this version of it writes."""
    return own_parameters(PLAIN_PRIMES[0])[3:5]
