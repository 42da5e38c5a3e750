"""The samplers of noise against their exact probabilities, and against OpenDP's."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import opendp.prelude as dp
import pytest
from numpy.typing import NDArray

from psc.crypto import Rng
from psc.crypto.noise import SCALE_MAX, discrete_gaussian, discrete_laplace
from psc.errors import UsageError

SAMPLES = 200_000
Sampler = Callable[..., NDArray[np.int64]]


def laplace_pmf(scale: Fraction) -> Callable[[int], float]:
    t = math.exp(-1 / scale)
    return lambda x: (1 - t) / (1 + t) * math.exp(-abs(x) / scale)


def gaussian_pmf(variance: Fraction) -> Callable[[int], float]:
    reach = math.ceil(12 * math.sqrt(variance)) + 12
    total = math.fsum(math.exp(-x * x / (2 * variance)) for x in range(-reach, reach + 1))
    return lambda x: math.exp(-x * x / (2 * variance)) / total


def chi_squared(samples: NDArray[np.int64], pmf: Callable[[int], float]) -> float:
    """Pearson's statistic less its degrees of freedom, in standard deviations; rare values share a cell."""
    n = len(samples)
    reach = 0
    while n * pmf(reach + 1) >= 20:
        reach += 1
    expected = np.array([n * pmf(x) for x in range(-reach, reach + 1)])
    tail = (n - expected.sum()) / 2
    seen = np.bincount(np.clip(samples, -reach - 1, reach + 1) + reach + 1, minlength=2 * reach + 3).astype(float)
    cells, wanted = seen[1:-1], expected
    if tail >= 5:
        cells, wanted = seen, np.concatenate([[tail], expected, [tail]])
    freedom = len(wanted) - 1
    return float((((cells - wanted) ** 2 / wanted).sum() - freedom) / math.sqrt(2 * freedom))


def two_samples(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Chi-squared of two samples of equal size having one distribution, as above."""
    low, high = np.quantile(np.concatenate([a, b]), [0.001, 0.999]).astype(int)
    table = np.array([np.bincount(np.clip(x, low, high) - low, minlength=high - low + 1) for x in (a, b)], dtype=float)
    table = table[:, table.sum(axis=0) >= 40]
    statistic = float(((table[0] - table[1]) ** 2 / table.sum(axis=0)).sum())
    freedom = table.shape[1] - 1
    return (statistic - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("scale", [Fraction(1, 3), Fraction(1), Fraction(7, 2), Fraction(1000, 30), Fraction(123_457, 1000)])
def test_the_discrete_laplace_has_its_probabilities(scale: Fraction) -> None:
    samples = discrete_laplace(Rng.insecure_from_seed(str(scale).encode()), SAMPLES, scale.numerator, scale.denominator)
    assert samples.dtype == np.int64
    assert abs(chi_squared(samples, laplace_pmf(scale))) < 4.5
    assert chi_squared(samples, laplace_pmf(scale * Fraction(21, 20))) > 4.5  # it would notice a scale off by a twentieth


@pytest.mark.parametrize(
    "variance", [Fraction(1, 4), Fraction(1), Fraction(5, 2), Fraction(999, 7), Fraction(10_000), Fraction(123_457)]
)
def test_the_discrete_gaussian_has_its_probabilities(variance: Fraction) -> None:
    samples = discrete_gaussian(Rng.insecure_from_seed(str(variance).encode()), SAMPLES, variance.numerator, variance.denominator)
    assert abs(chi_squared(samples, gaussian_pmf(variance))) < 4.5
    assert chi_squared(samples, gaussian_pmf(variance * Fraction(11, 10))) > 4.5


def test_a_large_variance_that_is_a_square_is_exact_in_its_low_bits() -> None:
    sigma = 10**12
    samples = discrete_gaussian(Rng.insecure_from_seed(b"wide"), SAMPLES, sigma**2)
    assert abs(samples.std() / sigma - 1) < 5 / math.sqrt(2 * SAMPLES)
    assert abs(samples.mean()) < 5 * sigma / math.sqrt(SAMPLES)
    uniform = np.bincount(samples % 64, minlength=64)
    assert abs(((uniform - SAMPLES / 64) ** 2).sum() / (SAMPLES / 64) - 63) < 4.5 * math.sqrt(2 * 63)


@pytest.mark.parametrize("sampler", [discrete_laplace, discrete_gaussian])
def test_a_seed_repeats_and_parameters_are_reduced(sampler: Sampler) -> None:
    draw = [sampler(Rng.insecure_from_seed(b"seed"), 500, 3 * k, 2 * k).tolist() for k in (1, 1, 10**40)]
    assert draw[0] == draw[1] == draw[2]
    assert draw[0] != sampler(Rng.insecure_from_seed(b"other"), 500, 3, 2).tolist()
    assert sampler(Rng.system(), 0, 1, 1).tolist() == []
    assert not sampler(Rng.system(), 5, 1, 1).flags.writeable


@pytest.mark.parametrize("sampler", [discrete_laplace, discrete_gaussian])
@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (-1, 1), (1, 0), (1, -2), (2**130 + 1, 2), (3, 2**130)])
def test_parameters_are_bounded(sampler: Sampler, numerator: int, denominator: int) -> None:
    with pytest.raises(UsageError) as caught:
        sampler(Rng.system(), 1, numerator, denominator)
    assert caught.value.code == "crypto.noise-scale"


def test_the_core_refuses_what_fits_its_integers_but_not_its_proof() -> None:
    for call in (
        lambda: discrete_laplace(Rng.system(), 1, SCALE_MAX + 1),
        lambda: discrete_gaussian(Rng.system(), 1, (SCALE_MAX + 1) ** 2),
        lambda: discrete_gaussian(Rng.system(), 1, 2**48 + 1),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.code == "crypto.noise-scale"
    assert discrete_laplace(Rng.system(), 1, SCALE_MAX).shape == (1,)
    assert discrete_gaussian(Rng.system(), 1, SCALE_MAX**2).shape == (1,)


@pytest.mark.parametrize("count", [-1, 2**24 + 1])
def test_counts_are_bounded(count: int) -> None:
    for sampler in (discrete_laplace, discrete_gaussian):
        with pytest.raises(UsageError) as caught:
            sampler(Rng.system(), count, 1, 1)
        assert caught.value.code == "crypto.out-of-range"


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(5, 2), Fraction(75, 2)])
def test_laplace_agrees_with_opendp(scale: Fraction) -> None:
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64"), size=SAMPLES), dp.l1_distance(T="i64")
    theirs = np.array((space >> dp.m.then_laplace(scale=float(scale)))([0] * SAMPLES))
    ours = discrete_laplace(Rng.insecure_from_seed(b"opendp"), SAMPLES, scale.numerator, scale.denominator)
    # OpenDP takes no seed: six standard deviations fail by chance once in 10^8 runs.
    assert two_samples(ours, theirs) < 6
    wider = scale * Fraction(11, 10)
    assert two_samples(discrete_laplace(Rng.system(), SAMPLES, wider.numerator, wider.denominator), theirs) > 6


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(5, 2), Fraction(75, 2)])
def test_gaussian_agrees_with_opendp(sigma: Fraction) -> None:
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64"), size=SAMPLES), dp.l2_distance(T="f64")
    theirs = np.array((space >> dp.m.then_gaussian(scale=float(sigma)))([0] * SAMPLES))
    variance = sigma**2
    ours = discrete_gaussian(Rng.insecure_from_seed(b"opendp"), SAMPLES, variance.numerator, variance.denominator)
    assert two_samples(ours, theirs) < 6
    wider = variance * Fraction(6, 5)
    assert two_samples(discrete_gaussian(Rng.system(), SAMPLES, wider.numerator, wider.denominator), theirs) > 6
