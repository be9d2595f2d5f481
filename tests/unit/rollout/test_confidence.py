"""Bounds of sequential gates: wrong no more often than alpha at any look at all, and beyond the baseline at a trip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.rollout.gates.confidence import bounds, has_bounds
from fedlite.rollout.gates.evidence import Evidence
from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import Sequential

WAVES = 600


def failures(rate, looks=60, step=25, seed=1):
    rng = np.random.default_rng(seed)
    n = np.broadcast_to(step * np.arange(1, looks + 1), (WAVES, looks))
    return Evidence(n=n, total=np.cumsum(rng.binomial(step, rate, (WAVES, looks)), axis=-1).astype(float))


def measured(shift, looks=40, step=12, sd=0.1, seed=2, control=6):
    rng = np.random.default_rng(seed)

    def arm(mean, each):
        values = rng.normal(mean, sd, (WAVES, looks, each))
        sums = (np.cumsum(part.sum(-1), axis=-1) for part in (values, values**2))
        return (np.broadcast_to(each * np.arange(1, looks + 1), (WAVES, looks)), *sums)

    return Evidence(*arm(0.8 + shift, step), *arm(0.8, control))


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_bounds_of_a_rate_cover_it_at_all_looks_at_once(rate, alpha):
    observed, low, high = bounds(Sequential(baseline=0.01, alpha=alpha), failures(rate))
    assert (low <= np.nan_to_num(observed, nan=1.0).max(axis=-1, keepdims=True)).all()
    # Three standard errors of the simulation on top of what is allowed.
    most = alpha + 3 * np.sqrt(alpha * (1 - alpha) / WAVES)
    assert (low > rate).any(axis=-1).mean() <= most
    assert (high < rate).any(axis=-1).mean() <= most
    # A bound at the look alone, which is what a test of one look gives, is not one for all looks: alpha is used up.
    assert np.median(low[:, -1]) > 0.4 * rate
    assert np.median(high[:, -1]) < 1.0 - 0.5 * (1.0 - rate)


@pytest.mark.parametrize("direction", ["increase", "decrease"])
@pytest.mark.parametrize("sd", [0.1, None])
def test_bounds_of_a_difference_cover_it_at_all_looks_at_once(direction, sd):
    gate = Msprt(direction=direction, alpha=0.1, sd=sd)
    for shift in (0.0, -0.05):
        observed, low, high = bounds(gate, measured(shift))
        assert np.nanmedian(observed[:, -1]) == pytest.approx(shift, abs=0.005)
        most = 0.1 + 3 * np.sqrt(0.1 * 0.9 / WAVES)
        assert (low > shift).any(axis=-1).mean() <= most
        assert (high < shift).any(axis=-1).mean() <= most
        assert np.median(high[:, -1] - low[:, -1]) < 0.1
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) <= 0).all()


def test_a_gate_trips_exactly_where_its_bound_passes_what_it_tests():
    gate = Sequential(baseline=0.02, alpha=0.05)
    seen = failures(0.05)
    tripped = np.logical_or.accumulate(gate.trips(seen), axis=-1)
    assert tripped.any()
    assert not tripped.all()
    assert np.array_equal(bounds(gate, seen)[1] > 0.02, tripped)
    for direction, side in (("increase", 1), ("decrease", 2)):
        seen = measured(0.04 if direction == "increase" else -0.04)
        gate = Msprt(direction=direction, alpha=0.05)
        tripped = np.logical_or.accumulate(gate.trips(seen), axis=-1)
        bound = bounds(gate, seen)[side]
        assert tripped.any()
        assert np.array_equal(bound > 0.0 if direction == "increase" else bound < 0.0, tripped)


def test_evidence_falls_as_the_baseline_rises():
    """Which is why what is not ruled out is everything above a bound."""
    gate, seen = Sequential(baseline=0.5), failures(0.1, looks=5)
    told = np.stack([gate.against(np.full(seen.n.shape, rate), seen) for rate in np.linspace(0.001, 0.999, 200)])
    assert (np.diff(told, axis=0) <= 1e-9).all()
    alone = replace(gate, baseline=0.3)
    assert alone.log_evidence(seen).tolist() == gate.against(0.3, seen).tolist()


def test_nothing_is_ruled_out_before_anything_is_seen():
    none = Evidence(n=np.zeros(2), total=np.zeros(2))
    observed, low, high = bounds(Sequential(baseline=0.1), none)
    assert np.isnan(observed).all()
    assert (low.tolist(), high.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    zero = np.zeros(1)
    observed, low, high = bounds(Msprt(), Evidence(zero, zero, zero, zero, zero, zero))
    assert np.isnan(observed).all()
    assert (low.tolist(), high.tolist()) == ([-np.inf], [np.inf])


def test_only_gates_that_can_be_turned_around_have_bounds():
    assert [has_bounds(gate) for gate in (Sequential(0.1), Msprt(), Sequential(None), Exact(0.1))] == [
        True, True, False, False,
    ]  # fmt: skip
