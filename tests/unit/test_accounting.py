import math

import pytest

from fedlite.errors import FedliteError
from fedlite.privacy import accounting

# Exact epsilons of composed Gaussian mechanisms without amplification (dp-accounting 0.6.0, closed form):
# noise multiplier, rounds, delta, epsilon.
PINNED = [(4.0, 50, 1e-3, 6.45242926), (1.0, 100, 1e-4, 86.3413538), (1.0, 1, 1e-5, 4.37717810)]


@pytest.mark.parametrize(("z", "rounds", "delta", "epsilon"), PINNED)
def test_full_rounds_spend_the_closed_form(z, rounds, delta, epsilon):
    assert accounting.spent(z, 100, [100] * rounds, delta).epsilon == pytest.approx(epsilon, rel=1e-6)


def test_fewer_replies_are_less_private_and_empty_rounds_are_free():
    full = accounting.spent(1.0, 20, [20, 20], 1e-4).epsilon
    assert accounting.spent(1.0, 20, [20, 10], 1e-4).epsilon > full
    assert accounting.spent(1.0, 20, [20, 0, 20], 1e-4).epsilon == full
    # Half of the replies in one round is that round at half the noise.
    halved = accounting.spent(0.5, 20, [20], 1e-4).epsilon
    assert accounting.spent(1.0, 20, [10], 1e-4).epsilon == pytest.approx(halved, rel=1e-12)


def test_no_noise_is_no_privacy_and_nothing_released_is_nothing_spent():
    assert math.isinf(accounting.spent(0.0, 20, [20], 1e-4).epsilon)
    assert accounting.spent(1.0, 20, [0, 0], 1e-4).epsilon == 0.0


@pytest.mark.parametrize(("epsilon", "delta", "rounds"), [(2.0, 1e-5, 1), (8.0, 1e-4, 100), (0.5, 1e-3, 30)])
def test_calibrated_noise_spends_its_target(epsilon, delta, rounds):
    z = accounting.noise_for(epsilon, delta, rounds)
    assert accounting.spent(z, 10, [10] * rounds, delta).epsilon == pytest.approx(epsilon, rel=1e-3)


def test_an_impossible_target_is_refused():
    with pytest.raises(FedliteError, match="expected epsilon > 0"):
        accounting.noise_for(0.0, 1e-5, 10)


def test_local_noise_is_the_analytic_gaussian_for_two_norms():
    # Analytic sigma for epsilon 1, delta 1e-5 and sensitivity 1 is 3.730632.
    assert accounting.local_noise_std(1.0, 1e-5, 0.5) == pytest.approx(3.730632, rel=1e-5)
    assert accounting.spent_locally(1.0, 1e-5, 1).epsilon == pytest.approx(1.0, rel=1e-4)
    assert accounting.spent_locally(1.0, 1e-5, 4).epsilon > 1.9


@pytest.mark.parametrize("noise", [0.0, 1e-300, 1e-150, 1e-7])
def test_noise_too_small_to_count_is_said_to_be_none(noise):
    found = accounting.spent(noise, 5, [5] * 10, 1e-5)
    assert found.epsilon == float("inf")
    assert found.statement == "No noise was added: there is no differential privacy."
