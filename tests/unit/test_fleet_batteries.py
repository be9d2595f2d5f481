"""The charge of batteries over days with jobs in between: conserved, and independent of who asks when."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.fleet import demands, population, timeline
from fedlite.fleet.batteries import INITIAL_CHARGE, TICK_S
from fedlite.fleet.demands import Demands
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S, HOUR_S

N = 60
START_S = 20.3 * HOUR_S


def make_fleet():
    profiles = [load_profile(name) for name in ("pixel-4", "watch-wear-4100", "nrf52840", "pi-4b")]
    people = population.draw(profiles, [0.5, 0.2, 0.2, 0.1], N, seed=9)
    return Fleet(people, Diurnal(9), Rules(), Budgets(), seed=9, start_s=START_S)


def live(fleet, days=6.0, per_day=12):
    """Let random devices work at random times; return the jobs as (device, end, joules out of the battery)."""
    dice = stream(1, "test jobs")
    jobs = []
    for now_s in np.sort(dice.uniform(START_S, START_S + days * DAY_S, int(days * per_day))):
        fleet.advance(now_s)
        devices = dice.permutation(fleet.eligible(now_s))[:20]
        n = len(devices)
        asked = Demands(
            np.full(n, 1e6), np.full(n, 1e6), dice.uniform(0, 3000, n), np.full(n, 1e3), np.full(n, 1e3), np.zeros(n)
        )
        events = timeline.run(demands.price(fleet, devices, now_s, asked).phases)
        energy_j = events.compute_j + events.radio_j
        battery_j = np.where(fleet.plugged(devices, now_s) | fleet.on_mains(devices), 0.0, energy_j)
        fleet.reserve(devices)
        ends_s = now_s + events.total_s
        fleet.charge(devices, now_s, until_s=ends_s, energy_j=energy_j, battery_j=battery_j, metered_bytes=np.zeros(n))
        jobs += list(zip(devices.tolist(), ends_s.tolist(), battery_j.tolist(), strict=True))
    return jobs


def replay(fleet, device, charge_j, jobs, end_s):
    """Follow one battery second by second of what is known to happen to it; return its account."""
    profile = fleet.population.profiles[fleet.population.profile_of[device]]
    capacity_j, charge_w = profile.battery_j.value, profile.charge_w.value
    charged = drained = worked = 0.0
    tick = START_S // TICK_S * TICK_S
    moments = [*np.arange(tick + TICK_S, end_s, TICK_S).tolist(), *(when for when, _ in jobs), end_s]
    due = dict(jobs)
    now_s = tick
    for moment in sorted(set(moments)):
        middle_s = (now_s // TICK_S + 0.5) * TICK_S
        if bool(fleet.plugged(np.array([device]), middle_s)[0]):
            gain = min(charge_w * (moment - now_s), capacity_j - charge_j)
            charged, charge_j = charged + gain, charge_j + gain
        else:
            loss = min(profile.idle_w.value * (moment - now_s), charge_j)
            drained, charge_j = drained + loss, charge_j - loss
        if moment in due:
            worked, charge_j = worked + due[moment], charge_j - due[moment]
        now_s = moment
    return charge_j, charged, drained, worked


def test_charge_is_conserved_over_days_of_charging_idling_and_jobs():
    fleet = make_fleet()
    before_j = fleet.charge_at(fleet.ids, START_S // TICK_S * TICK_S)
    jobs = live(fleet)
    end_s = START_S + 7 * DAY_S
    final_j = fleet.charge_at(fleet.ids, end_s)
    flows = np.zeros(3)
    for device in np.flatnonzero(~fleet.on_mains(fleet.ids)).tolist():
        mine = [(when, joules) for who, when, joules in jobs if who == device]
        charge_j, charged, drained, worked = replay(fleet, device, float(before_j[device]), mine, end_s)
        assert final_j[device] == pytest.approx(charge_j, rel=1e-9, abs=1e-6)
        assert before_j[device] + charged - drained - worked == pytest.approx(final_j[device], rel=1e-9, abs=1e-6)
        flows += (charged, drained, worked)
    assert (flows > 1000).all()
    assert np.isinf(final_j[fleet.on_mains(fleet.ids)]).all()


def test_jobs_never_take_more_out_of_a_battery_than_is_in_it():
    fleet = make_fleet()
    jobs = live(fleet)
    charge_j = fleet.charge_at(fleet.ids, START_S + 6 * DAY_S)
    assert (charge_j >= 0).all()
    assert (charge_j <= fleet.capacity_of(fleet.ids)).all()
    assert any(joules > 0 for _, _, joules in jobs)


def test_reaching_a_time_in_many_steps_gives_the_bits_of_one():
    once, often = make_fleet(), make_fleet()
    end_s = START_S + 3 * DAY_S + 1234.5
    once.advance(end_s)
    for now_s in np.arange(START_S, end_s, 1777.0).tolist():
        often.advance(now_s)
        often.charge_at(often.ids[:: 1 + int(now_s) % 7], now_s)
    often.advance(end_s)
    assert often.charge_at(often.ids, end_s).tobytes() == once.charge_at(once.ids, end_s).tobytes()


def test_questions_of_others_in_any_order_change_no_bit_of_a_charge_or_a_job():
    quiet, nosy = make_fleet(), make_fleet()
    ask = nosy.eligible

    def eligible_and_more(now_s):
        nosy.charge_at(nosy.ids, now_s + 5 * DAY_S)
        nosy.charge_at(nosy.ids[::-1], now_s)
        nosy.charge_at(nosy.ids[3:9], now_s + 10.0)
        return ask(now_s)

    nosy.eligible = eligible_and_more
    assert live(nosy) == live(quiet)
    end_s = START_S + 7 * DAY_S
    assert nosy.charge_at(nosy.ids, end_s).tobytes() == quiet.charge_at(quiet.ids, end_s).tobytes()


def test_a_job_booked_long_after_its_end_is_paid_at_its_end_and_not_twice():
    early, late = make_fleet(), make_fleet()
    device = np.flatnonzero(~early.plugged(early.ids, START_S) & ~early.on_mains(early.ids))[:1]
    ends_s = np.array([START_S + 100.0])
    for fleet, booked_s in ((early, START_S), (late, START_S + 0.2 * HOUR_S)):
        fleet.advance(booked_s)
        fleet.charge(
            device, START_S, until_s=ends_s, energy_j=np.ones(1), battery_j=np.ones(1), metered_bytes=np.zeros(1)
        )
    now_s = START_S + DAY_S
    assert early.charge_at(device, now_s)[0] == late.charge_at(device, now_s)[0]


def test_runs_start_with_charges_in_the_assumed_range():
    fleet = make_fleet()
    owned = np.flatnonzero(~fleet.on_mains(fleet.ids))
    share = fleet.charge_at(owned, START_S // TICK_S * TICK_S) / fleet.capacity_of(owned)
    least, most = INITIAL_CHARGE
    assert least <= share.min() < least + 0.1
    assert most - 0.1 < share.max() <= most
