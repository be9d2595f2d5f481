"""Epsilon of planned campaigns against reference values of dp-accounting 0.6.0, and the order between samplers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fedlite.errors import FedliteError
from fedlite.privacy.planned import Campaign, epsilon_of, noise_multiplier_for
from fedlite.privacy.relations import RELATIONS

# Computed apart from this code, straight from dp-accounting 0.6.0:
# z, population, cohort, rounds, delta -> Poisson RDP, Poisson PLD, without replacement (z / 2), none.
REFERENCE = {
    "small share": ((2.0, 10000, 100, 1000, 1e-5), (0.686185336, 0.622048525, 3.57611148, 191.549201)),
    "toy": ((1.0, 1000, 100, 100, 1e-4), (6.82162896, 5.96591504, 81.6343320, 86.3413538)),
    "internet of things": ((1.5, 500, 50, 200, 1e-3), (4.05015215, 3.52252643, 27.8894536, 72.7162219)),
    "large": ((1.0, 763430, 5000, 5000, 1e-9), (4.18329179, 3.89882600, 42.7018954, 2923.14921)),
}
# Published in the tests of TensorFlow Privacy (compute_dp_sgd_privacy_test.py): z, share, steps, delta -> RDP, PLD.
TENSORFLOW_PRIVACY = ((0.7, 1, 100, 120, 1e-5), (3.2392676, 2.4612381))
CALIBRATION = {
    # population, cohort, rounds, epsilon, delta -> z by RDP, z by PLD
    (1000, 100, 100, 8, 1e-4): (0.92335, 0.86157),
    (500, 50, 200, 4, 1e-3): (1.51206, 1.38469),
}


@pytest.mark.parametrize("row", REFERENCE.values(), ids=REFERENCE)
def test_epsilon_equals_the_reference(row):
    (z, population, cohort, rounds, delta), (rdp, pld, fixed, none) = row
    kinds = {("poisson", "rdp"): rdp, ("poisson", "pld"): pld, ("fixed", "rdp"): fixed, ("none", "rdp"): none}
    for (sampling, accountant), expected in kinds.items():
        found = epsilon_of(z, delta, Campaign(rounds, cohort, population, sampling, accountant))
        assert found.epsilon == pytest.approx(expected, rel=1e-6)


# Under other relations: sampling, cap, relation -> epsilon of z 1.5, 50 of 500 clients, 200 rounds, delta 1e-3.
UNDER = {
    ("truncated-poisson", 70, "add-remove"): 3.622899,
    ("truncated-poisson", 70, "zero-out"): 3.622899,
    ("truncated-poisson", 70, "replace-one"): 7.001489,
    ("poisson", None, "replace-one"): 6.953522,
    ("poisson", None, "zero-out"): 3.522526,
    ("none", None, "add-remove"): 72.716222,
    ("none", None, "replace-one"): 235.122343,
}


@pytest.mark.parametrize("case", UNDER, ids=str)
def test_epsilon_equals_the_reference_under_every_relation(case):
    sampling, cap, relation = case
    found = epsilon_of(1.5, 1e-3, Campaign(200, 50, 500, sampling, relation=relation, cap=cap))
    assert found.epsilon == pytest.approx(UNDER[case], rel=1e-6)
    doubled = relation == "replace-one"
    assert found.epsilon_without_amplification == pytest.approx(235.122343 if doubled else 72.716222, rel=1e-6)


def test_a_fixed_cohort_whose_clients_are_zeroed_out_has_the_bound_for_noise_relative_to_the_norm():
    found = epsilon_of(1.0, 1e-4, Campaign(100, 100, 1000, "fixed", relation="zero-out"))
    assert found.epsilon == pytest.approx(12.9024577, rel=1e-6)
    assert found.epsilon_without_amplification == pytest.approx(86.3413538, rel=1e-6)


def test_a_cap_that_is_met_often_costs_more():
    found = epsilon_of(1.0, 1e-4, Campaign(100, 100, 1000, "truncated-poisson", cap=130))
    assert found.epsilon == pytest.approx(6.322962, rel=1e-6)
    assert found.epsilon > REFERENCE["toy"][1][1]


def test_delta_above_one_over_the_population_is_warned_of():
    for delta, warned in ((1e-2, True), (1e-3, True), (9e-4, False)):
        assert bool(epsilon_of(1.0, delta, Campaign(10, 5, 1000, "poisson", "rdp")).warnings) is warned


def test_epsilon_equals_the_values_that_tensorflow_privacy_pins():
    (z, cohort, population, rounds, delta), (rdp, pld) = TENSORFLOW_PRIVACY
    for accountant, expected in (("rdp", rdp), ("pld", pld)):
        found = epsilon_of(z, delta, Campaign(rounds, cohort, population, "poisson", accountant))
        assert found.epsilon == pytest.approx(expected, abs=1e-6)


def test_full_participation_is_the_exact_gaussian_bound_whatever_the_sampler_is_called():
    exact = 6.45242926
    for sampling in ("none", "poisson"):
        assert epsilon_of(4.0, 1e-3, Campaign(50, 100, 100, sampling)).epsilon == pytest.approx(exact, rel=1e-6)
    assert epsilon_of(1.0, 1e-5, Campaign(1)).epsilon == pytest.approx(4.37717810, rel=1e-6)


def test_fixed_cohorts_take_the_exact_replace_bound_where_it_is_the_smaller():
    found = epsilon_of(0.3, 1 / 342477, Campaign(1500, 100, 342477, "fixed"))
    assert found.epsilon == found.epsilon_without_amplification == pytest.approx(34502.527170, rel=1e-6)
    assert found.accountant == "exact Gaussian composition"


def test_a_fixed_cohort_with_noise_z_is_worth_one_with_noise_relative_to_the_doubled_sensitivity():
    # z = 2 with sensitivity 2 C is the same mechanism as z = 1 with sensitivity C: the reference has both.
    assert epsilon_of(2.0, 1e-5, Campaign(1000, 100, 10000, "fixed")).epsilon == pytest.approx(3.57611148, rel=1e-6)


@pytest.mark.parametrize("sampling", ["none", "poisson", "fixed"])
def test_epsilon_falls_with_noise_and_delta_and_rises_with_rounds(sampling):
    def spent(z=1.5, delta=1e-4, rounds=50):
        return epsilon_of(z, delta, Campaign(rounds, 20, 400, sampling, "rdp")).epsilon

    assert spent(z=2.0) < spent() < spent(z=1.0)
    assert spent(delta=1e-3) < spent() < spent(delta=1e-6)
    assert spent(rounds=25) < spent() < spent(rounds=100)


@pytest.mark.parametrize("row", CALIBRATION.items(), ids=str)
def test_noise_for_a_target_equals_the_reference_and_spends_the_target(row):
    (population, cohort, rounds, epsilon, delta), (rdp, pld) = row
    for accountant, expected in (("rdp", rdp), ("pld", pld)):
        campaign = Campaign(rounds, cohort, population, "poisson", accountant)
        noise = noise_multiplier_for(epsilon, delta, campaign)
        assert noise == pytest.approx(expected, abs=1e-5)
        assert epsilon_of(noise, delta, campaign).epsilon == pytest.approx(epsilon, rel=1e-3)


@pytest.mark.parametrize(
    ("sampling", "relation", "cap"),
    [
        ("none", None, None),
        ("none", "replace-one", None),
        ("fixed", None, None),
        ("poisson", "replace-one", None),
        ("truncated-poisson", None, 15),
    ],
)
def test_noise_and_epsilon_are_inverse_to_each_other(sampling, relation, cap):
    campaign = Campaign(20, 10, 1000, sampling, relation=relation, cap=cap)
    assert epsilon_of(noise_multiplier_for(3.0, 1e-5, campaign), 1e-5, campaign).epsilon == pytest.approx(3.0, rel=2e-3)


def test_every_statement_names_its_relation_and_its_sampler():
    for sampling, relation, sampler in (
        ("none", "zero-out", "No amplification by sampling is claimed"),
        ("poisson", "add-remove", "independently with the same probability"),
        ("fixed", "replace-one", "without replacement"),
    ):
        found = epsilon_of(1.0, 1e-3, Campaign(10, 5, 100, sampling, "rdp"))
        assert found.relation == relation
        assert RELATIONS[relation].says in " ".join(found.assumptions)
        assert sampler in " ".join(found.assumptions)
        assert "seeded" in " ".join(found.assumptions)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: epsilon_of(0.0, 1e-5, Campaign(1)), "noise-multiplier: got 0.0"),
        (lambda: epsilon_of(1.0, 1.0, Campaign(1)), "delta: got 1.0"),
        (lambda: noise_multiplier_for(float("inf"), 1e-5, Campaign(1)), "epsilon: got inf"),
        (lambda: Campaign(0), "rounds: got 0"),
        (lambda: Campaign(1, 5, 4, "poisson"), "cohort: got 5 of a population of 4"),
        (lambda: Campaign(1, 1, 4, "shuffle"), "expected one of fixed, none, poisson, truncated-poisson"),
        (lambda: Campaign(1, 1, 4, "poisson", relation="bounded"), "expected one of add-remove, replace-one, zero-out"),
        (lambda: Campaign(1, 1, 4, "fixed", relation="add-remove"), "relation: got 'add-remove'.*displaces another"),
        (lambda: Campaign(1, 1, 4, "poisson", "rdp", "replace-one"), "accountant: got 'rdp'.*expected pld"),
        (lambda: Campaign(1, 1, 4, "truncated-poisson", "rdp", cap=2), "accountant: got 'rdp'.*expected pld"),
        (lambda: Campaign(1, 1, 4, "truncated-poisson"), "cap: got nothing.*write for example 2"),
        (lambda: Campaign(1, 1, 4, "poisson", cap=2), "cap: got 2 with sampling 'poisson', expected none"),
        (lambda: Campaign(1, 3, 4, "truncated-poisson", cap=2), "cap: got 2, expected from the expected cohort, 3"),
        (lambda: Campaign(1, 3, 4, "truncated-poisson", cap=5), "to the population, 4"),
        (lambda: Campaign(1, 1, 4, "poisson", "moments"), "expected one of pld, rdp"),
    ],
)
def test_impossible_plans_are_refused(act, message):
    with pytest.raises(FedliteError, match=message):
        act()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "fedlite.cli.main", "privacy", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_the_command_says_epsilon_and_what_it_rests_on_without_noise_on_stderr():
    plan = ["--noise-multiplier", "1", "--rounds", "100", "--delta", "1e-4"]
    sampled = [*plan, "--cohort", "100", "--population", "1000", "--sampling", "poisson", "--accountant", "rdp"]
    done = command("epsilon", *sampled, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["epsilon"] == pytest.approx(6.82162896, rel=1e-6)
    assert found["epsilon_without_amplification"] == pytest.approx(86.3413538, rel=1e-6)
    assert len(found["assumptions"]) == 6


def test_the_command_refuses_amplification_without_a_population():
    done = command("calibrate", "--epsilon", "8", "--rounds", "10", "--delta", "1e-5", "--sampling", "poisson")
    assert done.returncode == 2
    assert "--cohort: got nothing with --sampling poisson" in done.stderr


@pytest.mark.parametrize("noise", [0.0, 1e-300, 1e-7, float("inf"), float("nan")])
def test_noise_that_no_accountant_can_weigh_is_refused(noise):
    with pytest.raises(FedliteError, match="noise-multiplier"):
        epsilon_of(noise, 1e-5, Campaign(rounds=10))
