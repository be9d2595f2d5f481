"""Many inferences in a row on a device that gets warm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.rollout.arms import Arms
from fedlite.rollout.heat import Heat
from fedlite.rollout.rehearsal import play
from fedlite.rollout.tally import tally
from tests.unit.rollout.conftest import world_of

GOOD = world_of()
# The first of the two profiles slows to a half after ten inferences of 20 ms, the second never.
WARM = Heat(40, np.array([0.2, np.inf]), np.array([0.5, 1.0]))
LATENCY_S = np.array([0.02, 0.02])


def test_a_row_of_inferences_is_slow_from_the_onset_on():
    assert WARM.hot(LATENCY_S) == pytest.approx([0.75, 0.0])
    # Ten at 20 ms, thirty at 40 ms.
    assert WARM.slowdown(LATENCY_S) == pytest.approx([(10 * 20 + 30 * 40) / (40 * 20), 1.0])
    assert WARM.p95(LATENCY_S) == pytest.approx([0.04, 0.02])
    assert Heat(10, WARM.onset_s, WARM.sustained).slowdown(LATENCY_S) == pytest.approx([1.0, 1.0])


def test_percentiles_are_over_inferences_not_devices():
    devices = np.array([100, 300])
    # 75 of 400 are slow: more than 5 % of all, fewer than a half.
    assert WARM.percentiles(LATENCY_S, devices, (50, 95, 99)) == pytest.approx([0.02, 0.04, 0.04])
    assert WARM.percentiles(LATENCY_S, np.array([10, 990]), (50, 95, 99)) == pytest.approx([0.02, 0.02, 0.02])
    assert WARM.percentiles(np.array([0.01, 0.03]), np.array([1, 0]), (50,)) == pytest.approx([0.01])


def test_heat_costs_energy_latency_and_battery_where_a_profile_tells_of_it(plan, fleet):
    cold, warm = (tally(made, fleet, GOOD, play(made, fleet, GOOD, 0)) for made in (plan, replace(plan, heat=WARM)))
    first = np.mean(fleet.population.profile_of == 0)
    assert float(warm.inference_j / cold.inference_j) == pytest.approx(1.75 * first + 1.0 - first, rel=1e-3)
    assert cold.latency_s == pytest.approx([0.02] * 3)
    assert warm.latency_s == pytest.approx([0.02, 0.04, 0.04])


def test_gates_of_latency_and_battery_see_it(plan, fleet):
    made = replace(plan, heat=WARM)
    played = play(made, fleet, GOOD, 0)
    of_first = fleet.population.profile_of == 0
    for metric, factor in (("latency_p95", 2.0), ("battery_per_day", 1.75)):
        told = [
            Arms(one, fleet, GOOD, played.members, 0).of(metric, played.delivery)[0].reports.value
            for one in (plan, made)
        ]
        assert told[1][of_first] / told[0][of_first] == pytest.approx(factor)
        assert told[1][~of_first] == pytest.approx(told[0][~of_first])
