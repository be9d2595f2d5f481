"""What the server tells devices about when to come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.fleet.pace import JITTER, LEAST_S, MARGIN, MOST_S, Pace, forecast
from fedlite.fleet.rules import Rules
from fedlite.simulation.availability import GBOARD, Diurnal
from fedlite.units import DAY_S, HOUR_S

DAYLIGHT = np.where(np.arange(24) < 8, 4_000.0, 1_000.0)


@pytest.fixture
def steered(protocol):
    return replace(protocol, check_in=replace(protocol.check_in, steering=True))


def middles(pace, now_s, least_s=0.0):
    begin_s, end_s = pace.window(np.asarray(now_s, dtype=np.float64), least_s)
    return (begin_s + end_s) / 2 - now_s


def test_a_large_population_is_called_as_often_as_rounds_need_it(steered):
    # Ten are asked in each round of 270 s, out of two thousand that are about.
    pace = Pace(steered, np.full(24, 2_000.0))
    assert middles(pace, [0.0, 1e5]) == pytest.approx(2_000.0 * 270.0 / (10 * MARGIN))


def test_windows_follow_the_hours_so_that_calls_come_evenly(steered):
    pace = Pace(steered, DAYLIGHT)
    rate = MARGIN * 10 / 270.0
    now_s = 5 * HOUR_S
    until_s = now_s + float(middles(pace, [now_s])[0])
    seconds = np.arange(now_s, until_s, 1.0)
    called = (rate / DAYLIGHT[(seconds % DAY_S // HOUR_S).astype(int)]).sum()
    assert called == pytest.approx(1.0, rel=1e-3)


def test_a_window_is_as_wide_as_its_jitter_and_stays_within_its_clamp(steered):
    begin_s, end_s = Pace(steered, np.full(24, 2_000.0)).window(np.zeros(1))
    assert (end_s - begin_s) / (begin_s + end_s) == pytest.approx(JITTER)
    assert middles(Pace(steered, np.full(24, 1e9)), [0.0]) == pytest.approx(MOST_S)
    busy = Pace(replace(steered, selection=replace(steered.selection, asked=100_000, rounds=False)), np.full(24, 100.0))
    assert (busy.window(np.zeros(1))[0] >= (1 - JITTER) * LEAST_S).all()


def test_nobody_is_called_before_the_least_time(steered):
    begin_s, end_s = Pace(steered, np.full(24, 2_000.0)).window(np.array([7.0]), DAY_S)
    assert begin_s[0] == 7.0 + DAY_S
    assert end_s[0] >= begin_s[0] + LEAST_S


def test_longer_rounds_call_fewer_devices(steered):
    pace = Pace(steered, np.full(24, 2_000.0))
    before = middles(pace, [0.0])
    for _ in range(200):
        pace.note_round(540.0)
    assert middles(pace, [0.0]) == pytest.approx(2 * before, rel=1e-3)


def test_a_small_population_is_called_together(steered):
    pace = Pace(steered, np.full(24, 50.0))
    begin_s, end_s = pace.window(np.array([10.0, 200.0, 300.0, 400.0]))
    period_s = 120.0 + 270.0 + 5.0
    assert begin_s.tolist() == [period_s, period_s, period_s, 2 * period_s]
    assert (end_s - begin_s == 60.0).all()
    # Servers without rounds gain nothing by it.
    alone = replace(steered, selection=replace(steered.selection, rounds=False))
    assert Pace(alone, np.full(24, 50.0)).window(np.array([10.0]))[0] != period_s


def test_nobody_is_called_together_before_the_server_has_heard_from_them(protocol):
    small = replace(protocol, check_in=replace(protocol.check_in, steering=True))
    begin_s, end_s = Pace(small, np.full(24, 40.0)).first(np.array([1000.0]))
    assert (begin_s[0], end_s[0]) == (1000.0, 1300.0)


def test_without_steering_devices_come_back_as_the_protocol_says(protocol):
    begin_s, end_s = Pace(protocol, np.full(24, 2_000.0)).window(np.array([1000.0]))
    assert (begin_s[0], end_s[0]) == (1600.0, 1900.0)
    begin_s, end_s = Pace(protocol, np.full(24, 2_000.0)).window(np.array([1000.0]), 700.0)
    assert (begin_s[0], end_s[0]) == (1700.0, 1900.0)


def test_the_forecast_counts_who_meets_the_rules_hour_by_hour(checking_in):
    fleet = checking_in(n=6000, availability=Diurnal(4), rules=Rules(charging=True, unmetered=True, idle=True))
    about = forecast(fleet.presence, GBOARD, fleet.ids, 0.0)
    exact = [fleet.presence.holds(GBOARD, fleet.ids, (hour + 0.5) * HOUR_S).sum() for hour in range(24)]
    assert np.abs(about - exact).max() < 0.05 * 6000
    assert about[2] > 2.5 * about[14]
    assert (forecast(checking_in().presence, frozenset(), checking_in().ids, 0.0) == 200).all()
