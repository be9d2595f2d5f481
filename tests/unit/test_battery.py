import numpy as np
import pytest

from fedlite.devices import battery


def test_a_plugged_device_charges_and_an_unplugged_one_drains():
    charge = battery.step(np.array([100.0, 100.0]), 1000.0, np.array([True, False]), 0.1, 10.0, 60.0)
    assert charge == pytest.approx([700.0, 94.0])


def test_charge_stays_between_empty_and_full():
    charge = battery.step(np.array([990.0, 3.0]), 1000.0, np.array([True, False]), 0.1, 10.0, 3600.0)
    assert list(charge) == [1000.0, 0.0]


def test_a_plugged_device_and_one_without_battery_pay_from_the_mains():
    from_battery, from_mains = battery.split(
        np.array([5.0, 5.0, 5.0]), np.array([False, True, False]), has_battery=np.array([True, True, False])
    )
    assert list(from_battery) == [5.0, 0.0, 0.0]
    assert list(from_mains) == [0.0, 5.0, 5.0]


def test_draining_never_goes_below_empty():
    assert list(battery.drain(np.array([10.0, 1.0]), 4.0)) == [6.0, 0.0]


def test_a_battery_lasts_until_its_floor():
    assert battery.lasts_s(1000.0, 400.0, 2.0) == pytest.approx(300.0)
    assert battery.lasts_s(300.0, 400.0, 2.0) == 0.0
    assert battery.lasts_s(300.0, 0.0, 0.0) == np.inf
