import numpy as np
import pytest

from fedlite.devices.thermal import done_s, throttled_s


def test_short_work_is_not_slowed_down():
    assert throttled_s(200.0, 300.0, 0.5) == 200.0


def test_work_beyond_the_onset_runs_at_the_sustained_speed():
    assert throttled_s(400.0, 300.0, 0.5) == pytest.approx(300.0 + 200.0)


def test_a_warm_device_slows_down_earlier():
    assert throttled_s(100.0, 300.0, 0.5, warm_s=250.0) == pytest.approx(50.0 + 100.0)
    assert throttled_s(100.0, 300.0, 0.5, warm_s=900.0) == pytest.approx(200.0)


def test_a_cooled_device_never_slows_down():
    assert throttled_s(1e6, np.inf, 0.5) == 1e6


def test_done_work_is_the_inverse_of_the_time_it_takes():
    work = np.array([1.0, 299.0, 301.0, 5000.0])
    assert done_s(throttled_s(work, 300.0, 0.7), 300.0, 0.7) == pytest.approx(work)
