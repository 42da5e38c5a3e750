"""Limits on what a result shows: withheld cells, noise on sums, dummies for counts. Pure functions over integers.

*Withheld cells*: ``suppress`` and ``suppress_blocks`` (``psc.policy.suppression``).

*Noise on sums.* The value owner draws it before the first message (``draw_noise``) and adds it to what it decrypts, before
that leaves. The budget is one run's, split evenly over the noisy numbers that one customer is in (``numbers``): the statistics of
the run, with 1 more when counts are noisy too. Cells are disjoint, so a customer is in one cell, and each cell gets noise of
the full scale for itself. One customer more or less at the owner changes a statistic by its *bound* at most
(rows a key · largest value, and so on), because values were clipped or refused before encryption.

===========  =======================================  =======================================================================
laplace      scale s = bound · numbers / ε            the run is ε-differentially private
gaussian     variance σ² = bound² · numbers / (2ρ)    the run is ρ-zero-concentrated differentially private
===========  =======================================  =======================================================================

*Dummies.* The party that compares sees exact counts, whatever is done to the output. Noise that binds it (as far as it
follows the protocol) enters the sets: in each cell it holds a public number D of dummies, of which the owner holds a secret
number d. It sees count + d, and d - D/2 is noise of the same kind, truncated to ±D/2. Truncation costs δ ≤ 2^-40; the proof is
in ``docs/protocols/release-limits.md``.

References:
    Dwork, Roth: The Algorithmic Foundations of Differential Privacy (2014), 3.3. Bun, Steinke: Concentrated Differential
    Privacy. TCC 2016, arXiv 1605.02065, Proposition 1.6, Lemma 1.7. Canonne, Kamath, Steinke, arXiv 2004.00010, Theorem 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psc.crypto import Items, KeyCells, Rng
from psc.crypto.noise import (
    SCALE_MAX,
    VARIANCE_DENOMINATOR_MAX,
    VARIANCE_NUMERATOR_MAX,
    discrete_gaussian,
    discrete_laplace,
)
from psc.errors import UsageError
from psc.policy.suppression import check_table, suppress, suppress_blocks
from psc.types import Noise

__all__ = [
    "DUMMIES_MAX",
    "DUMMY_TAG",
    "check_table",
    "draw_common",
    "draw_noise",
    "dummies",
    "estimate",
    "matcher_dummies",
    "noise_scale",
    "noise_tail",
    "owner_dummies",
    "suppress",
    "suppress_blocks",
]

DUMMIES_MAX = 65_536
"""The most dummies of one run, over all cells."""

DUMMY_TAG = b"noise"
"""Tag of a dummy's cells. No kind of key has it, so no dummy equals a key (the encoding of items is injective)."""

_LN2 = Fraction(6_931_472, 10_000_000)
"""Just above the natural logarithm of 2."""

_TAIL_BITS = 64
_DELTA_BITS = 40


def noise_scale(noise: Noise, numbers: int, bound: int) -> Fraction:
    """Return the parameter of the noise of one number: the scale of ``laplace``, the variance of ``gaussian``.

    Args:
        noise: mechanism and the budget of one run.
        numbers: how many noisy numbers of the run one customer is in, at least 1.
        bound: by how much one customer changes the number at most, at least 0.

    Returns:
        0 for a bound of 0, where no noise is needed. A variance that the sampler does not take as it is (in lowest terms its
        numerator is above 2^48, or its denominator above 2^20) is rounded up to the square of an integer: never less noise.

    Raises:
        UsageError: the noise would have a standard deviation of 2^55 or more.
    """
    budget = Fraction(noise.budget_thousandths, 1000)
    if noise.mechanism == "laplace":
        scale = bound * numbers / budget
        if scale > SCALE_MAX:
            raise UsageError("crypto.noise-scale", what="scale", numerator=scale.numerator, denominator=scale.denominator)
        return scale
    variance = bound * bound * numbers / (2 * budget)
    if variance.numerator > VARIANCE_NUMERATOR_MAX or variance.denominator > VARIANCE_DENOMINATOR_MAX:
        root = isqrt(ceil(variance) - 1) + 1
        if root > SCALE_MAX:
            fields = {"numerator": variance.numerator, "denominator": variance.denominator}
            raise UsageError("crypto.noise-scale", what="variance", **fields)
        return Fraction(root * root)
    return variance


def noise_tail(noise: Noise, numbers: int, bound: int) -> int:
    """Return what the noise of one number stays within, but for a chance of 2^-64.

    A sum's width has room for it: noise beyond it wraps, which spoils the number and says nothing about anybody.

    Args:
        noise: as for ``noise_scale``.
        numbers: as for ``noise_scale``.
        bound: as for ``noise_scale``.

    Returns:
        A bound on the magnitude, at least 0.

    Raises:
        UsageError: as for ``noise_scale``.
    """
    parameter = noise_scale(noise, numbers, bound)
    if noise.mechanism == "laplace":
        # P(|x| >= m) = 2·q^m / (1+q) with q = e^(-1/s), at most 2·e^(-m/s).
        return ceil(parameter * (_TAIL_BITS + 1) * _LN2)
    # P(|x| >= m) is at most 2·e^(-m²/2σ²): the samples are subgaussian with σ².
    return isqrt(ceil(parameter * 2 * (_TAIL_BITS + 1) * _LN2)) + 1


def draw_noise(rng: Rng, noise: Noise, numbers: int, cells: int, bounds: Sequence[int]) -> NDArray[np.int64]:
    """Draw the noise of a run's sums.

    Args:
        rng: the value owner's generator.
        noise: mechanism and the budget of one run.
        numbers: how many noisy numbers of the run one customer is in.
        cells: number of cells.
        bounds: of each statistic, by how much one customer changes it at most.

    Returns:
        int64 (cells, statistics), independent samples.

    Raises:
        UsageError: a scale is too large.

    Security:
        Draw before the first message. Whoever knows these numbers can take them away again.
    """
    columns = [_draw(rng, noise, cells, noise_scale(noise, numbers, bound)) for bound in bounds]
    return np.stack(columns, axis=1) if columns else np.zeros((cells, 0), dtype=np.int64)


def _draw(rng: Rng, noise: Noise, count: int, parameter: Fraction) -> NDArray[np.int64]:
    if parameter == 0:
        return np.zeros(count, dtype=np.int64)
    sampler = discrete_laplace if noise.mechanism == "laplace" else discrete_gaussian
    return sampler(rng, count, parameter.numerator, parameter.denominator)


def dummies(noise: Noise, numbers: int, cells: int) -> int:
    """Return D, the public number of dummies of each cell; even.

    Args:
        noise: mechanism and the budget of one run.
        numbers: how many noisy numbers of the run one customer is in, the count among them.
        cells: number of cells.

    Returns:
        D = 2c, where the noise of a count stays within ±c but for a chance that costs δ ≤ 2^-40.

    Raises:
        UsageError: there would be more than ``DUMMIES_MAX`` in all (``policy.too-many-dummies``), or as for ``noise_scale``.
    """
    parameter = noise_scale(noise, numbers, 1)
    if noise.mechanism == "laplace":
        reach = ceil(parameter * _DELTA_BITS * _LN2)
    else:
        # (c + 1)² ≥ 2σ²·42·ln 2 makes 2·e^(-(c+1)²/2σ²) at most 2^-41.
        reach = isqrt(ceil(parameter * 2 * (_DELTA_BITS + 2) * _LN2))
    each = 2 * max(reach, 1)
    if each * cells > DUMMIES_MAX:
        raise UsageError("policy.too-many-dummies", dummies=each, cells=cells, limit=DUMMIES_MAX)
    return each


def draw_common(rng: Rng, noise: Noise, numbers: int, cells: int) -> NDArray[np.int64]:
    """Draw d, the secret number of dummies that the owner holds, for each cell.

    Args:
        rng: the owner's generator.
        noise: as for ``dummies``.
        numbers: as for ``dummies``.
        cells: number of cells.

    Returns:
        int64 (cells,), each within 0..D: D/2 and a sample of the noise, drawn again until it is within ±D/2.

    Raises:
        UsageError: as for ``dummies``.
    """
    reach = dummies(noise, numbers, cells) // 2
    parameter = noise_scale(noise, numbers, 1)
    drawn = _draw(rng, noise, cells, parameter).copy()
    while (outside := np.flatnonzero(np.abs(drawn) > reach)).size:
        drawn[outside] = _draw(rng, noise, outside.size, parameter)
    drawn += reach
    return drawn


def matcher_dummies(own_block: int, their_blocks: int, each: int) -> Items:
    """Return the dummies of one of the matcher's blocks: all D of each of its cells.

    Args:
        own_block: index of the matcher's block.
        their_blocks: number of the owner's blocks.
        each: D.

    Returns:
        ``their_blocks · each`` items, for the block's end.
    """
    cells = np.arange(their_blocks, dtype=np.uint32)
    return _items(np.full(their_blocks * each, own_block), np.repeat(cells, each), np.tile(np.arange(each), their_blocks))


def owner_dummies(rng: Rng, own_block: int, common: NDArray[np.int64], each: int) -> Items:
    """Return the dummies of one of the owner's blocks: a secret choice of d of the D of each of its cells.

    Args:
        rng: the owner's generator.
        own_block: index of the owner's block.
        common: (matcher's blocks,) d of each cell, from ``draw_common``.
        each: D.

    Returns:
        ``common.sum()`` items. The block is padded to its largest size with ``len(common) · each`` of them: how many there
        are stays secret. Their values are 0.
    """
    numbers = [rng.permutation(each)[: int(held)] for held in common]
    blocks = np.repeat(np.arange(len(common)), common)
    return _items(blocks, np.full(len(blocks), own_block), np.concatenate([*numbers, np.zeros(0, dtype=np.uint32)]))


def estimate(observed: NDArray[np.int64], each: int) -> NDArray[np.int64]:
    """Return unbiased counts: what the matcher found, less D/2. They can be negative, and above the sets' sizes.

    Args:
        observed: common items of each cell, dummies among them.
        each: D.
    """
    return observed - each // 2


def _items(matcher: NDArray[Any], owner: NDArray[Any], number: NDArray[Any]) -> Items:
    cells = np.stack([matcher, owner, number], axis=1).astype(">u4")
    offsets = np.arange(len(cells) + 1, dtype=np.int64) * cells.itemsize * 3
    return Items.encode([KeyCells(DUMMY_TAG, offsets, cells.tobytes())])
