"""What releases have cost: under the terms they were planned for, or without amplification if those did not hold."""

from __future__ import annotations

import math

import pytest

from fedlite.privacy.planned import Campaign, epsilon_of
from fedlite.privacy.releases import Release, Terms, noise_for, record, releases_within, spent

TERMS = Terms(noise_multiplier=1.0, delta=1e-4, cohort=100, population=1000)
KEYS = {
    "guarantee", "unit", "relation", "epsilon", "epsilon_without_amplification", "delta", "noise_multiplier",
    "accountant", "sampling", "amplification", "why_no_amplification", "population", "cohort_planned", "cap",
    "releases",
    "cohort_realised", "cohort_drawn", "clipping_norms", "assumptions", "warnings", "statement",
}  # fmt: skip


def releases(count, *, drawn=100, replied=100):
    return [Release(round_, 1.0, 0.5, drawn, replied) for round_ in range(1, count + 1)]


def terms(**changes):
    return Terms(**{**vars(TERMS), **changes})


def test_without_a_sampler_it_is_the_exact_gaussian_bound_whoever_replied():
    found = spent(TERMS, releases(100, replied=7), 1e-4)
    assert found.epsilon == found.epsilon_without_amplification == pytest.approx(86.3413538, rel=1e-6)


def test_a_sampler_amplifies_if_everybody_whom_it_drew_took_part():
    sampled = terms(sampling="poisson")
    whole, broken = spent(sampled, releases(100), 1e-4), spent(sampled, [*releases(99), *releases(1, replied=99)], 1e-4)
    assert whole.epsilon == pytest.approx(5.96591504, rel=1e-6)
    assert whole.epsilon_without_amplification == broken.epsilon == pytest.approx(86.3413538, rel=1e-6)
    told = record(sampled, releases(3, replied=99))
    assert not told["amplification"]
    assert "in 3 of 3 rounds, first in round 1, owners that were drawn did not take part" in told["statement"]


@pytest.mark.parametrize("sampling", ["poisson", "fixed"])
def test_an_obstacle_known_before_the_run_drops_amplification_under_the_same_relation(sampling):
    held, hindered = (terms(sampling=sampling, obstacles=why) for why in ((), ("people are asleep",)))
    one, other = (spent(each, releases(50), 1e-4) for each in (held, hindered))
    assert one.relation == other.relation
    assert other.epsilon == one.epsilon_without_amplification == other.epsilon_without_amplification
    assert "people are asleep" in record(hindered, releases(50))["statement"]


def test_the_record_has_every_key_whatever_happened():
    cases = {
        "whole": record(TERMS, releases(10)),
        "nothing": record(TERMS, []),
        "no noise": record(terms(noise_multiplier=0.0), releases(10)),
        "no delta": record(terms(delta=None), releases(10)),
    }
    assert all(set(told) == KEYS for told in cases.values())
    assert [told["guarantee"] for told in cases.values()] == [True, True, False, False]
    assert cases["nothing"]["epsilon"] == 0.0
    assert cases["no noise"]["epsilon"] is cases["no delta"]["epsilon"] is None
    assert "no noise was added" in cases["no noise"]["statement"]
    assert "nothing without privacy.delta" in cases["no delta"]["statement"]


def test_the_record_tells_who_took_part():
    told = record(TERMS, [*releases(1, drawn=90, replied=80), *releases(1, drawn=110, replied=100)])
    assert told["cohort_realised"] == {"min": 80, "mean": 90.0, "max": 100}
    assert told["cohort_drawn"] == {"min": 90, "mean": 100.0, "max": 110}
    assert told["clipping_norms"] == {"min": 0.5, "mean": 0.5, "max": 0.5}
    assert "80 to 100 took part" in told["statement"]


@pytest.mark.parametrize("changes", [{}, {"sampling": "fixed", "obstacles": ("sleep",)}])
def test_the_budget_allows_what_fits_and_not_one_more(changes):
    budgeted = terms(**changes)
    most = releases_within(budgeted, 20.0, 1e-4)
    assert most > 1
    assert spent(budgeted, releases(most), 1e-4).epsilon <= 20.0 < spent(budgeted, releases(most + 1), 1e-4).epsilon


def test_a_budget_below_one_release_allows_none():
    assert releases_within(TERMS, 0.1, 1e-4) == 0
    assert releases_within(terms(noise_multiplier=0.0), 1e9, 1e-4) == 0


def test_noise_for_a_target_spends_it():
    for changes in ({}, {"sampling": "poisson", "obstacles": ("sleep",)}):
        planned = terms(**changes)
        noise = noise_for(planned, 8.0, 1e-4, 20)
        found = spent(terms(**changes, noise_multiplier=noise), releases(20), 1e-4)
        assert found.epsilon == pytest.approx(8.0, rel=1e-3)


def test_terms_without_amplification_keep_their_relation():
    for sampling, relation in (("none", "zero-out"), ("poisson", "add-remove"), ("fixed", "replace-one")):
        bare = terms(sampling=sampling).without_amplification()
        assert (bare.sampling, bare.relation) == ("none", relation)
        campaign = Campaign(5, 100, 1000, sampling, "rdp")
        wanted = epsilon_of(1.0, 1e-4, campaign).epsilon_without_amplification
        assert spent(bare, releases(5), 1e-4).epsilon == pytest.approx(wanted, rel=1e-12)
        assert math.isfinite(wanted)


def test_trees_are_accounted_by_how_many_rounds_each_really_had():
    planned = terms(longest=4, noise_multiplier=2.0)
    done = [Release(round_, 2.0, 1.0, 10, 10, tree=number) for round_, number in enumerate([0, 0, 0, 1, 1, 1, 1, 2])]
    found = spent(planned, done, 1e-4)
    # Three rounds are two levels deep, four are three, one is one.
    assert found.epsilon == pytest.approx(epsilon_of(2.0 / math.sqrt(2 + 3 + 1), 1e-4, Campaign(1)).epsilon, rel=1e-9)
    assert found.relation == "zero-out"
    assert "nobody took part twice" in record(planned, done)["statement"]
    noise = noise_for(planned, 8.0, 1e-4, 10)
    even = [Release(round_, noise, 1.0, 10, 10, tree=round_ // 4) for round_ in range(10)]
    assert spent(terms(longest=4, noise_multiplier=noise), even, 1e-4).epsilon == pytest.approx(8.0, rel=1e-4)
    # A third round of the last tree is no deeper than its second.
    assert releases_within(terms(longest=4, noise_multiplier=noise), 8.0001, 1e-4) == 11
