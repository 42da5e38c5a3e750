"""Noise has the scale that the budget buys, and dummies give the stated differential privacy."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.crypto import Items, KeyCells, Rng
from psc.errors import UsageError
from psc.policy.release import (
    DUMMIES_MAX,
    DUMMY_TAG,
    draw_common,
    draw_noise,
    dummies,
    estimate,
    matcher_dummies,
    noise_scale,
    noise_tail,
    owner_dummies,
)
from psc.protocols import dh_psi_count
from psc.session.drive import run_pair
from psc.types import KeyKind, Noise
from tests.protocol_cases import CONTEXT, sets


def laplace(budget_thousandths: int) -> Noise:
    return Noise(mechanism="laplace", budget_thousandths=budget_thousandths)


def gaussian(budget_thousandths: int) -> Noise:
    return Noise(mechanism="gaussian", budget_thousandths=budget_thousandths)


def test_the_scale_is_what_the_budget_buys() -> None:
    assert noise_scale(laplace(1000), 1, 1) == 1
    assert noise_scale(laplace(500), 3, 100) == 600  # each of 3 numbers has epsilon 1/6, and 100 / (1/6) is 600
    assert noise_scale(gaussian(500), 1, 1) == 1  # rho = 1/2 is 1 / (2·1)
    assert noise_scale(gaussian(250), 2, 10) == 400  # each has rho 1/8, and 100 / (2/8) is 400
    assert noise_scale(laplace(7), 4, 0) == noise_scale(gaussian(7), 4, 0) == 0


@given(st.integers(1, 1_000_000), st.integers(1, 500), st.integers(1, 1 << 50))
def test_a_variance_is_never_rounded_down_and_always_taken(budget: int, numbers: int, bound: int) -> None:
    exact = Fraction(bound * bound * numbers * 500, budget)
    if exact > 1 << 109:
        return
    taken = noise_scale(gaussian(budget), numbers, bound)
    assert exact <= taken <= (math.isqrt(math.ceil(exact)) + 1) ** 2
    draw_noise(Rng.system(), gaussian(budget), numbers, 1, [bound])  # the sampler takes it


@pytest.mark.parametrize("noise", [laplace(1), gaussian(1)])
def test_noise_that_would_drown_everything_is_refused(noise: Noise) -> None:
    for call in (noise_scale, noise_tail):
        with pytest.raises(UsageError) as caught:
            call(noise, 10, 1 << 60)
        assert caught.value.code == "crypto.noise-scale"


@pytest.mark.parametrize("noise", [laplace(1000), laplace(30), gaussian(1000), gaussian(2)])
def test_drawn_noise_has_its_spread_in_each_statistic_and_its_tail(noise: Noise) -> None:
    bounds = [1, 0, 1000]
    drawn = draw_noise(Rng.insecure_from_seed(str(noise).encode()), noise, 2, 20_000, bounds)
    assert drawn.shape == (20_000, 3)
    assert not drawn[:, 1].any()
    for column, bound in ((0, 1), (2, 1000)):
        parameter = float(noise_scale(noise, 2, bound))
        t = math.exp(-1 / parameter)
        variance = 2 * t / (1 - t) ** 2 if noise.mechanism == "laplace" else parameter
        assert abs(drawn[:, column].var() / variance - 1) < 0.1
        assert np.abs(drawn[:, column]).max() <= noise_tail(noise, 2, bound)
    assert noise_tail(noise, 2, 0) <= 1
    assert draw_noise(Rng.system(), noise, 1, 5, []).shape == (5, 0)


def common_pmf(noise: Noise, numbers: int) -> tuple[np.ndarray, float]:
    """Exact probabilities of d = 0..D, and the mass that truncation moved."""
    reach = dummies(noise, numbers, 1) // 2
    parameter = noise_scale(noise, numbers, 1)
    x = np.arange(-20 * reach - 50, 20 * reach + 51)
    exponent = np.abs(x) / float(parameter) if noise.mechanism == "laplace" else x**2 / (2 * float(parameter))
    weights = np.exp(-exponent)
    inside = np.abs(x) <= reach
    kept = math.fsum(weights[inside])
    return weights[inside] / kept, math.fsum(weights[~inside]) / math.fsum(weights)


@pytest.mark.parametrize(("budget", "numbers"), [(1000, 1), (100, 1), (1000, 7), (5000, 2), (20_000, 1)])
def test_dummies_with_laplace_noise_are_differentially_private(budget: int, numbers: int) -> None:
    pmf, _ = common_pmf(laplace(budget), numbers)
    epsilon = budget / 1000 / numbers
    with_one, without = np.append(0, pmf), np.append(pmf, 0)  # observed counts when the customer is there, and when not
    delta = np.clip(with_one - math.exp(epsilon) * (1 + 1e-12) * without, 0, None).sum()
    assert delta <= 2.0**-40
    assert np.clip(without - math.exp(epsilon) * (1 + 1e-12) * with_one, 0, None).sum() <= 2.0**-40
    # The budget is used: with nine tenths of it the same numbers would not be private.
    assert np.clip(with_one - math.exp(0.9 * epsilon) * without, 0, None).sum() > 2.0**-40


@pytest.mark.parametrize(("budget", "numbers"), [(500, 1), (10, 1), (1000, 5), (8000, 1)])
def test_dummies_with_gaussian_noise_are_close_to_the_untruncated_noise(budget: int, numbers: int) -> None:
    _, moved = common_pmf(gaussian(budget), numbers)
    assert moved <= 2.0**-41  # the statistical distance of the truncated from the whole distribution
    assert noise_scale(gaussian(budget), numbers, 1) == Fraction(numbers * 500, budget)


@pytest.mark.parametrize(("noise", "numbers"), [(laplace(1000), 1), (laplace(400), 2), (gaussian(500), 1), (gaussian(40), 3)])
def test_the_secret_number_of_common_dummies_has_its_distribution(noise: Noise, numbers: int) -> None:
    each = dummies(noise, numbers, 4)
    drawn = np.concatenate(
        [draw_common(Rng.insecure_from_seed(b"%d" % i), noise, numbers, DUMMIES_MAX // each) for i in range(20)]
    )
    assert each % 2 == 0
    assert drawn.min() >= 0
    assert drawn.max() <= each
    pmf, _ = common_pmf(noise, numbers)
    expected = pmf * len(drawn)
    likely = expected >= 20
    statistic = ((np.bincount(drawn, minlength=each + 1) - expected)[likely] ** 2 / expected[likely]).sum()
    freedom = likely.sum() - 1
    assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)


def test_estimates_have_no_bias() -> None:
    noise = laplace(500)
    each = dummies(noise, 1, 200)
    held = np.concatenate([draw_common(Rng.insecure_from_seed(b"bias %d" % i), noise, 1, 200) for i in range(50)])
    error = estimate(1234 + held, each) - 1234
    assert abs(error.mean()) < 5 * error.std() / math.sqrt(len(error))
    assert estimate(np.array([0]), each)[0] < 0  # not cut off at zero: that would be a bias


def test_too_many_dummies_are_refused_with_what_to_do() -> None:
    each = dummies(laplace(1000), 1, 1)
    assert dummies(laplace(1000), 1, DUMMIES_MAX // each) == each
    with pytest.raises(UsageError) as caught:
        dummies(laplace(1000), 1, DUMMIES_MAX // each + 1)
    assert caught.value.code == "policy.too-many-dummies"
    assert "budget" in str(caught.value) or "预算" in str(caught.value)
    assert dummies(laplace(1), 1, 1) < DUMMIES_MAX  # the smallest budget still works for one cell
    for call in (dummies, lambda *case: draw_common(Rng.system(), *case)):
        with pytest.raises(UsageError):
            call(gaussian(1), 50, 1000)


def test_no_dummy_is_a_key() -> None:
    assert DUMMY_TAG.decode() not in get_args(KeyKind)
    dummy = matcher_dummies(3, 2, 4).get(5)
    cell = dummy[-12:]
    offsets = np.array([0, len(cell)], dtype=np.int64)
    for kind in get_args(KeyKind):
        assert Items.encode([KeyCells(kind.encode(), offsets, cell)]).get(0) != dummy
    assert Items.encode([KeyCells(DUMMY_TAG, offsets, cell)]).get(0) == dummy
    assert len(dummy) != 32  # nor one of the random elements that pad


def test_every_cell_has_its_own_dummies_and_the_owner_holds_d_of_them() -> None:
    each, shape = 10, (3, 4)
    common = np.arange(12).reshape(shape) % (each + 1)
    blocks = [matcher_dummies(i, shape[1], each) for i in range(shape[0])]
    theirs = [{block.get(at) for at in range(len(block))} for block in blocks]
    assert all(len(block) == shape[1] * each for block in theirs)
    assert len(set().union(*theirs)) == shape[0] * shape[1] * each
    for j in range(shape[1]):
        items = owner_dummies(Rng.system(), j, common[:, j], each)
        held = {items.get(at) for at in range(len(items))}
        assert len(held) == len(items) == common[:, j].sum()
        assert [len(held & theirs[i]) for i in range(shape[0])] == common[:, j].tolist()
    one = [owner_dummies(Rng.system(), 0, np.array([5]), 1000).get(0) for _ in range(3)]
    assert len(set(one)) > 1  # which ones is a fresh choice
    assert len(owner_dummies(Rng.system(), 0, np.zeros(3, dtype=np.int64), each)) == 0


def test_a_count_with_dummies_shows_the_receiver_the_noisy_number_only() -> None:
    noise = laplace(2000)
    each = dummies(noise, 1, 1)
    receiver, sender = sets(30, 80, 21)
    held = draw_common(Rng.insecure_from_seed(b"count"), noise, 1, 1)
    own = Items.concat([Items.from_list(receiver), matcher_dummies(0, 1, each)])
    theirs = Items.concat([Items.from_list(sender), owner_dummies(Rng.system(), 0, held, each)])
    params = dh_psi_count.Params(CONTEXT, len(own), 80 + each)
    got, _ = run_pair(dh_psi_count.receiver(own, params, Rng.system()), dh_psi_count.sender(theirs, params, Rng.system()))
    assert got.common == 21 + held[0]
    assert estimate(np.array([got.common]), each)[0] == 21 + held[0] - each // 2
