import numpy as np
import pytest

from fedlite.devices import network
from fedlite.errors import UnknownNameError

IDS = np.arange(40_000)


def test_drawn_percentiles_are_the_published_ones():
    rates = network.draw("lte", 3, IDS)
    down = np.percentile(rates.down_bps, [25, 50, 75]) / 1e6
    assert down == pytest.approx([73.4, 117.2, 161.7], rel=0.02)
    assert np.percentile(rates.rtt_s, [25, 50, 75]) * 1e3 == pytest.approx([70, 89, 101], rel=0.02)


def test_wifi_is_the_lognormal_of_the_flash_users():
    log_kb = np.log(network.draw("wifi", 3, IDS).down_bps / 8e3)
    assert log_kb.mean() == pytest.approx(8.551, abs=0.01)
    assert log_kb.std() == pytest.approx(0.484, rel=0.02)


def test_nothing_is_claimed_beyond_the_outer_percentiles():
    rates = network.draw("5g-mmwave", 3, IDS)
    assert rates.down_bps.min() == pytest.approx(94e6)
    assert rates.down_bps.max() == pytest.approx(2667e6)


@pytest.mark.parametrize("name", sorted(network.ACCESS))
def test_every_access_type_gives_positive_rates_that_depend_on_the_device_alone(name):
    rates = network.draw(name, 5, IDS[:100])
    again = network.draw(name, 5, IDS[:100][::-1])
    assert np.all(rates.down_bps > 0)
    assert np.all(rates.up_bps > 0)
    assert np.all(rates.rtt_s > 0)
    assert np.array_equal(rates.down_bps, again.down_bps[::-1])


@pytest.mark.parametrize("name", sorted(network.ACCESS))
def test_every_access_type_names_the_source_of_each_distribution(name):
    access = network.ACCESS[name]
    for distribution in (access.down_bps, access.up_bps, access.rtt_s):
        assert len(distribution.source) > 10
    assert len(access.within_source) > 10


def test_transfers_of_one_device_vary_by_the_published_ratio_about_its_own_rate():
    rates = network.draw("wifi", 3, np.zeros(20_000, dtype=int))
    same = np.zeros(20_000, dtype=int)
    now = network.Variation(["wifi"], 3).of(rates, same, same, np.arange(20_000))
    ratio = now.down_bps / rates.down_bps
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert ratio.std() == pytest.approx(0.37, rel=0.03)
    assert np.array_equal(now.rtt_s, rates.rtt_s)


def test_devices_on_different_networks_vary_as_each_does_alone():
    names, ids, jobs = ("lte", "lorawan", "wifi"), IDS[:60], IDS[:60] % 4
    rates, access_of = network.draw("lte", 3, ids), ids % 3
    mixed = network.Variation(names, 3).of(rates, access_of, ids, jobs)
    for device in ids:
        one = np.array([device])
        mine = network.Rates(rates.down_bps[one], rates.up_bps[one], rates.rtt_s[one])
        now = network.Variation([names[device % 3]], 3).of(mine, np.array([0]), one, jobs[one])
        assert (now.down_bps[0], now.up_bps[0]) == (mixed.down_bps[device], mixed.up_bps[device])
    steady = access_of == 1
    assert np.array_equal(mixed.up_bps[steady], rates.up_bps[steady])
    assert not np.any(mixed.up_bps[~steady] == rates.up_bps[~steady])


def test_a_region_moves_the_median_of_fixed_lines_and_keeps_their_shape():
    here, there = network.draw("wifi", 3, IDS), network.draw("wifi", 3, IDS, region="germany")
    assert np.median(there.down_bps) == pytest.approx(100e6, rel=0.02)
    assert np.ptp(there.down_bps / here.down_bps) == pytest.approx(0.0, abs=1e-9)


def test_a_region_says_nothing_of_mobile_networks():
    assert np.array_equal(network.draw("lte", 3, IDS, region="france").up_bps, network.draw("lte", 3, IDS).up_bps)


def test_places_that_are_bad_one_way_are_bad_the_other_way():
    rates = network.draw("wifi", 3, IDS)
    assert np.corrcoef(np.log(rates.down_bps), np.log(rates.up_bps))[0, 1] == pytest.approx(0.75, abs=0.02)


def test_only_mobile_networks_are_metered():
    metered = {name for name, access in network.ACCESS.items() if access.metered}
    assert metered == {"lte", "lte-2012", "3g", "5g-low", "5g-mmwave", "nb-iot"}


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="wifi"):
        network.draw("wlan", 3, IDS)
    with pytest.raises(UnknownNameError, match="germany"):
        network.draw("wifi", 3, IDS, region="atlantis")


def test_the_normal_approximations_are_inverse_to_each_other():
    u = np.linspace(0.001, 0.999, 999)
    assert network._normal_cdf(network._normal_quantile(u)) == pytest.approx(u, abs=2e-4)
