"""The edges of what is said about privacy: what just passes, what just does not, and the sentences to the word."""

from __future__ import annotations

import logging
import math

import pytest
from dp_accounting import gaussian_mechanism

from fedlite.errors import FedliteError
from fedlite.privacy import accounting
from fedlite.privacy.accounting import LEAST_NOISE, Mean
from fedlite.privacy.planned import MOST_NOISE, Campaign, epsilon_of, noise_multiplier_for


def test_the_statement_of_what_was_spent_names_the_fewest_and_the_most_replies():
    found = accounting.spent(2.0, 20, [Mean(10), Mean(20), Mean(15)], 1e-4)
    assert found.delta == 1e-4
    assert f"({found.epsilon:.3g}, 0.0001)-differential privacy of one owner's whole data" in found.statement
    assert "took part in all 3 released rounds" in found.statement
    assert "planned for 20 clients a round; 10 to 20 replied" in found.statement


def test_the_least_noise_that_counts_counts():
    assert math.isfinite(accounting.spent(LEAST_NOISE, 1, [Mean(1)], 1e-5).epsilon)
    assert math.isinf(accounting.spent(LEAST_NOISE, 2, [Mean(1)], 1e-5).epsilon)
    assert math.isfinite(epsilon_of(LEAST_NOISE, 1e-5, Campaign(1)).epsilon)
    with pytest.raises(FedliteError, match="expected 1e-06 to 1e\\+06; beyond lies no guarantee or no use"):
        epsilon_of(LEAST_NOISE / 2, 1e-5, Campaign(1))


def test_the_most_noise_that_is_of_use():
    assert epsilon_of(MOST_NOISE, 1e-5, Campaign(1)).epsilon < 1e-3
    with pytest.raises(FedliteError, match=r"noise-multiplier: got 1000001\.0"):
        epsilon_of(MOST_NOISE + 1, 1e-5, Campaign(1))


def test_the_least_noise_of_one_release_is_the_analytic_one():
    sigma = gaussian_mechanism.get_sigma_gaussian(1.0, 0.5)
    assert noise_multiplier_for(1.0, 0.5, Campaign(1)) == pytest.approx(sigma, rel=1e-12)
    assert noise_multiplier_for(1.0, 0.5, Campaign(4)) == pytest.approx(2 * sigma, rel=1e-12)


def test_local_releases_compose_and_are_counted_in_words():
    nothing = accounting.spent_locally(1.0, 1e-5, 0)
    assert (nothing.epsilon, nothing.delta, nothing.statement) == (0.0, 1e-5, "Nothing was released.")
    assert "sent most often, once; each single update is (1, 1e-05)-private" in (
        accounting.spent_locally(1.0, 1e-5, 1).statement
    )
    four = accounting.spent_locally(1.0, 1e-5, 4)
    assert "sent most often, 4 times; each" in four.statement
    sigma = gaussian_mechanism.get_sigma_gaussian(1.0, 1e-5)
    assert four.epsilon == pytest.approx(gaussian_mechanism.get_epsilon_gaussian(sigma / 2, 1e-5), rel=1e-12)


def test_a_campaign_is_one_client_of_one_unless_it_says_more():
    campaign = Campaign(7)
    assert (campaign.cohort, campaign.population, campaign.sampling, campaign.accountant) == (1, 1, "none", None)
    assert not campaign.samples
    assert "All 7 models are released" in epsilon_of(1.0, 1e-3, campaign).assumptions[3]


@pytest.mark.parametrize("sampling", ["poisson", "fixed"])
def test_a_cohort_is_one_up_to_the_population(sampling):
    assert Campaign(1, 1, 4, sampling).samples
    assert Campaign(1, 3, 4, sampling).samples
    assert not Campaign(1, 4, 4, sampling).samples
    assert not Campaign(1, 3, 4, "none").samples
    for cohort in (0, 5):
        with pytest.raises(FedliteError, match=f"cohort: got {cohort} of a population of 4, expected 1 up to"):
            Campaign(1, cohort, 4, sampling)


@pytest.mark.parametrize(
    ("sampling", "accountant", "name"),
    [
        ("poisson", "pld", "PLD"),
        ("poisson", "rdp", "RDP"),
        ("fixed", "pld", "RDP"),
        ("none", "rdp", "exact Gaussian composition"),
    ],
)
def test_a_guarantee_names_its_accountant_and_what_it_would_be_without_the_sampler(sampling, accountant, name):
    found = epsilon_of(2.0, 1e-3, Campaign(4, 5, 100, sampling, accountant))
    assert (found.accountant, found.noise_multiplier, found.delta) == (name, 2.0, 1e-3)
    combined = 0.5 if sampling == "fixed" else 1.0
    plain = gaussian_mechanism.get_epsilon_gaussian(combined, 1e-3)
    assert found.epsilon_without_amplification == pytest.approx(plain, rel=1e-12)
    assert (found.epsilon == found.epsilon_without_amplification) == (sampling == "none")


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1])
def test_delta_lies_between_its_bounds_everywhere(delta):
    for act in (lambda: epsilon_of(1.0, delta, Campaign(1)), lambda: noise_multiplier_for(1.0, delta, Campaign(1))):
        with pytest.raises(FedliteError, match=f"delta: got {delta}, expected between 0 and 1"):
            act()


def test_a_target_of_no_epsilon_is_refused():
    with pytest.raises(FedliteError, match=r"epsilon: got 0\.0, expected above 0 and finite"):
        noise_multiplier_for(0.0, 1e-5, Campaign(1))


@pytest.mark.parametrize(("sampling", "norms"), [("none", 1), ("poisson", 1), ("fixed", 2)])
def test_where_the_search_finds_nothing_the_exact_noise_is_taken(sampling, norms):
    """At epsilon 1000 half of the clients gain nothing from being drawn, so the answer is where the search ends."""
    exact = norms * 2 * gaussian_mechanism.get_sigma_gaussian(1000.0, 1e-5)
    assert noise_multiplier_for(1000.0, 1e-5, Campaign(4, 1, 2, sampling, "rdp")) == pytest.approx(exact, rel=1e-12)


def test_the_accountant_s_remarks_are_back_afterwards(monkeypatch):
    logger = logging.getLogger("absl")
    monkeypatch.setattr(logger, "level", logging.INFO)
    epsilon_of(1.0, 1e-3, Campaign(2, 5, 100, "poisson", "rdp"))
    assert logger.level == logging.INFO
