"""Gates that say "always valid" are: without a regression they ever trip with at most alpha, whenever one looks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.rollout.gates.evidence import Evidence, expected_failures
from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import Sequential
from fedlite.rollout.gates.threshold import Threshold
from fedlite.rollout.recursion import first_trips, limits

WAVES = 1000
schedules = st.lists(st.integers(1, 60), min_size=1, max_size=40).map(np.cumsum)
"""Devices seen at each look; steps of 1 to 60."""
alphas = st.sampled_from([0.01, 0.05, 0.2])
seeds = st.integers(0, 2**32)


def allowed(alpha):
    """Return a share of simulated waves that a chance of alpha exceeds once in 30,000 examples."""
    return alpha + 4.0 * math.sqrt(alpha * (1.0 - alpha) / WAVES)


def ever(gate, looks, rate):
    return first_trips(limits(gate, looks), looks, rate).sum()


@settings(max_examples=150, deadline=None)
@given(schedules, st.floats(0.001, 0.95), alphas, st.floats(0.0, 1.0))
def test_an_e_process_bounds_false_aborts_at_every_schedule(looks, baseline, alpha, better):
    gate = Sequential(baseline, alpha)
    assert ever(gate, looks, baseline) <= alpha + 1e-9
    assert ever(gate, looks, baseline * better) <= alpha + 1e-9


@settings(max_examples=40, deadline=None)
@given(seeds, schedules, alphas, st.integers(1, 5))
def test_an_e_process_of_two_arms_bounds_them_though_rates_and_shares_drift(seed, looks, alpha, drift):
    """The rate changes at every look, and so does the share of devices that are treated."""
    rng = np.random.Generator(np.random.PCG64(seed))
    more = np.diff(looks, prepend=0)
    rates = np.clip(0.02 * drift ** rng.normal(size=len(looks)), 0.0, 0.9)
    treated, held_out = (rng.binomial(more, rng.random(len(looks))) for _ in range(2))
    n, m = treated.cumsum(), held_out.cumsum()
    x, y = (rng.binomial(trials, rates, (WAVES, len(looks))).cumsum(-1) for trials in (treated, held_out))
    n, m = np.broadcast_to(n, x.shape), np.broadcast_to(m, x.shape)
    seen = Evidence(n, x, control_n=m, control_total=y, expected=expected_failures(n, x, m, y))
    assert Sequential(alpha=alpha).trips(seen).any(-1).mean() <= allowed(alpha)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(10, 800), alphas, st.floats(0.05, 0.95))
def test_a_coin_s_share_bounds_them_at_a_look_after_every_device(seed, devices, alpha, share):
    """Each device is dealt to an arm by a coin; what it would do is settled before, and drifts without bounds."""
    rng = np.random.Generator(np.random.PCG64(seed))
    fails = rng.random((WAVES, devices)) < rng.random(devices)[None, :] ** 3
    coin = rng.random((WAVES, devices)) < share
    x, y, n = ((fails & coin).cumsum(-1), (fails & ~coin).cumsum(-1), coin.cumsum(-1))
    seen = Evidence(n, x, control_n=(~coin).cumsum(-1), control_total=y, expected=share * (x + y))
    assert Sequential(alpha=alpha).trips(seen).any(-1).mean() <= allowed(alpha)


@settings(max_examples=40, deadline=None)
@given(seeds, schedules, schedules, alphas, st.sampled_from([0.1, 0.5, 2.0]), st.sampled_from(["increase", "decrease"]))
def test_a_mixture_sprt_bounds_them_at_every_schedule_of_both_arms(seed, looks, control, alpha, mixing, direction):
    rng = np.random.Generator(np.random.PCG64(seed))
    k = min(len(looks), len(control))
    sums = []
    for seen in (looks[:k], control[:k]):
        metric = rng.normal(50.0, 3.0, (WAVES, int(seen[-1])))
        sums += [np.broadcast_to(seen, (WAVES, k)), *(one.cumsum(-1)[:, seen - 1] for one in (metric, metric**2))]
    evidence = Evidence(*sums)
    for sd in (3.0, None):
        tripped = Msprt(direction, alpha, sd, mixing).trips(evidence)
        assert tripped.any(-1).mean() <= allowed(alpha)


@settings(max_examples=40, deadline=None)
@given(seeds, schedules, alphas)
def test_a_mixture_sprt_of_pairs_bounds_them_though_the_mean_drifts(seed, looks, alpha):
    rng = np.random.Generator(np.random.PCG64(seed))
    drift = np.cumsum(rng.normal(size=int(looks[-1])))
    arms = [(drift + rng.normal(size=(WAVES, len(drift)))).cumsum(-1)[:, looks - 1] for _ in range(2)]
    n = np.broadcast_to(looks, arms[0].shape)
    tripped = Msprt(alpha=alpha, sd=1.0).trips(Evidence(n, arms[0], control_n=n, control_total=arms[1]))
    assert tripped.any(-1).mean() <= allowed(alpha)


@pytest.mark.parametrize("step", [1, 10, 50])
def test_raw_thresholds_and_peeked_tests_do_not(step):
    """What the law above forbids: the search for it must be able to find it."""
    looks = np.arange(step, 3001, step)
    assert ever(Threshold(0.02, 100), looks, 0.01) > 3 * 0.05
    assert ever(Exact(0.01), looks, 0.01) > 3 * 0.05
    assert ever(Sequential(0.01), looks, 0.01) <= 0.05


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 3000), st.floats(0.001, 0.9), alphas)
def test_a_gate_that_trips_at_some_failures_trips_at_more(n, total, baseline, alpha):
    """What the recursion rests on."""
    two = Evidence(np.array([n, n]), np.minimum([total, total + 1], n))
    for gate in (Threshold(baseline), Exact(baseline, alpha), Sequential(baseline, alpha)):
        fewer, more = gate.trips(two)
        assert more or not fewer
