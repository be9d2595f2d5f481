import math
from statistics import NormalDist

import pytest

from fedlite.privacy import accounting
from fedlite.privacy.accounting import Mean

# Exact epsilons of composed Gaussian mechanisms without amplification (dp-accounting 0.6.0, closed form):
# noise multiplier, rounds, delta, epsilon.
PINNED = [(4.0, 50, 1e-3, 6.45242926), (1.0, 100, 1e-4, 86.3413538), (1.0, 1, 1e-5, 4.37717810)]


def full(count, rounds, most_shares=1):
    return [Mean(count, most_shares)] * rounds


def closed_form(epsilon, sigma):
    """Return delta of a Gaussian mechanism of sensitivity 1 (Balle and Wang 2018, theorem 8)."""
    upper, lower = (NormalDist().cdf(sign / (2 * sigma) - epsilon * sigma) for sign in (1, -1))
    return upper - math.exp(epsilon) * lower


@pytest.mark.parametrize(("z", "rounds", "delta", "epsilon"), PINNED)
def test_full_rounds_spend_the_closed_form(z, rounds, delta, epsilon):
    assert accounting.spent(z, 100, full(100, rounds), delta).epsilon == pytest.approx(epsilon, rel=1e-6)


def test_fewer_replies_are_less_private_and_empty_rounds_are_free():
    whole = accounting.spent(1.0, 20, full(20, 2), 1e-4).epsilon
    assert accounting.spent(1.0, 20, [Mean(20), Mean(10)], 1e-4).epsilon > whole
    assert accounting.spent(1.0, 20, [Mean(20), Mean(0, 0), Mean(20)], 1e-4).epsilon == whole
    # Half of the replies in one round is that round at half the noise.
    halved = accounting.spent(0.5, 20, full(20, 1), 1e-4).epsilon
    assert accounting.spent(1.0, 20, full(10, 1), 1e-4).epsilon == pytest.approx(halved, rel=1e-12)


def test_no_noise_is_no_privacy_and_nothing_released_is_nothing_spent():
    assert math.isinf(accounting.spent(0.0, 20, full(20, 1), 1e-4).epsilon)
    assert accounting.spent(1.0, 20, full(0, 2), 1e-4).epsilon == 0.0


def test_local_noise_is_the_analytic_gaussian_for_two_norms():
    # Analytic sigma for epsilon 1, delta 1e-5 and sensitivity 1 is 3.730632.
    assert accounting.local_noise_std(1.0, 1e-5, 0.5) == pytest.approx(3.730632, rel=1e-5)
    assert accounting.spent_locally(1.0, 1e-5, 1).epsilon == pytest.approx(1.0, rel=1e-4)
    assert accounting.spent_locally(1.0, 1e-5, 4).epsilon > 1.9


@pytest.mark.parametrize("noise", [0.0, 1e-300, 1e-150, 1e-7])
def test_noise_too_small_to_count_is_said_to_be_none(noise):
    found = accounting.spent(noise, 5, full(5, 10), 1e-5)
    assert found.epsilon == float("inf")
    assert found.statement == "No noise was added: there is no differential privacy."


@pytest.mark.parametrize(("shares", "epsilon"), [(1, 2.6292036), (3, 10.7499777)])
def test_an_owner_with_several_replies_in_a_round_spends_the_closed_form_of_the_smaller_noise(shares, epsilon):
    found = accounting.spent(2.0, 60, full(60, 3, shares), 1e-3)
    assert found.epsilon == pytest.approx(epsilon, abs=1e-6)
    # Three rounds of noise 2 against an owner who moves the sum by so many norms.
    assert closed_form(found.epsilon, 2.0 / shares / math.sqrt(3)) == pytest.approx(1e-3, rel=1e-6)
    assert ("on one device a round," if shares == 1 else f"on up to {shares} devices a round,") in found.statement


def test_rounds_with_different_shares_compose_as_gaussians():
    mixed = [Mean(10, 1), Mean(10, 2), Mean(5, 1)]
    sigma = (1 / 2.0**2 + 1 / 1.0**2 + 1 / 1.0**2) ** -0.5
    assert closed_form(accounting.spent(2.0, 10, mixed, 1e-3).epsilon, sigma) == pytest.approx(1e-3, rel=1e-6)
