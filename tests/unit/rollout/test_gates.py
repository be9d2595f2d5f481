"""Each gate decides what its formula says, on whole arrays, and refuses parameters that mean nothing."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from fedlite.errors import FedliteError
from fedlite.rollout.gates import METHODS
from fedlite.rollout.gates.evidence import Evidence, expected_failures
from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.gates.mann_whitney import MannWhitney
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import MULTIPLES, Sequential
from fedlite.rollout.gates.threshold import Threshold
from fedlite.rollout.gates.two_arms import TwoArms


def counts(n, total, control_n=None, control_total=None, expected=None):
    arrays = [None if one is None else np.array(one) for one in (n, total, control_n, control_total, expected)]
    return Evidence(arrays[0], arrays[1], control_n=arrays[2], control_total=arrays[3], expected=arrays[4])


def test_the_table_names_every_method_once():
    assert list(METHODS) == ["threshold", "exact", "sequential", "z", "mann-whitney", "msprt"]
    assert len(set(METHODS.values())) == len(METHODS)


def test_a_threshold_is_reached_by_the_very_share_and_not_before_the_least_count():
    seen = counts([0, 19, 20, 100, 100, 100], [0, 19, 1, 4, 5, 7])
    assert Threshold(0.05, 20).trips(seen).tolist() == [False, False, True, False, True, True]
    # 0.07 * 100 is more than 7 in floating point, and 7 of 100 are 7 %.
    assert Threshold(0.07, 20).trips(seen).tolist() == [False, False, False, False, False, True]


def test_the_exact_gate_trips_where_scipys_own_test_rejects():
    n, total = np.meshgrid([1, 7, 50, 400], np.arange(12))
    total = np.minimum(total, n)
    chance = np.vectorize(lambda x, m: stats.binomtest(x, m, 0.02, "greater").pvalue)(total, n)
    assert Exact(0.02).trips(Evidence(n, total)).tolist() == (chance <= 0.05).tolist()
    assert (chance <= 0.05).any()


def test_the_z_gate_is_the_pooled_test():
    (n, x), (m, y) = (400, 18), (300, 6)
    pooled = (x + y) / (n + m)
    z = (x / n - y / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    just = float(stats.norm.sf(z))
    seen = counts([n], [x], [m], [y])
    assert TwoArms(just * 1.001).trips(seen).tolist() == [True]
    assert TwoArms(just * 0.999).trips(seen).tolist() == [False]
    assert TwoArms(0.05, 401).trips(seen).tolist() == [False]


def test_the_z_gate_has_nothing_to_say_without_failures_or_without_a_control_arm_yet():
    assert TwoArms().trips(counts([50, 50], [0, 5], [50, 0], [0, 0])).tolist() == [False, False]


def test_the_sequential_gate_is_the_mean_of_the_likelihood_ratios():
    n, x, p0 = 300, 9, 0.01
    law = lambda rate: stats.binom.pmf(x, n, rate) / stats.binom.pmf(x, n, p0)
    wanted = np.mean([law(p0 * multiple) for multiple in MULTIPLES])
    assert math.exp(Sequential(p0).log_evidence(counts([n], [x]))[0]) == pytest.approx(wanted, rel=1e-9)
    assert Sequential(p0, alpha=1.001 / wanted).trips(counts([n], [x])).tolist() == [True]
    assert Sequential(p0, alpha=0.999 / wanted).trips(counts([n], [x])).tolist() == [False]
    assert Sequential(p0, alpha=1.001 / wanted, min_executed=301).trips(counts([n], [x])).tolist() == [False]


@pytest.mark.parametrize("baseline", [0.2, 0.9, 0.999])
def test_a_high_baseline_still_has_rates_above_it_to_compare_with(baseline):
    gate = Sequential(baseline)
    all_failed, as_expected = counts([2000], [2000]), counts([2000], [round(2000 * baseline)])
    assert gate.trips(all_failed).tolist() == [2000 * math.log(1 / baseline) > 2 * math.log(20)]
    assert not gate.trips(as_expected)[0]


def test_two_arms_are_compared_by_whose_the_failures_are():
    """With a share that stays the same the gate is a binomial likelihood ratio of the failures' arms."""
    x, y, share = 14, 3, 0.8
    ratio = lambda r: stats.binom.pmf(x, x + y, share * r / (share * r + 1 - share)) / stats.binom.pmf(x, x + y, share)
    seen = counts([800], [x], [200], [y], [share * (x + y)])
    wanted = np.mean([ratio(r) for r in MULTIPLES])
    assert math.exp(Sequential().log_evidence(seen)[0]) == pytest.approx(wanted, rel=1e-9)
    assert Sequential().two_arms
    assert not Sequential(0.1).two_arms


def test_a_changing_share_never_makes_more_evidence_than_the_proof_allows():
    """The cumulative form lies below the product over the looks, and every factor's mean is at most 1."""
    rng = np.random.Generator(np.random.PCG64(5))
    n, m = rng.integers(0, 40, (2, 200, 12)).cumsum(-1)
    x, y = rng.binomial(np.diff(n, prepend=0), 0.1).cumsum(-1), rng.binomial(np.diff(m, prepend=0), 0.1).cumsum(-1)
    expected = expected_failures(n, x, m, y)
    share = np.diff(n, prepend=0) / np.maximum(np.diff(n + m, prepend=0), 1)
    product = 0.0
    for r in MULTIPLES:
        steps = np.diff(x, prepend=0) * np.log(r) - np.diff(x + y, prepend=0) * np.log1p(share * (r - 1))
        product = product + np.exp(steps.cumsum(-1)) / len(MULTIPLES)
    told = np.exp(Sequential().log_evidence(Evidence(n, x, control_n=m, control_total=y, expected=expected)))
    assert (told <= product * (1 + 1e-9)).all()
    assert (told < product * 0.999).any()
    for trials, treated, failed in ((9, 4, 3), (30, 29, 7), (5, 1, 5)):
        law = stats.hypergeom(trials, treated, failed)
        for r in MULTIPLES:
            factor = r ** np.arange(failed + 1.0) / (1 + treated / trials * (r - 1)) ** failed
            assert (law.pmf(np.arange(failed + 1)) * factor).sum() <= 1 + 1e-12


def test_failures_are_expected_by_each_interval_s_own_share():
    told = expected_failures(np.array([10, 10, 40]), np.array([2, 2, 5]), np.array([30, 40, 50]), np.array([2, 4, 5]))
    assert told.tolist() == [1.0, 1.0, 1.0 + 0.75 * 4]


def test_failures_without_any_trial_count_against_a_regression():
    assert expected_failures(np.array([4, 4]), np.array([0, 2]), np.array([4, 4]), np.array([0, 0])).tolist() == [0, 2]


def test_mann_whitney_ranks_as_scipy_does_and_knows_its_margin():
    rng = np.random.Generator(np.random.PCG64(1))
    treated, control = rng.normal(1.0, 1.0, (3, 40)), rng.normal(0.0, 1.0, (3, 50))
    seen = Evidence.of_samples(treated, control)
    for margin in (0.0, 0.5, 1.0, 1.5):
        wanted = [
            stats.mannwhitneyu(a - margin, b, alternative="greater").pvalue <= 0.05
            for a, b in zip(treated, control, strict=True)
        ]
        assert MannWhitney(margin=margin).trips(seen).tolist() == wanted
        assert MannWhitney("decrease", margin=margin).trips(Evidence.of_samples(-treated, -control)).tolist() == wanted
    assert MannWhitney().trips(seen).all()
    assert not MannWhitney("decrease").trips(seen).any()
    assert not MannWhitney(min_executed=41).trips(seen).any()


@pytest.mark.parametrize("z", [-1.0, 0.5, 3.0])
def test_the_mixture_of_a_known_deviation_is_its_integral(z):
    n, m, sd, mixing = 30, 50, 2.0, 0.4
    error = sd * math.sqrt(1 / n + 1 / m)
    ratio = lambda shift: stats.norm.pdf(z * error, shift, error) / stats.norm.pdf(z * error, 0, error)
    law = lambda shift: 2 * stats.norm.pdf(shift, 0, mixing * sd)
    wanted = integrate.quad(lambda shift: ratio(shift) * law(shift), 0, 12 * mixing * sd)[0]
    for direction, sign in (("increase", 1.0), ("decrease", -1.0)):
        gate = Msprt(direction, sd=sd, mixing=mixing)
        seen = counts([n], [n * (5 + sign * z * error)], [m], [m * 5.0])
        assert math.exp(gate.log_evidence(seen)[0]) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("shift", [-0.6, 0.3, 1.5])
def test_the_mixture_of_an_unknown_deviation_is_its_integral_over_the_t_law(shift):
    rng = np.random.Generator(np.random.PCG64(3))
    treated, control, mixing = rng.normal(7.0 + shift, 1.0, 12), rng.normal(7.0, 1.0, 9), 0.7
    t, freedom, root = stats.ttest_ind(treated, control).statistic, 19, math.sqrt(12 * 9 / 21)
    ratio = lambda effect: stats.nct.pdf(t, freedom, effect * root) / stats.t.pdf(t, freedom)
    wanted = integrate.quad(lambda effect: ratio(effect) * 2 * stats.norm.pdf(effect, 0, mixing), 0, 8 * mixing)[0]
    seen = Evidence.of_samples(treated, control)
    assert math.exp(Msprt(mixing=mixing).log_evidence(seen)) == pytest.approx(wanted, rel=1e-6)
    assert bool(Msprt(mixing=mixing, alpha=min(0.999, 1.001 / wanted)).trips(seen)) == (wanted > 1.001 / 0.999)


def test_a_mixture_says_nothing_before_it_knows_a_spread():
    seen = Evidence(*(np.array([one]) for one in (1, 9.0, 81.0, 1, 1.0, 1.0)))
    assert Msprt().log_evidence(seen).tolist() == [0.0]
    same = Evidence(*(np.array([one]) for one in (4, 36.0, 324.0, 4, 4.0, 4.0)))
    assert Msprt().log_evidence(same).tolist() == [0.0]
    assert Msprt(sd=1.0, min_executed=5).trips(same).tolist() == [False]
    assert Msprt(sd=1.0).trips(same).tolist() == [True]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_gates_answer_in_the_shape_of_their_evidence(shape):
    one, half = np.full(shape, 50), np.full(shape, 2.0)
    seen = Evidence(one, half, half, one, half, half, expected=half)
    for gate in (Threshold(0.1), Exact(0.1), Sequential(0.1), Sequential(), TwoArms(), Msprt(), Msprt(sd=1.0)):
        assert gate.trips(seen).shape == shape
        assert gate.trips(seen).dtype == np.bool_
    samples = np.random.Generator(np.random.PCG64(1)).normal(size=(*shape, 9))
    assert MannWhitney().trips(Evidence.of_samples(samples, samples)).shape == shape


@pytest.mark.parametrize("gate", [TwoArms(), Sequential(), Msprt(), Msprt(sd=1.0), MannWhitney()], ids=repr)
def test_a_gate_of_two_arms_refuses_evidence_of_one(gate):
    with pytest.raises(ValueError, match=r"reads|only sums"):
        gate.trips(counts([5], [1]))


MISTAKES = {
    "alpha: got 1.5, expected more than 0 and less than 1": lambda: Sequential(0.1, alpha=1.5),
    "alpha: got nan, expected": lambda: Exact(0.1, alpha=math.nan),
    "alpha: got True, expected": lambda: TwoArms(alpha=True),
    "baseline: got 0.0, expected": lambda: Exact(0.0),
    "baseline: got 0.9999999999999999, expected": lambda: Sequential(1.0 - 1e-16),
    "baseline: got '1 %', expected": lambda: Sequential("1 %"),
    "threshold: got 5, expected more than 0 and 1 at most": lambda: Threshold(5),
    "threshold: got 0.0, expected more than 0 and 1 at most": lambda: Threshold(0.0),
    "min_executed: got 0, expected a whole number from 1": lambda: Threshold(0.1, 0),
    "min_executed: got 2.5, expected a whole number from 1": lambda: Msprt(min_executed=2.5),
    "margin: got -1.0, expected a number up to 1e+100, 0 or more": lambda: MannWhitney(margin=-1.0),
    "sd: got 0.0, expected a number up to 1e+100, more than 0": lambda: Msprt(sd=0.0),
    "mixing: got inf, expected a number up to 1e+100": lambda: Msprt(mixing=math.inf),
    "direction: got 'up', expected one of decrease, increase": lambda: Msprt("up"),
}


@pytest.mark.parametrize(("words", "make"), MISTAKES.items(), ids=list(MISTAKES))
def test_parameters_that_mean_nothing_are_refused_with_a_remedy(words, make):
    with pytest.raises(FedliteError) as told:
        make()
    assert words in str(told.value)
