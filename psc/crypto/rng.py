"""The party's random generator.

``Rng.system()`` is ChaCha20 keyed by the operating system; ``Rng.insecure_from_seed(seed)`` gives the same output for
the same seed and exists for tests and golden transcripts. ``bytes(count)`` gives random bytes, ``scalar()`` a uniform
nonzero ``Scalar``, ``permutation(count)`` a uniform permutation of ``range(count)`` as a read-only uint32 array.

Security:
    The state is zeroised when the generator goes. Threads may share a generator. A forked child inherits the state, so
    make the generator after a fork.

References:
    RFC 8439, section 2.3 (ChaCha20); Lemire 2019, "Fast Random Integer Generation in an Interval".
"""

from __future__ import annotations

from psc._core import Rng

__all__ = ["Rng"]
