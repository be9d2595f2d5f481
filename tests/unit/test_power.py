import numpy as np
import pytest

from fedlite.devices import power
from fedlite.devices.estimate import Calibration, Estimate
from fedlite.scenario.profiles import load_profile

FULL = 1.9 * (2.84 / 1.71) ** 2
EXACT = Estimate(10.0, 10.0, 10.0, Calibration.MEASURED)


def test_energy_is_power_times_time():
    assert power.compute_energy(load_profile("pixel-4"), EXACT).value == pytest.approx(10 * FULL)


def test_power_and_time_belong_to_one_clock():
    """Measured at 1.71 GHz, where a step takes longer than the predicted one at 2.84 GHz."""
    phone = load_profile("pixel-4")
    assert phone.active_clock_hz.value == 1.71e9
    assert phone.active_w.value == pytest.approx(1.9 * (2.84 / 1.71) ** 2)
    assert load_profile("pi-4b").active_w.value == 5.0


def test_energy_above_idle_leaves_the_idle_power_out():
    assert power.compute_energy(load_profile("pixel-4"), EXACT, above_idle=True).value == pytest.approx(10 * FULL - 1)


def test_base_and_compute_power_add_up_to_the_active_power():
    for name in ("pixel-4", "pi-4b", "esp32-s3"):
        profile = load_profile(name)
        parts = power.split(profile)
        assert parts.base_w + parts.compute_w == pytest.approx(profile.active_w.value)


def test_a_measured_power_has_a_tighter_band_than_an_assumed_one():
    measured, assumed = (power.active_power(load_profile(name)) for name in ("pixel-4", "pixel-8"))
    assert (measured.high - measured.low) / measured.value < (assumed.high - assumed.low) / assumed.value
    assert measured.calibration is Calibration.MEASURED
    assert assumed.calibration is Calibration.ASSUMED


def test_a_measured_chip_may_take_more_on_another_board():
    band = power.active_power(load_profile("nucleo-l4r5zi"))
    assert band.high / band.value == pytest.approx(1.7)


def test_bands_of_power_and_time_add_in_quadrature():
    time = Estimate.within(np.array([1.0, 0.0]), 0.8, 1.3, Calibration.ONE_ANCHOR)
    watts = power.active_power(load_profile("pi-4b"))
    low, high = watts.low / watts.value, watts.high / watts.value
    energy = power.compute_energy(load_profile("pi-4b"), time)
    assert energy.low[0] == pytest.approx(5.0 * (1 - np.hypot(1 - low, 0.2)))
    assert energy.high[0] == pytest.approx(5.0 * (1 + np.hypot(high - 1, 0.3)))
    assert energy.value[1] == energy.low[1] == energy.high[1] == 0.0
    assert energy.calibration is Calibration.ONE_ANCHOR
