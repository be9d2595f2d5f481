"""Computing against asking: against sums by hand, where both are equal, and monotone in what it depends on."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import on_the_device, quantities
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.delivery.ask_server import AskServer
from fedlite.devices import network
from fedlite.devices.channels import HANDSHAKES
from fedlite.devices.estimate import Calibration, Estimate
from fedlite.devices.radio import radio
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError
from fedlite.planning.break_even import Request, ask, break_even
from fedlite.scenario.profiles import load_profile
from fedlite.techniques.technique import Recipe

PHONE, BOARD = load_profile("pixel-4"), load_profile("pi-4b")
PROFILES = (PHONE, BOARD, load_profile("wileyfox-swift"))


def at(distribution, quantile=0.5):
    return float(distribution.at(np.array([quantile]))[0])


def by_hand(profile, access, request):
    """Seconds and joules of one inference alone, from the radio's numbers."""
    kind, model = network.ACCESS[access], radio(access, profile.radio_generation)
    up, down, rtt = at(kind.up_bps), at(kind.down_bps), at(kind.rtt_s)
    up, down = min(up, model.up_most_bps), min(down, model.down_most_bps)
    greet = HANDSHAKES.get(access, 3) * rtt
    sending, hearing = 8 * request.up_bytes / up, 8 * request.down_bytes / down
    # Does the radio fall asleep while the server works?
    sleeps = request.server_s >= model.tail_s
    ramps = 1 + sleeps
    time_s = ramps * model.ramp_s + greet + sending + request.server_s + hearing
    up_w = model.up_base_w + model.up_w_per_bps * min(up, model.up_holds_bps)
    down_w = model.down_base_w + model.down_w_per_bps * min(down, model.down_holds_bps)
    tails_s = min(request.server_s, model.tail_s) + model.tail_s
    return time_s, (
        ramps * model.ramp_w * model.ramp_s
        + model.down_base_w * greet
        + up_w * sending
        + down_w * hearing
        + model.tail_w * tails_s
    )


@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.name)
@pytest.mark.parametrize("server_s", [0.0, 0.01, 30.0])
def test_one_inference_is_the_sum_of_its_parts(profile, server_s):
    for access in profile.radios:
        request = Request(5_000.0, 60.0, server_s)
        found, (time_s, energy_j) = ask(profile, access, request), by_hand(profile, access, request)
        assert float(found.time.value) == pytest.approx(time_s, rel=1e-12)
        assert float(found.energy.value) == pytest.approx(energy_j, rel=1e-12)


@pytest.mark.parametrize("access", ["wifi", "lte"])
def test_bands_hold_the_value_and_several_in_a_row_share_what_is_paid_once(access):
    request = Request(5_000.0, 60.0, 0.005)
    one, many = ask(PHONE, access, request), ask(PHONE, access, replace(request, at_once=20))
    for found in (one, many):
        for estimate in (found.time, found.energy):
            assert estimate.low < estimate.value < estimate.high
            assert estimate.calibration is Calibration.ASSUMED
    assert many.energy.value < 0.5 * one.energy.value
    assert many.time.value < one.time.value
    rtt = at(network.ACCESS[access].rtt_s)
    # Every one of them waits for its own round trip.
    assert many.time.value > rtt + request.server_s


@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.name)
@pytest.mark.parametrize("server_s", [0.01, 30.0])
def test_each_further_one_waits_for_a_round_trip_and_the_server_and_pays_for_both(profile, server_s):
    """Handshake, ramp and the last tail once; what each sends, and what the radio draws while it waits, each time."""
    for access in profile.radios:
        request = Request(5_000.0, 60.0, server_s)
        model, rtt = radio(access, profile.radio_generation), at(network.ACCESS[access].rtt_s)
        greet = HANDSHAKES.get(access, 3) * rtt
        time_s, energy_j = by_hand(profile, access, request)
        once_s = model.ramp_s + greet
        once_j = model.ramp_w * model.ramp_s + model.down_base_w * greet + model.tail_w * model.tail_s
        more_s, more_j = time_s - once_s + rtt, energy_j - once_j + model.down_base_w * rtt
        found = ask(profile, access, replace(request, at_once=8))
        assert 8 * float(found.time.value) == pytest.approx(once_s + 8 * more_s - rtt, rel=1e-9)
        assert 8 * float(found.energy.value) == pytest.approx(once_j + 8 * more_j - model.down_base_w * rtt, rel=1e-9)


def drawn_j(profile, access, request, every_s, count=2000):
    """Joules and seconds of each of many after the first, by the clock: the radio is on air, awake, or asleep."""
    model = radio(access, profile.radio_generation)
    alone_s, alone_j = by_hand(profile, access, request)
    ends_s = total_j = 0.0
    for number in range(count):
        starts_s = max(number * every_s, ends_s)
        gap_s = starts_s - ends_s if number else math.inf
        awake = gap_s < model.tail_s
        # Each is charged its own tail; what it cuts of the last one is given back.
        total_j += alone_j
        if awake:
            total_j -= model.ramp_w * model.ramp_s + model.tail_w * (model.tail_s - gap_s)
        ends_s = starts_s + alone_s - awake * model.ramp_s
    return (total_j - alone_j) / (count - 1), (ends_s - alone_s) / (count - 1)


# At 2 or 3 a second Wi-Fi sleeps after whom it was awake for, and stays awake after whom it woke up for.
@pytest.mark.parametrize("per_s", [0.05, 1.0, 2.0, 2.6, 3.0, 5.0, 1000.0])
def test_a_radio_that_is_asked_again_before_it_sleeps_neither_wakes_nor_ends_its_tail(per_s):
    for profile in PROFILES:
        for access in set(profile.radios) & {"wifi", "lte"}:
            request = Request(5_000.0, 60.0, 0.01)
            found = ask(profile, access, request, 1.0 / per_s)
            energy_j, each_s = drawn_j(profile, access, request, 1.0 / per_s)
            assert float(found.energy.value) == pytest.approx(energy_j, rel=4e-3)
            if per_s == 1000.0:
                # One follows the other.
                assert float(found.time.value) == pytest.approx(each_s, rel=4e-3)


def test_nothing_is_small_enough_where_greeting_alone_takes_too_long():
    greeting_s = float(ask(PHONE, "wifi", Request(1.0, 0.0)).time.value)
    rows = [compared(factor * greeting_s, 1.0, up_bytes=50.0, down_bytes=0.0, server_s=0.0) for factor in (0.9, 1.1)]
    assert rows[0]["wifi"]["even_bytes"] is None
    assert rows[1]["wifi"]["even_bytes"] > 1.0


def test_asking_takes_longer_with_more_bytes_and_a_slower_server():
    times = [float(ask(PHONE, "lte", Request(n, 60.0, s)).time.value) for n, s in ((1e3, 0), (1e5, 0), (1e5, 1.0))]
    assert times == sorted(times)
    assert times[2] == pytest.approx(times[1] + 1.0)


NET = Workload("", (10,), (Layer("0", OpClass.LINEAR, 10**6, 10**6, 10**6, 1000, 1000, 0),), 2000)


def compared(time_s, energy_j, profile=PHONE, fixed=0.5, **request):
    """Of a net of which a fixed share of time and energy does not grow with its work."""

    def price(net):
        share = fixed + (1 - fixed) * net.macs / NET.macs
        return [Estimate.within(share * value, 0.8, 1.2, Calibration.ONE_ANCHOR) for value in (time_s, energy_j)]

    asked = Request(**{"up_bytes": 5_000.0, "down_bytes": 60.0, "server_s": 0.005, "offline": 0.1, **request})
    return {one["access"]: one for one in break_even(profile, asked, NET, price)}


def test_there_is_a_row_for_each_access_type_of_the_device():
    assert list(compared(0.1, 0.1)) == list(PHONE.radios)
    json.dumps(compared(0.1, 0.1))


def test_who_wins_and_by_how_much_the_net_would_have_to_grow():
    small, large = compared(0.001, 1e-4)["wifi"], compared(10.0, 50.0)["wifi"]
    assert (small["faster"], small["cheaper"]) == ("device", "device")
    assert (large["faster"], large["cheaper"]) == ("server", "server")
    # Half of it is there whatever the net does.
    assert small["even_time_macs"] == pytest.approx(1e6 * (small["asked_ms"] / 0.5 - 1.0), rel=1e-3)
    assert small["even_energy_macs"] == pytest.approx(1e6 * (small["asked_mj"] / 0.05 - 1.0), rel=1e-3)
    assert large["even_time_macs"] is None  # what is fixed takes longer than asking
    assert small["even_bytes"] is None
    assert small["even_rtt_ms"] is None


@pytest.mark.parametrize(
    ("name", "access"), [("wileyfox-swift", "lte"), ("nucleo-h7a3zi", "wifi"), ("nucleo-g0b1re", "lorawan")]
)
def test_the_longest_request_is_as_fast_where_the_radio_is_slower_than_the_link(name, access):
    profile, request = load_profile(name), {"up_bytes": 50.0, "down_bytes": 8.0}
    here_s = 1.5 * float(ask(profile, access, Request(**request, server_s=0.005)).time.value)
    row = compared(here_s, 1.0, profile, fixed=1.0, **request)[access]
    at, beyond = (
        float(ask(profile, access, Request(factor * row["even_bytes"], 8.0, 0.005)).time.value) for factor in (1.0, 1.3)
    )
    assert 0.6 * here_s < at <= here_s * (1 + 1e-9) < beyond


def test_at_the_bytes_and_the_round_trip_that_are_told_both_are_equal(monkeypatch):
    here_s = 1.7
    row = compared(here_s, 1.0)["wifi"]
    request = Request(row["even_bytes"], 60.0, 0.005)
    assert float(ask(PHONE, "wifi", request).time.value) == pytest.approx(here_s, rel=1e-9)
    kind = network.ACCESS["wifi"]

    class Slow:
        def at(self, u):
            return np.full(np.shape(u), row["even_rtt_ms"] / 1e3)

    monkeypatch.setitem(network.ACCESS, "wifi", replace(kind, rtt_s=Slow()))
    assert float(ask(PHONE, "wifi", Request(5_000.0, 60.0, 0.005)).time.value) == pytest.approx(here_s, rel=1e-9)


def test_offline_the_device_computes_itself():
    row = compared(2.0, 1.0, offline=0.25)["wifi"]
    assert row["fallback_ms"] == pytest.approx(0.75 * row["asked_ms"] + 0.25 * 2000.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"up_bytes": -1.0}, "up_bytes: got -1.0, expected 0 or more"),
        ({"server_s": float("nan")}, "server_s: got nan"),
        ({"at_once": 0}, "at_once: got 0"),
        ({"offline": 1.0}, "offline: got 1.0, expected 0 up to below 1"),
    ],
)
def test_requests_that_make_no_sense_are_refused(options, said):
    with pytest.raises(FedliteError, match=said):
        Request(**{"up_bytes": 1.0, "down_bytes": 1.0, **options})


def test_a_delivery_says_the_same_of_its_options():
    with pytest.raises(PartError, match=r"offline: got 1\.5"):
        AskServer(offline=1.5)
    with pytest.raises(FedliteError, match="int9"):
        AskServer(codec=("int9",))


SMALL = Effort(rows=400, epochs=2, rounds=1)
BENCH = Bench("cnn", bench_task("digits", ("cnn",), SMALL), SMALL)


def test_a_model_on_a_server_lies_on_no_device_and_is_as_good():
    asked, full = (BENCH.run([Recipe(Plan(deliveries=parts))]) for parts in ((AskServer(),), ()))
    found, before = (quantities(one, BOARD, SMALL.batch) for one in (asked, full))
    assert (found["params"], found["macs"], found["stored_bytes"]) == (0, 0, 0)
    for same in ("accuracy", "macro_f1", "up_bytes", "down_bytes", "training_step_ms", "peak_memory_bytes"):
        assert found[same] == before[same]
    facts = {**asked.shipped.artefact.facts, **on_the_device(asked, BOARD)}
    assert facts["computed_ms"] == pytest.approx(before["latency_ms"]["value"])
    assert facts["computed_mj"] == pytest.approx(before["energy_mj"]["value"])
    request = Request(facts["request_bytes"], facts["answer_bytes"], 0.005, 1, 0.05)
    told = ask(BOARD, BOARD.radios[0], request)
    assert found["latency_ms"]["value"] == pytest.approx(1e3 * float(told.time.value))
    assert found["energy_mj"]["value"] == pytest.approx(1e3 * float(told.energy.value))
    assert facts["by_access"][0]["asked_ms"] == pytest.approx(found["latency_ms"]["value"])
    assert [one["access"] for one in facts["by_access"]] == list(BOARD.radios)
    assert on_the_device(full, BOARD) == {}
