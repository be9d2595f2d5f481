"""Who is in the fleet, who may be asked, and what a starved server is told."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.errors import FleetExhaustedError
from fedlite.fleet import population
from fedlite.fleet.batteries import TICK_S
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import GBOARD, Always, Diurnal, DiurnalHabits
from fedlite.units import DAY_S, HOUR_S

KEYBOARD = Rules(charging=True, unmetered=True, idle=True)


def make_fleet(names=("pixel-4",), shares=None, n=40, *, availability=None, rules=None, budgets=None, **more):
    profiles = [load_profile(name) for name in names]
    people = population.draw(profiles, shares or [1.0] * len(profiles), n, seed=4)
    return Fleet(people, availability or Always(), rules or Rules(), budgets or Budgets(), seed=4, **more)


def keep_busy(fleet, devices, until_s):
    devices = np.asarray(devices)
    nothing = np.zeros(len(devices))
    until = np.full(len(devices), until_s)
    fleet.reserve(devices)
    fleet.charge(devices, 0.0, until_s=until, energy_j=nothing, battery_j=nothing, metered_bytes=nothing)


@pytest.mark.parametrize(
    ("shares", "n", "counts"),
    [
        ([0.5, 0.3, 0.2], 20, [10, 6, 4]),
        ([0.5, 0.3, 0.2], 3, [1, 1, 1]),
        ([1, 1, 1], 10, [4, 3, 3]),
        ([0.9, 0.05, 0.05], 20, [18, 1, 1]),
        ([0.97, 0.03, 0.0], 1, [1, 0, 0]),
    ],
)
def test_a_population_has_its_shares_by_largest_remainders(shares, n, counts):
    profiles = [load_profile(name) for name in ("pixel-4", "pi-4b", "nrf52840")]
    people = population.draw(profiles, shares, n, seed=1)
    assert np.bincount(people.profile_of, minlength=3).tolist() == counts


def test_a_larger_fleet_deals_every_device_of_a_profile_the_same_link_as_before():
    small = population.draw([load_profile("pixel-4")], [1.0], 50, seed=1)
    large = population.draw([load_profile("pixel-4")], [1.0], 500, seed=1)
    assert large.home.down_bps[:50].tobytes() == small.home.down_bps.tobytes()
    assert large.away.up_bps[:50].tobytes() == small.away.up_bps.tobytes()


def test_eligible_devices_are_sorted_distinct_not_excluded_and_meet_the_rules():
    habits = Diurnal(4)
    excluded = np.arange(2000) % 3 == 0
    fleet = make_fleet(n=2000, availability=habits, rules=KEYBOARD, excluded=excluded)
    now_s = DAY_S + 3 * HOUR_S
    devices = fleet.eligible(now_s)
    expected = np.flatnonzero(habits.eligible(fleet.ids, now_s, GBOARD) & ~excluded)
    assert devices.tolist() == expected.tolist()
    assert len(devices) > 100


def test_busy_devices_are_free_again_exactly_when_their_job_ends():
    fleet = make_fleet(n=3)
    fleet.reserve(np.array([0]))
    keep_busy(fleet, [1], 50.0)
    assert fleet.eligible(49.9).tolist() == [2]
    assert fleet.eligible(50.0).tolist() == [1, 2]
    assert fleet.next_change_s(10.0) == 50.0


def test_under_a_charging_rule_mains_devices_always_serve_and_battery_nodes_never():
    habits = Diurnal(4)
    fleet = make_fleet(("pixel-4", "pi-4b", "nrf52840"), n=300, availability=habits, rules=Rules(charging=True))
    kind = fleet.population.profile_of
    for now_s in (3 * HOUR_S, 15 * HOUR_S):
        devices = fleet.eligible(now_s)
        phones = np.flatnonzero(kind == 0)
        assert devices[kind[devices] == 0].tolist() == phones[habits.plugged(phones, now_s)].tolist()
        assert (kind[devices] == 1).sum() == (kind == 1).sum()
        assert (kind[devices] == 2).sum() == 0
    assert 0 < len(fleet.eligible(15 * HOUR_S)) - 100 < 100


def test_night_in_its_time_zone_is_when_a_fleet_charges():
    night_s, noon_s = DAY_S + 3 * HOUR_S, DAY_S + 13 * HOUR_S
    here = make_fleet(n=1000, availability=Diurnal(4), rules=KEYBOARD)
    far = make_fleet(n=1000, availability=Diurnal(4, DiurnalHabits(time_zones_h=(-10.0,))), rules=KEYBOARD)
    assert len(here.eligible(night_s)) > 2.5 * len(here.eligible(noon_s))
    assert len(far.eligible(noon_s)) > 2.5 * len(far.eligible(night_s))


def test_a_starved_server_is_told_how_many_devices_lack_what():
    class Evening(Always):
        """Half of all devices are not charging, a quarter of all are in use; nobody is ever free of both."""

        def eligible(self, ids, t_s, conditions):
            left_out = {"plugged": ids % 2 == 0, "idle": ids % 4 == 1, "unmetered": ids < 0}
            return ~np.any([left_out[condition] for condition in conditions], axis=0)

        def next_start_s(self, ids, t_s, conditions):
            return np.full(len(ids), np.inf)

    excluded = np.arange(40) >= 36
    fleet = make_fleet(availability=Evening(), rules=KEYBOARD, excluded=excluded)
    keep_busy(fleet, [1, 3, 5], 1e6)
    with pytest.raises(FleetExhaustedError) as caught:
        fleet.next_change_s(0.0)
    text = str(caught.value)
    for part in ("40 devices", "4 that no plan fits", "3 busy", "18 not charging", "9 in use", "loosen fleet.rules"):
        assert part in text
    assert "metered" not in text
    assert "charge" not in text.replace("charging", "")


def test_too_little_charge_is_a_reason_too():
    fleet = make_fleet(rules=Rules(min_battery=0.999))
    lacking = 40 - len(fleet.eligible(0.0))
    assert f"{lacking} with too little charge" in fleet.why_starved(0.0)


def test_with_a_least_battery_the_next_change_is_never_later_than_the_next_tick():
    assert make_fleet(rules=Rules(min_battery=0.9)).next_change_s(0.5 * TICK_S) == TICK_S


def test_waiting_stops_at_the_first_device_that_starts_to_meet_the_rules():
    habits = Diurnal(4)
    fleet = make_fleet(n=30, availability=habits, rules=KEYBOARD)
    now_s = DAY_S + 12 * HOUR_S
    change_s = fleet.next_change_s(now_s)
    starts_s = habits.next_start_s(fleet.ids, now_s, GBOARD)
    assert change_s == starts_s[starts_s > now_s].min()
    assert set(fleet.eligible(change_s)) - set(fleet.eligible(change_s - 1.0))
