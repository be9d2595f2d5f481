"""Laws that hold for every device, time and size: exactness of availability, monotony and conservation of costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.devices import battery, carbon, network, radio
from fedlite.devices.channels import Channels
from fedlite.devices.thermal import done_s, throttled_s
from fedlite.simulation.availability import CONDITIONS, Diurnal, DiurnalHabits, TraceReplay
from fedlite.simulation.trace import build_trace

SECOND = 1.0
conditions = st.sets(st.sampled_from(CONDITIONS), min_size=1).map(frozenset)
devices = st.integers(0, 2**31 - 1)
times = st.floats(0.0, 30 * 86_400.0, allow_nan=False)
intervals = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 900), st.integers(1, 300)).map(
        lambda row: (row[0], float(row[1]), float(row[1] + row[2]))
    ),
    min_size=1,
    max_size=12,
)
zones = st.sampled_from([(0.0,), (-8.0, 5.5), (13.0, -11.0, 0.0)])


@st.composite
def availabilities(draw):
    if draw(st.booleans()):
        return Diurnal(draw(st.integers(0, 99)), DiurnalHabits(time_zones_h=draw(zones)))
    rows = {condition: draw(intervals) for condition in CONDITIONS}
    return TraceReplay(build_trace(rows), draw(st.integers(0, 99)))


@settings(max_examples=60, deadline=None)
@given(availabilities(), devices, times, conditions)
def test_what_holds_now_holds_until_just_before_its_end_and_not_at_it(availability, device, t, wanted):
    ids = np.array([device])
    end = float(availability.ends_s(ids, t, wanted)[0])
    if not availability.eligible(ids, t, wanted)[0]:
        assert end == t
        return
    assert end > t
    stop = min(end, t + 2 * 86_400.0)
    between = np.unique(
        np.clip(np.append(np.arange(t, stop, 30.0), np.ceil(stop) - SECOND), t, np.nextafter(stop, 0.0))
    )
    assert availability.eligible(np.full(len(between), device), between, wanted).all()
    if np.isfinite(end):
        assert not availability.eligible(ids, end, wanted)[0]


@settings(max_examples=60, deadline=None)
@given(availabilities(), devices, times, conditions)
def test_the_next_start_is_the_first_moment_at_which_all_hold(availability, device, t, wanted):
    ids = np.array([device])
    start = float(availability.next_start_s(ids, t, wanted)[0])
    assert start >= t
    if np.isfinite(start):
        assert availability.eligible(ids, start, wanted)[0]
    before = np.arange(t, min(start, t + 86_400.0), 20.0)
    assert not availability.eligible(np.full(len(before), device), before, wanted).any()


@settings(max_examples=30, deadline=None)
@given(availabilities(), st.lists(devices, min_size=2, max_size=20), times, conditions)
def test_answers_do_not_depend_on_who_else_is_asked_or_in_which_order(availability, ids, t, wanted):
    ids = np.array(ids)
    for ask in (availability.eligible, availability.ends_s, availability.next_start_s):
        together = ask(ids, t, wanted)
        assert np.array_equal(together[::-1], ask(ids[::-1], t, wanted))
        assert together[0] == ask(ids[:1], t, wanted)[0]


@given(
    st.sampled_from(sorted(network.ACCESS)), st.sampled_from(sorted(radio.GENERATIONS)), st.booleans(),
    st.floats(1.0, 1e8), st.floats(1.0, 1e8), st.floats(250.0, 1e9),
)  # fmt: skip
def test_more_bytes_never_take_less_time_or_energy(access, generation, uplink, one, other, rate_bps):
    small, large = sorted([one, other])
    two, sizes = np.zeros(2, np.int64), np.array([small, large])
    rates, rtts, idle = np.full(2, rate_bps), np.full(2, 0.1), np.zeros(2)
    done = Channels([(access, generation)]).transfers(two, sizes, rates, rtts, awake_s=idle, uplink=uplink)
    assert 0 < done.time_s[0] <= done.time_s[1]
    assert 0 < done.energy_j[0] <= done.energy_j[1]


@given(
    st.floats(0, 1e5),
    st.floats(1, 1e5),
    st.booleans(),
    st.floats(0, 5),
    st.floats(0, 20),
    st.floats(0, 1e5),
    st.floats(0, 1e5),
)
def test_two_battery_steps_equal_one_of_their_sum(charge_j, capacity_j, plugged, idle_w, charge_w, first_s, second_s):
    charge_j = min(charge_j, capacity_j)
    once = battery.step(charge_j, capacity_j, plugged, idle_w, charge_w, first_s + second_s)
    halfway = battery.step(charge_j, capacity_j, plugged, idle_w, charge_w, first_s)
    assert battery.step(halfway, capacity_j, plugged, idle_w, charge_w, second_s) == pytest.approx(once, abs=1e-6)
    assert 0 <= once <= capacity_j


@given(st.floats(0, 1e9), st.booleans(), st.booleans())
def test_what_the_battery_and_the_mains_pay_is_the_energy(energy_j, plugged, has_battery):
    from_battery, from_mains = battery.split(energy_j, plugged, has_battery=has_battery)
    assert from_battery + from_mains == energy_j
    assert min(from_battery, from_mains) >= 0


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1e4), st.floats(0.1, 1.0), st.floats(0, 1e4))
def test_throttling_never_speeds_up_and_is_undone_by_its_inverse(one, other, onset_s, sustained, warm_s):
    work = np.sort([one, other])
    elapsed = throttled_s(work, onset_s, sustained, warm_s=warm_s)
    assert np.all(elapsed >= work * (1 - 1e-12))
    assert elapsed[0] <= elapsed[1]
    assert done_s(elapsed, onset_s, sustained, warm_s=warm_s) == pytest.approx(work, rel=1e-9, abs=1e-6)


@given(st.sampled_from(sorted(carbon.GRIDS)), st.floats(0, 1e12), st.floats(0, 1e12))
def test_emissions_of_a_sum_are_the_sum_of_emissions(grid, one, other):
    assert carbon.grams(one + other, grid) == pytest.approx(carbon.grams(one, grid) + carbon.grams(other, grid))
