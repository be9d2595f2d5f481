"""What a plan's table says that its gates see, against what they see when the plan is rehearsed."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.compose import rollout_power
from fedlite.compose.rollout_models import variants
from fedlite.compose.rollout_plan import rehearsed
from fedlite.rollout.gates.threshold import Threshold
from fedlite.rollout.power import operating
from fedlite.rollout.rehearsal import play
from fedlite.rollout.wave import Wave
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import parse_rollout

PLAN = """
name: seen
seed: 5
replications: 2
horizon: 4 d
fleet: {devices: 600, mix: {galaxy-a52: 2, pixel-4: 1}}
model:
  variants: [{name: int8, bytes: 4 MB, memory: 20 MiB, latency: 20 ms, accuracy: 80 %}]
  old: {bytes: 4 MB, accuracy: 80 %}
  install_failure: 2 %
download: {unmetered: false, jitter: 12 h}
strategy: {waves: [{percent: 20 %}, {percent: 80 %, after: 2 d}]}
gates: [GATE]
worlds:
  - {name: good}
  - {name: bad, changes: {install_failure: 5 %, crash_per_day: 4 %, accuracy_drop: 4 %, latency_factor: 1.2}}
"""
GATES = {
    "threshold": (
        "{name: g, metric: install_failure, method: threshold, threshold: 4 %, min_executed: 5, every: 10 min,"
        " effect: 5 %}"
    ),
    "patient threshold": (
        "{name: g, metric: install_failure, method: threshold, threshold: 4 %, min_executed: 5, every: 2 h,"
        " effect: 5 %, failure_limit: 3}"
    ),
    "sequential": "{name: g, metric: install_failure, method: sequential, baseline: 2 %, every: 1 h, effect: 5 %}",
    "late": "{name: g, metric: install_failure, method: exact, baseline: 2 %, every: 12 h, effect: 5 %, from_step: 2}",
    "crash": "{name: g, metric: crash, method: sequential, baseline: 0.1 %, every: 6 h, effect: 4 %}",
    "two arms": "{name: g, metric: accuracy, method: msprt, control: 30 %, every: 6 h, effect: 4 %}",
}  # fmt: skip


def made(gate, text=PLAN):
    plan = parse_rollout(text.replace("GATE", gate))
    return plan, rehearsed(plan, variants(plan.model, [load_profile(name) for name in plan.fleet.mix]))


def rehearsed_share(told, world, times=300):
    trips = [play(told.plan, told.fleet, told.worlds[world], number).trip for number in range(times)]
    return np.mean([trip is not None for trip in trips])


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_the_power_of_the_last_wave_is_what_rehearsals_come_to(gate):
    plan, told = made(gate)
    row = rollout_power.of_plan(plan, told)[-1]
    assert row["wave"] == "wave 2"
    for world, expected in ((1, row["worlds"]["bad"]), (0, _false_aborts(plan, told))):
        # Two per cent beside the dice: when reports come in differs a little from replication to replication.
        spread = np.sqrt(max(expected * (1.0 - expected), 0.01) / 300)
        assert rehearsed_share(told, world) == pytest.approx(expected, abs=3.0 * spread + 0.02)


def _false_aborts(plan, told):
    return rollout_power.curves(plan, told)[-1]["power"][0]


def test_only_reports_that_are_in_before_the_next_wave_count():
    plan, told = made(GATES["crash"])
    first, last = rollout_power.of_plan(plan, told)
    # A day to report and half a day to ask: all of the first wave is heard of, and nobody has crashed.
    assert first["n"] == 120
    assert first["reports"] == pytest.approx(118, abs=3)
    assert (last["n"], last["reports"]) == (600, pytest.approx(590, abs=8))
    hasty = PLAN.replace("after: 2 d", "after: 20 h")
    early = rollout_power.of_plan(*made(GATES["crash"], hasty))[0]
    assert (early["n"], early["reports"], early["power"], early["mde"]) == (120, 0, 0.0, None)
    assert early["worlds"] == {"bad": 0.0}


def test_a_gate_has_no_power_before_the_step_from_which_it_looks():
    assert [row["wave"] for row in rollout_power.of_plan(*made(GATES["late"]))] == ["wave 2"]


def test_crashes_that_begin_after_the_window_are_not_promised_to_be_seen():
    slow = PLAN.replace("latency_factor: 1.2}", "latency_factor: 1.2}, after: 30 h")
    assert rollout_power.of_plan(*made(GATES["crash"], slow))[-1]["worlds"] == {}


def test_what_is_needed_is_what_would_be_enough():
    row = rollout_power.of_plan(*made(GATES["sequential"]))[0]
    assert row["power"] < 0.8
    gate = made(GATES["sequential"])[1].plan.watches[0].gate
    enough, short = (operating(gate, Wave(n, 0.02, looks=48), 0.05).power for n in (row["needed"], row["needed"] // 2))
    assert short < 0.8 <= enough + 0.02


def test_classes_that_differ_make_a_latency_gate_of_the_fleet_blind():
    slow = PLAN.replace("latency: 20 ms", "latency: {galaxy-a52: 20 ms, pixel-4: 200 ms}")
    gate = "{name: g, metric: latency_p95, method: msprt, control: 30 %, every: 6 h, effect: 20 %, per: PER}"
    fleet = rollout_power.of_plan(*made(gate.replace("PER", "fleet"), slow))[-1]
    of_class = rollout_power.of_plan(*made(gate.replace("PER", "class"), slow))[-1]
    assert fleet["power"] < 0.3
    assert of_class["power"] > 0.9


def test_a_schedule_says_when_devices_are_seen():
    gate = Threshold(0.5, 2)
    by_schedule = operating(gate, Wave(4, 0.1, schedule=(2, 3, 4)), 0.3)
    # Two of two, or one of two, at the first look; then three looks where any first failure among two has tripped.
    assert by_schedule.power == pytest.approx(1.0 - 0.7**2 - 0.0 + _later(0.3))
    with pytest.raises(ValueError, match="rises to n"):
        Wave(4, 0.1, schedule=(2, 3))


def _later(rate):
    """Return the chance that the first two pass and the next two fail: two of four."""
    return (1.0 - rate) ** 2 * rate**2


def test_ranks_of_classes_are_not_those_of_one_normal_fleet():
    two = PLAN.replace("latency: 20 ms", "latency: {galaxy-a52: 10 ms, pixel-4: 100 ms}").replace("600", "300")
    plan, told = made(
        "{name: g, metric: latency_p95, method: mann-whitney, control: 20 %, every: 12 h, effect: 20 %}", two
    )
    row = rollout_power.of_plan(plan, told)[-1]
    # A tenth of spread within classes, of which one is ten times as slow: ranks see what means do not.
    assert row["worlds"]["bad"] == pytest.approx(rehearsed_share(told, 1, 150), abs=0.12)
    assert row["worlds"]["bad"] > 0.5


def test_rates_are_those_of_the_classes_that_have_reported():
    # Half of the fleet is always there; the other half, on which the build is bad, waits for the evening.
    fleet = "{pi-4b: 1, pixel-6: 1}, availability: diurnal, start: Mon 10:00}"
    text = PLAN.replace("{galaxy-a52: 2, pixel-4: 1}}", fleet).replace("devices: 600", "devices: 3000")
    text = text.replace("{unmetered: false, jitter: 12 h}", "{charging: true, idle: true}")
    text = text.replace("after: 2 d", "after: 4 h").replace(
        "install_failure: 5 %, crash", "install_failure: 15 %, crash"
    )
    text = text.replace("latency_factor: 1.2}", "latency_factor: 1.2}, on: {profiles: [pixel-6]}")
    plan, told = made("{name: g, metric: install_failure, method: exact, baseline: 2 %, every: 4 h, effect: 5 %}", text)
    row = rollout_power.of_plan(plan, told)[0]
    trips = [play(told.plan, told.fleet, told.worlds[1], number).trip for number in range(100)]
    by_then = np.mean([trip is not None and trip.when_s <= told.plan.start_s + 4 * 3600.0 for trip in trips])
    assert row["worlds"]["bad"] == pytest.approx(by_then, abs=0.15)
    # By the share in the fleet it would be all but sure.
    assert by_then < 0.9


def test_what_is_needed_keeps_the_size_of_the_control_arm_and_the_looks_forgiven():
    patient = GATES["patient threshold"].replace("failure_limit: 3", "failure_limit: 1000")
    assert [row["needed"] for row in rollout_power.of_plan(*made(patient))] == [None, None]
    gate = "{name: g, metric: accuracy, method: msprt, control: CONTROL %, every: 12 h, effect: 4 %}"
    few, many = (rollout_power.of_plan(*made(gate.replace("CONTROL", x)))[0] for x in ("10", "40"))
    assert few["needed"] > 1.5 * many["needed"] > many["reports"]


@pytest.mark.parametrize("strategy", ["rate: {maximumPerMinute: 10}", "waves: [{percent: 100 %}]"])
def test_a_plan_that_can_let_nobody_in_is_told_of_not_stumbled_over(strategy):
    empty = PLAN.replace("waves: [{percent: 20 %}, {percent: 80 %, after: 2 d}]", strategy)
    plan, told = made(GATES["sequential"], empty.replace("download:", "audience: {full_storage: 100 %}\ndownload:"))
    assert all((row["n"], row["reports"], row["power"]) == (0, 0, 0.0) for row in rollout_power.of_plan(plan, told))
    assert rollout_power.curves(plan, told) == []
