"""Every budget and every way in which a job can end: reached, and charged for what was done until then."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.devices import memory
from fedlite.devices.power import split
from fedlite.fleet import demands, population, timeline
from fedlite.fleet.demands import Demands
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always, Diurnal
from fedlite.units import DAY_S, HOUR_S, MONTH_S

MIB = 2**20
PI_EXTRA_W = 5.0 - 1.6
"""What computing adds to the idle draw of a pi-4b."""


class Until(Always):
    """Every condition holds until its own time, or for ever."""

    def __init__(self, **ends_s):
        self.last_s = ends_s

    def eligible(self, ids, t_s, conditions):
        return np.broadcast_to(np.asarray(t_s), np.shape(ids)) < self._end_s(conditions)

    def ends_s(self, ids, t_s, conditions):
        return np.full(np.shape(ids), max(self._end_s(conditions), t_s))

    def next_start_s(self, ids, t_s, conditions):
        return np.where(self.eligible(ids, t_s, conditions), t_s, np.inf)

    def _end_s(self, conditions):
        return min((self.last_s.get(condition, np.inf) for condition in conditions), default=np.inf)


def make_fleet(profile, n=1, *, rules=None, availability=None, access=None, **budgets):
    people = population.draw([load_profile(profile)], [1.0], n, seed=3, access=access)
    return Fleet(people, availability or Always(), rules or Rules(), Budgets(**budgets), seed=3)


def work(n=1, *, train_s=100.0, down=0.0, up=0.0, peak=0.0, storage=0.0):
    return Demands(*(np.full(n, float(value)) for value in (down, up, train_s, peak, storage, 0.0)))


def do(fleet, devices, now_s, asked):
    """Run jobs and book them, as a round does."""
    devices = np.asarray(devices)
    priced = demands.price(fleet, devices, now_s, asked)
    events = timeline.run(priced.phases)
    energy_j = events.compute_j + events.radio_j
    fleet.reserve(devices)
    fleet.charge(
        devices,
        now_s,
        until_s=now_s + events.total_s,
        energy_j=energy_j,
        battery_j=np.where(fleet.plugged(devices, now_s), 0.0, energy_j),
        metered_bytes=(asked.down_bytes * events.down_share + asked.up_bytes * events.up_share)
        * priced.connected.links.metered,
    )
    return events


def one(fleet, asked, now_s=0.0):
    """Run one job on device 0; return how it ended, its seconds and its joules."""
    events = do(fleet, [0], now_s, asked)
    joules = float(events.compute_j[0] + events.radio_j[0])
    return Outcome.of_code(int(events.outcome[0])), float(events.total_s[0]), joules


def test_a_share_of_the_cores_slows_the_job_and_leaves_its_energy():
    assert one(make_fleet("pi-4b"), work()) == (Outcome.ARRIVED, 100.0, pytest.approx(100 * PI_EXTRA_W))
    assert one(make_fleet("pi-4b", cpu_share=0.5), work()) == (Outcome.ARRIVED, 200.0, pytest.approx(100 * PI_EXTRA_W))


def test_processor_time_stops_the_job_and_a_share_stretches_it():
    assert one(make_fleet("pi-4b", cpu_time_s=60.0), work()) == (
        Outcome.CPU_BUDGET, 60.0, pytest.approx(60 * PI_EXTRA_W),
    )  # fmt: skip
    assert one(make_fleet("pi-4b", cpu_time_s=60.0, cpu_share=0.5), work()) == (
        Outcome.CPU_BUDGET, 120.0, pytest.approx(60 * PI_EXTRA_W),
    )  # fmt: skip
    assert one(make_fleet("pi-4b", cpu_time_s=100.0, cpu_share=0.5), work())[0] is Outcome.ARRIVED


def test_too_much_memory_first_slows_and_then_kills():
    room = load_profile("pi-4b").job_ram_bytes.value
    outcome, time_s, _ = one(make_fleet("pi-4b"), work(peak=1.2 * room))
    assert outcome is Outcome.ARRIVED
    assert time_s == pytest.approx(100 * (1 + 0.2 * memory.slow_slope()))
    assert time_s > 100
    assert one(make_fleet("pi-4b"), work(peak=1.01 * memory.WALL_AT * room)) == (Outcome.OUT_OF_MEMORY, 0.0, 0.0)


def test_a_memory_budget_is_a_wall_of_its_own():
    assert one(make_fleet("pi-4b", memory_bytes=200 * MIB), work(peak=201 * MIB))[0] is Outcome.OUT_OF_MEMORY
    assert one(make_fleet("pi-4b", memory_bytes=200 * MIB), work(peak=200 * MIB))[0] is Outcome.ARRIVED


def test_a_microcontroller_has_nothing_to_swap_to():
    room = load_profile("esp32-s3").job_ram_bytes.value
    assert one(make_fleet("esp32-s3"), work(peak=room))[:2] == (Outcome.ARRIVED, 100.0)
    assert one(make_fleet("esp32-s3"), work(peak=room + 1))[0] is Outcome.OUT_OF_MEMORY


def test_storage_is_what_the_device_has_or_what_the_scenario_allows():
    room = load_profile("pi-4b").storage_bytes.value
    assert one(make_fleet("pi-4b"), work(storage=room + 1)) == (Outcome.STORAGE_FULL, 0.0, 0.0)
    assert one(make_fleet("pi-4b"), work(storage=room))[0] is Outcome.ARRIVED
    assert one(make_fleet("pi-4b", storage_bytes=10 * MIB), work(storage=11 * MIB))[0] is Outcome.STORAGE_FULL


def test_metered_bytes_of_a_month_run_out_and_come_back_with_the_next_month():
    away = Until(unmetered=0.0)
    fleet = make_fleet("pixel-4", availability=away, metered_bytes_per_month=1_000_000)
    asked = work(train_s=1.0, down=200_000, up=200_000)
    times = [0.0, HOUR_S, DAY_S, 29 * DAY_S, MONTH_S, MONTH_S + DAY_S, MONTH_S + 2 * DAY_S]
    ended = [one(fleet, asked, now_s)[0] for now_s in times]
    arrived, capped = Outcome.ARRIVED, Outcome.DATA_CAP
    assert ended == [arrived, arrived, capped, capped, arrived, arrived, capped]


def test_unmetered_bytes_do_not_count_for_the_month():
    fleet = make_fleet("pixel-4", metered_bytes_per_month=1_000)
    assert one(fleet, work(train_s=1.0, down=200_000, up=200_000))[0] is Outcome.ARRIVED


def test_the_energy_of_a_day_runs_out_and_comes_back_with_the_next_day():
    fleet = make_fleet("pi-4b", energy_per_day_j=500.0)
    assert one(fleet, work())[0] is Outcome.ARRIVED
    outcome, time_s, energy_j = one(fleet, work(), HOUR_S)
    assert outcome is Outcome.ENERGY_BUDGET
    assert energy_j == pytest.approx(500 - 100 * PI_EXTRA_W)
    assert time_s == pytest.approx(energy_j / PI_EXTRA_W)
    assert one(fleet, work(), DAY_S)[0] is Outcome.ARRIVED


def test_a_battery_at_its_floor_stops_the_job_and_idle_draw_counts():
    profile = load_profile("pixel-4")
    fleet = make_fleet("pixel-4", 8, availability=Until(plugged=0.0), battery_floor=0.3)
    floor_j = 0.3 * profile.battery_j.value
    before_j = fleet.charge_at(fleet.ids, 0.0)
    events = do(fleet, fleet.ids, 0.0, work(8, train_s=40_000.0))
    assert set(events.outcome.tolist()) == {Outcome.BATTERY_EMPTY.code}
    drained_j = events.compute_j + profile.idle_w.value * events.total_s
    np.testing.assert_allclose(drained_j, before_j - floor_j)
    after_j = [float(fleet.charge_at(np.array([i]), events.total_s[i])[0]) for i in range(8)]
    np.testing.assert_allclose(after_j, floor_j)


def test_a_charger_carries_a_job_that_the_battery_could_not():
    fleet = make_fleet("pixel-4", battery_floor=0.3)
    before_j = fleet.charge_at(fleet.ids, 0.0)
    assert one(fleet, work(train_s=40_000.0))[0] is Outcome.ARRIVED
    assert fleet.charge_at(fleet.ids, 60_000.0)[0] >= before_j[0]


def test_nobody_is_asked_below_the_least_battery():
    fleet = make_fleet("pixel-4", 50, rules=Rules(min_battery=0.6), availability=Until(plugged=0.0), battery_floor=0.2)
    share = fleet.charge_at(fleet.ids, 0.0) / fleet.capacity_of(fleet.ids)
    assert fleet.eligible(0.0).tolist() == np.flatnonzero(share >= 0.6).tolist()
    assert 0 < len(fleet.eligible(0.0)) < 50


def test_what_a_link_can_never_carry_is_refused_before_and_after_encoding():
    fleet = make_fleet("nucleo-l4r5zi")
    assert one(fleet, work(train_s=1.0, down=1_000_000)) == (Outcome.INFEASIBLE_LINK, 0.0, 0.0)
    assert one(fleet, work(train_s=1.0, up=1_000_000))[0] is Outcome.INFEASIBLE_LINK
    assert one(fleet, work(train_s=1.0, down=100, up=100))[0] is Outcome.ARRIVED
    small, large = work(train_s=1.0, up=10), work(train_s=1.0, up=1_000_000)
    priced = demands.price(fleet, np.array([0]), 0.0, small)
    encoded = demands.price_uploads(fleet, priced, large, np.array([True]))
    assert timeline.run(encoded.phases).outcome[0] == Outcome.INFEASIBLE_LINK.code


@pytest.mark.parametrize(
    ("condition", "rule", "outcome"),
    [
        ("plugged", "charging", Outcome.UNPLUGGED),
        ("unmetered", "unmetered", Outcome.LOST_NETWORK),
        ("idle", "idle", Outcome.INTERRUPTED),
    ],
)
def test_what_the_rules_need_stops_a_job_when_it_stops_and_nothing_else_does(condition, rule, outcome):
    stops = Until(**{condition: 30.0})
    fleet = make_fleet("pixel-4", availability=stops, rules=Rules(**{rule: True}))
    compute_w = split(load_profile("pixel-4")).compute_w
    assert one(fleet, work()) == (outcome, 30.0, pytest.approx(30 * compute_w))
    assert one(make_fleet("pixel-4", availability=stops), work())[0] is Outcome.ARRIVED
    everything = Rules(charging=True, unmetered=True, idle=True)
    assert one(make_fleet("pixel-4", availability=stops, rules=everything), work())[0] is outcome


def test_under_daily_habits_each_loss_happens_when_its_condition_stops():
    habits = Diurnal(5)
    rules = Rules(charging=True, unmetered=True, idle=True)
    fleet = make_fleet("pixel-4", 3000, availability=habits, rules=rules)
    now_s = DAY_S + 2 * HOUR_S
    devices = fleet.eligible(now_s)
    events = timeline.run(demands.price(fleet, devices, now_s, work(len(devices), train_s=1000.0)).phases)
    for outcome, condition in [
        (Outcome.UNPLUGGED, "plugged"),
        (Outcome.LOST_NETWORK, "unmetered"),
        (Outcome.INTERRUPTED, "idle"),
    ]:
        lost = np.flatnonzero(events.outcome == outcome.code)
        assert len(lost) > 0
        ends_s = now_s + events.total_s[lost]
        assert not getattr(habits, condition)(devices[lost], ends_s).any()
        assert habits.eligible(devices[lost], ends_s - 1.0, rules.conditions).all()
    arrived = np.flatnonzero(events.outcome == Outcome.ARRIVED.code)
    assert habits.eligible(devices[arrived], now_s + events.total_s[arrived] - 1.0, rules.conditions).all()


def test_an_unattended_device_that_never_meets_a_rule_is_stopped_at_once():
    fleet = make_fleet("nucleo-u575zi", rules=Rules(unmetered=True))
    assert fleet.eligible(0.0).size == 0
    assert one(fleet, work(train_s=1.0)) == (Outcome.LOST_NETWORK, 0.0, 0.0)


def test_sustained_work_throttles_a_phone():
    assert one(make_fleet("pixel-4"), work(train_s=300.0))[1] == pytest.approx(300.0)
    assert one(make_fleet("pixel-4"), work(train_s=370.0))[1] == pytest.approx(400.0)
