"""What a use asks of a device: by hand-computed cases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fedlite.devices.duty import Use, duty
from fedlite.devices.estimate import Calibration, Estimate
from fedlite.devices.power import compute_energy
from fedlite.errors import FedliteError
from fedlite.scenario.profiles import load_profile

PHONE = load_profile("pixel-4")
TENTH = Estimate(0.1, 0.05, 0.2, Calibration.MEASURED)
SUSTAINED = float(PHONE.thermal.sustained.value)


def test_a_cold_device_answers_as_often_as_its_latency_says():
    found = duty(PHONE, TENTH, Use(2.0))
    assert found.per_s == 10.0
    assert found.sustained_per_s == pytest.approx(10.0 * SUSTAINED)
    assert found.busy == pytest.approx(0.2)


def test_it_gets_warm_only_if_it_has_no_rest():
    assert duty(PHONE, TENTH, Use(9.9)).busy == pytest.approx(0.99)
    assert duty(PHONE, TENTH, Use(10.0)).busy == pytest.approx(1.0 / SUSTAINED)
    board = replace(PHONE, thermal=None)
    assert duty(board, TENTH, Use(10.0)).busy == 1.0
    assert duty(board, TENTH, Use(1.0)).sustained_per_s == 10.0


@pytest.mark.parametrize(("deadline", "late"), [(0.2, 0.1), (0.05, 0.9), (0.1, 0.5), (math.inf, 0.0)])
def test_who_comes_late_follows_from_the_band(deadline, late):
    """The band holds 80 %: one device in ten is slower than its end, one in ten faster than its beginning."""
    assert duty(PHONE, TENTH, Use(1.0, deadline)).late == pytest.approx(late, abs=1e-9)


def test_all_come_late_where_the_device_does_not_keep_up():
    assert duty(PHONE, TENTH, Use(9.9, 10.0)).late < 1e-9
    # Ten a second make it warm, and then it is too slow.
    assert duty(PHONE, TENTH, Use(10.0, 10.0)).late == 1.0
    assert duty(PHONE, TENTH, Use(10.0)).late == 0.0


def test_a_device_that_is_asked_without_a_pause_may_be_quicker():
    found = duty(PHONE, TENTH, Use(2.0), waits_s=0.1, flat_out_s=0.02)
    assert (found.per_s, found.busy) == (50.0, 0.2)
    assert found.sustained_per_s == pytest.approx(50.0)


def test_a_latency_without_a_band_is_late_or_not():
    exact = Estimate(0.1, 0.1, 0.1, Calibration.MEASURED)
    assert [duty(PHONE, exact, Use(1.0, d)).late for d in (0.09, 0.11)] == [1.0, 0.0]


def test_a_battery_lasts_as_long_as_idle_and_inferences_let_it():
    energy = float(compute_energy(PHONE, TENTH, above_idle=True).value)
    power_w = float(PHONE.idle_w.value) + 2.0 * energy
    assert duty(PHONE, TENTH, Use(2.0)).hours_to_empty == pytest.approx(PHONE.battery_j.value / power_w / 3600.0)
    # Beyond what it can answer, more questions cost nothing more.
    assert duty(PHONE, TENTH, Use(50.0)).hours_to_empty == duty(PHONE, TENTH, Use(500.0)).hours_to_empty
    assert math.isinf(duty(replace(PHONE, battery_j=None), TENTH, Use(2.0)).hours_to_empty)


def test_waiting_for_a_server_takes_the_energy_that_is_told_and_is_not_slowed_by_heat():
    asked = duty(PHONE, TENTH, Use(2.0), waits_s=0.1, energy_j=0.05)
    power_w = PHONE.idle_w.value + 2.0 * 0.05
    assert asked.hours_to_empty == pytest.approx(PHONE.battery_j.value / power_w / 3600.0)
    assert asked.sustained_per_s == asked.per_s
    assert duty(PHONE, TENTH, Use(50.0), waits_s=0.1, energy_j=0.05).busy == pytest.approx(5.0)
    half = duty(PHONE, TENTH, Use(1.0), waits_s=0.05)
    slow = 1.0 / PHONE.thermal.sustained.value
    assert half.sustained_per_s == pytest.approx(1.0 / (0.05 + 0.05 * slow))


def test_a_use_of_nothing_is_refused():
    with pytest.raises(FedliteError, match="rate: got 0, expected above 0"):
        Use(0.0)
    with pytest.raises(FedliteError, match="deadline: got -1"):
        Use(1.0, -1.0)
