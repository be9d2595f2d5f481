"""Lower bounds on epsilon: published values, and that they stay below what a mechanism promises unless it is broken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting import gaussian_mechanism

from fedlite.attacks.audit import Rates, clopper_pearson, epsilon_of_mu, gaussian, guessed, one_run
from fedlite.rng import stream


@pytest.mark.parametrize(
    ("rates", "epsilon"),
    [
        (Rates(100, 100, 0, 100), 3.281336),
        (Rates(500, 500, 0, 500), 4.905584),
        (Rates(1000, 1000, 0, 1000), 5.600577),
        (Rates(800, 1000, 100, 1000), 1.861465),
        (Rates(50, 1000, 1, 1000), 1.904269),
        (Rates(500, 1000, 500, 1000), 0.0),
    ],
)
def test_clopper_pearson_gives_reference_values(rates: Rates, epsilon: float) -> None:
    assert clopper_pearson(rates, 1e-5) == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize(
    ("guesses", "right", "epsilon"),
    [(100, 100, 3.492965), (100, 90, 1.630823), (1000, 600, 0.297468), (1000, 1000, 5.809068), (1000, 500, 0.0)],
)
def test_one_run_gives_reference_values(guesses: int, right: int, epsilon: float) -> None:
    assert one_run(1000, guesses, right) == pytest.approx(epsilon, abs=1e-6)


def test_delta_lowers_the_bound_of_one_run_as_its_theorem_says() -> None:
    without, some = one_run(1000, 100, 100), one_run(1000, 100, 100, delta=1e-5)
    assert some < without
    # Of one guess that is right the theorem reads rate + 2 m delta (1 - rate) = alpha; no epsilon above 0 meets it.
    assert one_run(10, 1, 1, delta=1e-3) == 0.0
    # All of r right: p = q^r + 2 m delta max_i sum_{j<=i} pmf(r - j) / i, summed here without help.
    q = 1 / (1 + math.exp(-some))
    pmf = [math.comb(100, k) * q**k * (1 - q) ** (100 - k) for k in range(101)]
    worst = max(sum(pmf[100 - j] for j in range(1, i + 1)) / i for i in range(1, 101))
    assert q**100 + 2 * 1000 * 1e-5 * worst == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(("mu", "delta"), [(0.5, 1e-5), (1.0, 1e-3), (4.0, 1e-6)])
def test_epsilon_of_mu_is_that_of_the_exact_accountant(mu: float, delta: float) -> None:
    assert epsilon_of_mu(mu, delta) == pytest.approx(gaussian_mechanism.get_epsilon_gaussian(1 / mu, delta), rel=1e-6)


def test_epsilon_of_no_signal_is_nothing() -> None:
    assert epsilon_of_mu(0.0, 1e-5) == 0.0
    assert epsilon_of_mu(1e-9, 1e-5) == 0.0


def test_rates_count_and_rates_at_the_edge_bound_nothing() -> None:
    scores, included = np.array([0.9, 0.1, 0.8, 0.2]), np.array([True, True, False, False])
    assert Rates.at(scores, included, 0.5) == Rates(1, 2, 1, 2)
    assert gaussian(Rates(0, 5, 0, 5)) == 0.0
    assert gaussian(Rates(5, 5, 5, 5)) == 0.0
    assert clopper_pearson(Rates(0, 5, 0, 5), 1e-5) == 0.0


def test_guesses_are_the_extremes_of_the_scores() -> None:
    scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    included = np.array([False, True, True, False, True, True])
    assert guessed(scores, included, 2) == 2
    assert guessed(scores, included, 4) == 3
    assert guessed(scores, included, 6) == 3


def _gaussian_canaries(noise: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    included = stream(seed, "coins").random(count) < 0.5
    return included + stream(seed, "noise").normal(0, noise, count), included


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_stay_below_what_a_gaussian_mechanism_promises(noise: float, seed: int) -> None:
    scores, included = _gaussian_canaries(noise, 2000, seed)
    promised = gaussian_mechanism.get_epsilon_gaussian(noise, 1e-5)
    rates = Rates.at(scores, included, 0.5)
    assert 0.0 < epsilon_of_mu(gaussian(rates), 1e-5) <= promised
    assert clopper_pearson(rates, 1e-5) <= promised
    assert one_run(2000, 500, guessed(scores, included, 500), 1e-5) <= promised


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_half_the_noise_is_caught(noise: float) -> None:
    scores, included = _gaussian_canaries(noise / 2, 1000, 1)
    promised = gaussian_mechanism.get_epsilon_gaussian(noise, 1e-5)
    assert epsilon_of_mu(gaussian(Rates.at(scores, included, 0.5)), 1e-5) > promised


def test_half_the_noise_is_caught_without_knowing_that_it_is_gaussian() -> None:
    """At a large delta even rates alone are enough: 1.5 is promised nowhere near its own delta."""
    scores, included = _gaussian_canaries(0.5, 20_000, 2)
    promised = gaussian_mechanism.get_epsilon_gaussian(1.0, 0.1)
    assert clopper_pearson(Rates.at(scores, included, 1.0), 0.1) > promised
    assert one_run(20_000, 8_000, guessed(scores, included, 8_000)) > gaussian_mechanism.get_epsilon_gaussian(1.0, 0.1)
