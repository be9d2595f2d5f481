import numpy as np
import pytest

from fedlite.devices import channels, radio
from fedlite.devices.channels import Channels
from fedlite.devices.network import ACCESS
from fedlite.errors import UnknownNameError

MB = 1e6


def transfer(name, generation, payload_bytes, rate_bps, rtt_s, *, uplink):
    """One transfer, or several, of a radio that was idle: seconds and joules, the tail included."""
    sizes = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (payload_bytes, rate_bps, rtt_s)))
    shape, (payload, rate, rtt) = sizes[0].shape, (values.ravel() for values in sizes)
    only, idle = np.zeros(payload.size, np.int64), np.zeros(payload.size)
    done = Channels([(name, generation)]).transfers(only, payload, rate, rtt, awake_s=idle, uplink=uplink)
    return done.time_s.reshape(shape), done.energy_j.reshape(shape)


def test_five_megabytes_over_wifi_of_2012_cost_twelve_joules():
    time_s, energy_j = transfer("wifi", "huang2012", 5 * MB, 10e6, 0.0, uplink=True)
    # (2.8317 + 0.13286) W for 4 s, 0.1244 W for 79.1 ms, 0.1193 W for 238.1 ms.
    assert time_s == pytest.approx(4.0 + 0.0791)
    assert energy_j == pytest.approx(11.85824 + 0.00984 + 0.02841, rel=1e-4)


def test_five_megabytes_over_lte_of_2012_cost_thirty_five_joules():
    time_s, energy_j = transfer("lte", "huang2012", 5 * MB, 10e6, 0.0, uplink=True)
    assert time_s == pytest.approx(4.0 + 0.2601)
    assert energy_j == pytest.approx((4.3839 + 1.28804) * 4 + 1.06 * 11.576 + 1.2107 * 0.2601, rel=1e-6)


def test_the_tail_costs_energy_but_no_time():
    model = radio.radio("lte", "huang2012")
    time_s, energy_j = transfer("lte", "huang2012", 1.0, 1e9, 0.0, uplink=False)
    assert time_s == pytest.approx(model.ramp_s, abs=1e-6)
    assert energy_j > model.tail_s * model.tail_w


def test_a_newer_radio_spends_less_per_bit():
    old = transfer("lte", "huang2012", 50 * MB, 30e6, 0.0, uplink=True)[1]
    new = transfer("lte", "s20-2021", 50 * MB, 30e6, 0.0, uplink=True)[1]
    assert new < 0.5 * old


def test_whole_phone_power_of_the_s20_is_its_radio_plus_the_subtracted_base():
    model = radio.radio("5g-mmwave", "s20-2021")
    assert model.down_base_w + radio._S20_BASE_W == pytest.approx(5.237)
    assert model.up_w_per_bps * 1e6 == pytest.approx(8.88e-3)


def test_a_small_nb_iot_report_costs_what_reports_are_said_to_cost():
    _, energy_j = transfer("nb-iot", "module", 100, 60e3, 1.6, uplink=True)
    assert 0.1 < energy_j < 1.0


def test_a_megabyte_over_lorawan_takes_two_days():
    time_s, _ = transfer("lorawan", "module", MB, 5470.0, 0.0, uplink=True)
    packets = np.ceil(MB / 222)
    air_s = (MB + 13 * packets) * 8 / 5470
    assert time_s == pytest.approx(air_s + air_s * 99 * (1 - 1 / packets))
    assert time_s / 3600 == pytest.approx(43, abs=0.5)


def test_one_lorawan_packet_need_not_wait_for_its_duty_cycle():
    time_s, _ = transfer("lorawan", "module", 51.0, 250.0, 0.0, uplink=True)
    assert time_s == pytest.approx((51 + 13) * 8 / 250)


def test_lorawan_says_in_a_sentence_why_a_megabyte_cannot_be_sent():
    reason = channels.infeasible("lorawan", "module", MB)
    assert reason is not None
    assert "43 hours" in reason
    assert "1% duty cycle" in reason
    assert reason.endswith(".")


def test_small_updates_are_feasible_even_on_slow_radios():
    assert channels.infeasible("lorawan", "module", 2_000) is None
    assert channels.infeasible("nb-iot", "module", 100_000) is None
    assert channels.infeasible("wifi", "module", 1e9) is None


def test_a_stricter_limit_makes_more_infeasible():
    assert channels.infeasible("nb-iot", "module", MB, within_s=3600.0) is None
    assert channels.infeasible("nb-iot", "module", MB, within_s=60.0) is not None


def test_best_times_are_those_that_infeasible_judges():
    sizes = np.array([1e3, 1e5, 1e6])
    best = channels.Channels([("lorawan", "module")]).least_s(np.zeros(3, np.int64), sizes)
    assert [channels.infeasible("lorawan", "module", size) is None for size in sizes] == list(best <= 86_400.0)


def test_a_radio_that_is_slower_than_its_network_decides():
    """An ESP32-class radio gets 20 Mbit/s at most, 216 GB a day, whatever the line does."""
    day_at_20_mbps = 86_400.0 * 20e6 / 8
    assert channels.infeasible("wifi", "module", 0.99 * day_at_20_mbps) is None
    assert "20,000,000 bit/s" in channels.infeasible("wifi", "module", 1.01 * day_at_20_mbps)
    assert channels.infeasible("wifi", "s20-2021", 1.01 * day_at_20_mbps) is None


def test_nothing_sent_costs_nothing():
    time_s, energy_j = transfer("lte", "huang2012", np.array([0.0, 1.0]), 10e6, 0.1, uplink=True)
    assert time_s[0] == energy_j[0] == 0.0
    assert time_s[1] > 0
    assert energy_j[1] > 0


def test_transfers_of_many_devices_equal_transfers_of_each():
    sizes, rates, rtts = np.array([1e3, 1e6, 1e7]), np.array([1e6, 5e6, 9e7]), np.array([0.01, 0.05, 0.2])
    time_s, energy_j = transfer("wifi", "s20-2021", sizes, rates, rtts, uplink=False)
    for n in range(3):
        one = transfer("wifi", "s20-2021", sizes[n], rates[n], rtts[n], uplink=False)
        assert (time_s[n], energy_j[n]) == (pytest.approx(one[0]), pytest.approx(one[1]))


@pytest.mark.parametrize("generation", sorted(radio.GENERATIONS))
@pytest.mark.parametrize("name", sorted(ACCESS))
def test_every_generation_has_sourced_positive_parameters_for_every_access_type(generation, name):
    model = radio.radio(name, generation)
    assert model.up_base_w > 0
    assert model.down_base_w > 0
    assert min(model.up_w_per_bps, model.down_w_per_bps, model.ramp_s, model.tail_s, model.tail_w) >= 0
    assert len(model.source) > 10


def test_an_unknown_generation_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="huang2012"):
        radio.radio("wifi", "huang2013")
