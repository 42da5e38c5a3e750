"""Exact samplers of integer noise: the discrete Laplace and the discrete Gaussian distribution.

==================================================  ==============================================================
``discrete_laplace(rng, count, 5, 2)``              P(x) proportional to exp(-|x| / (5/2))
``discrete_gaussian(rng, count, 5, 2)``             P(x) proportional to exp(-x² / (2·(5/2)))
==================================================  ==============================================================

Both take rational parameters and use integers and uniform bits only. Noise made of floating-point numbers lets the low bits
of a released value give the true one away, whatever the proof says of real numbers (Mironov, CCS 2012).

Security:
    The bits come from the party's ``Rng``, never from numpy. The samplers are **not constant time**: the uniform numbers that
    a sample takes depend on it. The party that draws noise is the one that may know it; it draws before it has seen what the
    noise is for (in ``dh-sum`` before the first message), so no time between two messages depends on a sample. What is left is
    the time of the whole draw, microseconds that another process of the same machine could measure: it tells something of the
    sum of the magnitudes drawn. Samples live in a numpy array, which is not zeroised.

References:
    Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020, arXiv 2004.00010, Algorithms 1-3.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

from psc import _core
from psc.crypto.rng import Rng
from psc.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "COUNT_MAX",
    "SCALE_MAX",
    "VARIANCE_DENOMINATOR_MAX",
    "VARIANCE_NUMERATOR_MAX",
    "discrete_gaussian",
    "discrete_laplace",
]

COUNT_MAX = 1 << 24
"""The most samples of one call."""

SCALE_MAX = 1 << 55
"""The largest scale of the discrete Laplace, and the largest standard deviation of the discrete Gaussian distribution."""

VARIANCE_NUMERATOR_MAX = 1 << 48
"""The largest numerator, in lowest terms, of a variance that is not the square of an integer."""

VARIANCE_DENOMINATOR_MAX = 1 << 20
"""The largest denominator, in lowest terms, of a variance that is not the square of an integer."""


def discrete_laplace(rng: Rng, count: int, numerator: int, denominator: int = 1) -> NDArray[np.int64]:
    """Draw from the discrete Laplace distribution: P(x) = (e^(1/s)-1)/(e^(1/s)+1) · e^(-|x|/s), s = numerator/denominator.

    Args:
        rng: source of the bits.
        count: how many samples, 0 to ``COUNT_MAX``.
        numerator: of the scale s, at least 1; below 2^64 in lowest terms.
        denominator: of the scale s, at least 1; below 2^64 in lowest terms.

    Returns:
        int64 (count,), independent samples, read-only. None is beyond ±2^62: such a one,
        rarer than 2^-180 under ``SCALE_MAX``, is drawn again.

    Raises:
        UsageError: the scale is not positive or larger than ``SCALE_MAX``, or ``count`` is out of range.
    """
    numerator, denominator = _lowest("scale", numerator, denominator, 64)
    return _core.discrete_laplace(rng, _counted(count), numerator, denominator)


def discrete_gaussian(rng: Rng, count: int, numerator: int, denominator: int = 1) -> NDArray[np.int64]:
    """Draw from the discrete Gaussian distribution: P(x) proportional to e^(-x²/2σ²), σ² = numerator/denominator.

    The variance of the samples is at most σ², and equal to it but for a vanishing part from σ² = 1 on.

    Args:
        rng: source of the bits.
        count: how many samples, 0 to ``COUNT_MAX``.
        numerator: of σ², at least 1.
        denominator: of σ², at least 1. In lowest terms σ² has a numerator up to ``VARIANCE_NUMERATOR_MAX`` and a denominator
            up to ``VARIANCE_DENOMINATOR_MAX``, or is the square of an integer up to ``SCALE_MAX``.

    Returns:
        int64 (count,), independent samples, read-only.

    Raises:
        UsageError: the variance is none of these, or ``count`` is out of range.
    """
    numerator, denominator = _lowest("variance", numerator, denominator, 128)
    return _core.discrete_gaussian(rng, _counted(count), numerator, denominator)


def _lowest(what: str, numerator: int, denominator: int, bits: int) -> tuple[int, int]:
    # The core checks the range; here only what its integers cannot hold.
    if numerator > 0 and denominator > 0:
        common = gcd(numerator, denominator)
        reduced = numerator // common, denominator // common
        if max(reduced) >> bits == 0:
            return reduced
    raise UsageError("crypto.noise-scale", what=what, numerator=numerator, denominator=denominator)


def _counted(count: int) -> int:
    if not 0 <= count <= COUNT_MAX:
        raise UsageError("crypto.out-of-range", what="count", value=count, minimum=0, maximum=COUNT_MAX)
    return count
