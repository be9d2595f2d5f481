"""Laws of the fleet that hold for any jobs, times and budgets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.fleet import demands, population, timeline
from fedlite.fleet.demands import Demands
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S

N = 40
NAMES = ("pixel-4", "nexus-5", "watch-wear-4100", "pi-4b", "nrf52840")
PEOPLE = population.draw([load_profile(name) for name in NAMES], [1.0] * len(NAMES), N, seed=2)
HABITS = Diurnal(2)
TIMES = st.floats(0.0, 4 * DAY_S)
DEVICES = st.permutations(range(N)).map(lambda ids: np.array(ids[:15]))
BUDGETS = st.builds(
    Budgets,
    cpu_share=st.floats(0.1, 1.0),
    cpu_time_s=st.floats(1.0, 5000.0),
    battery_floor=st.floats(0.0, 0.9),
    energy_per_day_j=st.floats(0.0, 5000.0, allow_subnormal=False),
    metered_bytes_per_month=st.floats(0.0, 1e8),
)


def make_fleet(rules=None, budgets=None):
    return Fleet(PEOPLE, HABITS, rules or Rules(), budgets or Budgets(), seed=2)


def work(n, train_s, bytes_):
    return Demands(*(np.full(n, value) for value in (bytes_, bytes_, train_s, 0.0, 0.0, 0.0)))


def outcome_of(fleet, devices, now_s, asked):
    return timeline.run(demands.price(fleet, devices, now_s, asked).phases)


@given(st.lists(TIMES, min_size=1, max_size=6), TIMES, DEVICES)
@settings(max_examples=25, deadline=None)
def test_charge_at_a_time_does_not_depend_on_the_way_there(stops, end, devices):
    end = max([*stops, end])
    direct, wandering = make_fleet(), make_fleet()
    for stop in sorted(stops):
        wandering.advance(stop)
        wandering.charge_at(devices, stop)
    direct.advance(end)
    assert wandering.charge_at(wandering.ids, end).tobytes() == direct.charge_at(direct.ids, end).tobytes()


@given(TIMES, TIMES)
@settings(max_examples=25, deadline=None)
def test_who_is_eligible_depends_on_time_alone(first, second):
    rules = Rules(charging=True, min_battery=0.5)
    asked_twice, fresh = make_fleet(rules), make_fleet(rules)
    asked_twice.eligible(min(first, second))
    late = max(first, second)
    assert asked_twice.eligible(late).tolist() == fresh.eligible(late).tolist()


@given(TIMES, st.floats(0.0, 20_000.0), st.floats(0.0, 1e8), BUDGETS)
@settings(max_examples=60, deadline=None)
def test_a_charge_stays_between_empty_and_full_whatever_a_job_asks(now_s, train_s, bytes_, budgets):
    fleet = make_fleet(budgets=budgets)
    fleet.advance(now_s)
    before_j = fleet.charge_at(fleet.ids, now_s)
    events = outcome_of(fleet, fleet.ids, now_s, work(N, train_s, bytes_))
    energy_j = events.compute_j + events.radio_j
    battery_j = np.where(fleet.plugged(fleet.ids, now_s) | fleet.on_mains(fleet.ids), 0.0, energy_j)
    idle_j = fleet.batteries.idle_w(fleet.ids) * events.total_s
    paid = battery_j > 0
    floor_j = budgets.battery_floor * fleet.capacity_of(fleet.ids)[paid]
    assert (before_j[paid] - battery_j[paid] - idle_j[paid] - floor_j > -1e-6).all()
    ends_s = now_s + events.total_s
    fleet.charge(fleet.ids, now_s, until_s=ends_s, energy_j=energy_j, battery_j=battery_j, metered_bytes=np.zeros(N))
    after_j = fleet.charge_at(fleet.ids, ends_s.max())
    assert (after_j >= 0).all()
    assert (after_j <= fleet.capacity_of(fleet.ids)).all()
    assert (energy_j <= budgets.energy_per_day_j * (1 + 1e-9)).all()


@given(DEVICES, TIMES, BUDGETS, st.floats(0.0, 5000.0), st.floats(0.0, 1e7), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_jobs_changes_none_of_them(devices, now_s, budgets, train_s, bytes_, dice):
    order = list(range(len(devices)))
    dice.shuffle(order)
    fleet = make_fleet(Rules(unmetered=True), budgets)
    fleet.advance(now_s)
    asked = work(len(devices), train_s, bytes_)
    straight = outcome_of(fleet, devices, now_s, asked)
    shuffled = outcome_of(fleet, devices[order], now_s, asked)
    for name in ("outcome", "down_s", "train_s", "up_s", "radio_j", "tail_j", "compute_j", "down_share", "up_share"):
        assert getattr(shuffled, name).tobytes() == getattr(straight, name)[order].tobytes()


@given(TIMES, st.floats(0.0, 3000.0), st.floats(0.0, 3000.0), st.floats(0.0, 1e8), st.floats(0.0, 1e8))
@settings(max_examples=60, deadline=None)
def test_more_bytes_or_more_work_never_cost_less_time_or_energy(now_s, train_s, more_s, bytes_, more):
    fleet = make_fleet()
    fleet.advance(now_s)
    small = demands.price(fleet, fleet.ids, now_s, work(N, train_s, bytes_)).phases
    large = demands.price(fleet, fleet.ids, now_s, work(N, train_s + more_s, bytes_ + more)).phases
    for name in ("train_s", "train_j"):
        assert (getattr(large, name) >= getattr(small, name)).all()
    for ours, its in ((large.down, small.down), (large.up, small.up)):
        assert (ours.time_s >= its.time_s).all()
        assert (ours.energy_j >= its.energy_j).all()


@given(TIMES, st.floats(0.0, 3000.0), st.floats(0.0, 1e8), BUDGETS)
@settings(max_examples=60, deadline=None)
def test_a_stopped_job_costs_less_than_a_whole_one_and_a_refused_one_nothing(now_s, train_s, bytes_, budgets):
    fleet = make_fleet(Rules(charging=True, idle=True), budgets)
    fleet.advance(now_s)
    phases = demands.price(fleet, fleet.ids, now_s, work(N, train_s, bytes_)).phases
    events = timeline.run(phases)
    arrived = events.outcome == Outcome.ARRIVED.code
    for done, whole in [
        (events.compute_j, phases.train_j),
        (events.radio_j, phases.down.energy_j + phases.up.energy_j),
        (events.total_s, phases.down.time_s + phases.train_s + phases.up.time_s),
    ]:
        assert (done <= whole * (1 + 1e-12)).all()
        np.testing.assert_allclose(done[arrived], whole[arrived])
    refused = phases.refused != Outcome.ARRIVED.code
    assert not events.total_s[refused].any()
    assert not (events.compute_j + events.radio_j)[refused].any()
