"""Batteries within an hour and across hours, to the joule: four devices, one of each habit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fedlite.fleet.batteries import BLOCK, TICK_S, Batteries

FULL, SLOW, BARE, MAINS = range(4)
ALL = np.arange(4)


def value(number):
    return None if number is None else SimpleNamespace(value=number)


def profile(battery_j, charge_w, idle_w=0.5):
    return SimpleNamespace(battery_j=value(battery_j), charge_w=value(charge_w), idle_w=value(idle_w))


PROFILES = [profile(40_000.0, 10.0), profile(40_000.0, 0.05), profile(40_000.0, None), profile(None, None)]


def make(on_charger=(), start_s=0.0, charge_j=None):
    def plugged(devices, t_s):
        return np.isin(devices, on_charger)

    made = Batteries(PROFILES, np.arange(4, dtype=np.int16), plugged, seed=1, start_s=start_s)
    if charge_j is not None:
        made._charge_j[:3] = charge_j
    return made


def draw(batteries, device, when_s, energy_j):
    batteries.draw(np.array([device]), np.array([when_s]), np.array([energy_j]))


def left(batteries, device, now_s):
    return float(batteries.at(np.array([device]), now_s)[0])


@pytest.mark.parametrize("now_s", [0.0, 0.25, 1.0, 1800.0, TICK_S, TICK_S + 0.5, 5400.0, 3 * TICK_S + 7.0])
def test_an_idle_battery_loses_its_draw_at_every_moment(now_s):
    batteries = make(charge_j=20_000.0)
    assert batteries.at(ALL, now_s).tolist() == pytest.approx([20_000.0 - 0.5 * now_s] * 3 + [np.inf])
    assert batteries.at(ALL, now_s).tolist() == pytest.approx([20_000.0 - 0.5 * now_s] * 3 + [np.inf])


def test_a_plugged_battery_gains_its_charger_s_power_and_never_more_than_it_holds():
    batteries = make(on_charger=ALL, charge_j=20_000.0)
    assert left(batteries, FULL, 100.0) == pytest.approx(21_000.0)
    assert left(batteries, SLOW, 100.0) == pytest.approx(20_005.0)
    assert left(batteries, BARE, 100.0) == pytest.approx(20_000.0)
    assert left(batteries, FULL, 3000.0) == 40_000.0
    assert left(batteries, MAINS, 3000.0) == np.inf


def test_a_full_battery_on_a_slow_charger_is_filled_up_only_after_the_job():
    batteries = make(on_charger=ALL, charge_j=40_000.0)
    draw(batteries, SLOW, 1800.0, 1000.0)
    assert left(batteries, SLOW, 1800.0) == pytest.approx(39_000.0)
    assert left(batteries, SLOW, 3600.0) == pytest.approx(39_090.0)
    assert left(batteries, SLOW, 7200.0) == pytest.approx(39_270.0)


def test_two_jobs_in_one_hour_are_each_paid_at_their_own_end():
    batteries = make(on_charger=ALL, charge_j=40_000.0)
    draw(batteries, SLOW, 600.0, 100.0)
    draw(batteries, SLOW, 1600.0, 100.0)
    assert left(batteries, SLOW, 1600.0) == pytest.approx(39_850.0)
    assert left(batteries, SLOW, 2600.0) == pytest.approx(39_900.0)


def test_two_jobs_that_end_at_one_moment_cost_no_idling_between_them():
    batteries = make(charge_j=20_000.0)
    draw(batteries, FULL, 600.0, 100.0)
    draw(batteries, FULL, 600.0, 100.0)
    assert left(batteries, FULL, 600.0) == pytest.approx(20_000.0 - 300.0 - 200.0, abs=1e-6)
    assert left(batteries, FULL, 601.0) == pytest.approx(20_000.0 - 300.5 - 200.0, abs=1e-6)


def test_a_question_before_the_end_of_the_last_job_is_answered_as_of_that_end():
    batteries = make(charge_j=20_000.0)
    draw(batteries, FULL, 1000.0, 500.0)
    assert left(batteries, FULL, 10.0) == left(batteries, FULL, 1000.0) == pytest.approx(19_000.0)


def test_jobs_that_end_in_different_hours_are_booked_at_once():
    batteries = make(charge_j=20_000.0)
    batteries.draw(np.array([FULL, SLOW]), np.array([1800.0, 9000.0]), np.array([100.0, 200.0]))
    assert left(batteries, FULL, 9000.0) == pytest.approx(20_000.0 - 100.0 - 4500.0)
    assert left(batteries, SLOW, 9000.0) == pytest.approx(20_000.0 - 200.0 - 4500.0)


def test_an_empty_battery_stays_at_nothing():
    batteries = make(charge_j=10.0)
    assert left(batteries, FULL, 3600.0) == 0.0
    draw(batteries, FULL, 3600.0, 5.0)
    assert left(batteries, FULL, 3600.0) == 0.0


def test_a_run_that_starts_late_in_an_hour_begins_with_that_hour():
    batteries = make(start_s=2.5 * TICK_S, charge_j=20_000.0)
    assert left(batteries, FULL, 2 * TICK_S) == 20_000.0
    assert left(batteries, FULL, 3 * TICK_S) == pytest.approx(20_000.0 - 1800.0)


def test_what_is_promised_does_not_go_back():
    batteries = make(charge_j=20_000.0)
    batteries.reach(4 * TICK_S)
    batteries.reach(2 * TICK_S)
    assert left(batteries, FULL, 4 * TICK_S) == pytest.approx(20_000.0 - 7200.0)
    assert batteries._tick[FULL] == 4


def test_a_fleet_of_more_than_one_block_is_answered_in_its_order():
    n = BLOCK + 2
    many = Batteries(PROFILES, np.zeros(n, np.int16), lambda ids, _: np.zeros(len(ids), np.bool_), seed=1)
    before_j = many._charge_j.copy()
    assert many.at(np.arange(n)[::-1], 10.0).tobytes() == (before_j[::-1] - 0.5 * 10.0).tobytes()


def test_profiles_say_what_a_battery_holds_and_draws():
    batteries = make()
    assert batteries.capacity_j(ALL).tolist() == [40_000.0] * 3 + [np.inf]
    assert batteries.idle_w(ALL).tolist() == [0.5] * 4
