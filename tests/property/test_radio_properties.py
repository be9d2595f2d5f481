"""Radios against a walk through their states, one transfer after the other; and what they draw at any rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.devices import network
from fedlite.devices.channels import HANDSHAKES, Channels
from fedlite.devices.radio import radio
from fedlite.fleet import demands, population, timeline
from fedlite.fleet.booking import Facts, Jobs, book
from fedlite.fleet.demands import Demands
from fedlite.fleet.ledger import Ledger
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.scenario.profiles import load_profile, profile_names
from fedlite.simulation.availability import Always

START_S = 1000.0


class Roaming(Always):
    """At home for some seconds, then as long elsewhere, and so on."""

    def __init__(self, turn_s):
        self.turn_s = turn_s

    def eligible(self, ids, t_s, conditions):
        home = (np.asarray(t_s) // self.turn_s) % 2 == 0
        return np.broadcast_to(
            home | ("unmetered" not in conditions), np.broadcast_shapes(np.shape(ids), np.shape(t_s))
        )


class Walk:
    """One radio, walked through idle, ramp, active, tail and back; `spent_j` and `tail_j` are what it drew so far."""

    def __init__(self, name, generation):
        self.model, self.name = radio(name, generation), name
        self.spent_j = self.tail_j = 0.0
        self.last_s = -np.inf

    def move(self, begin_s, end_s, size, rate_bps, rtt_s, *, uplink):
        """Send or receive from `begin_s` on, stopped at `end_s` at the latest; return when it is done."""
        model, time_s = self.model, begin_s
        gap_s = begin_s - self.last_s
        self._doze(min(gap_s, model.tail_s))
        if gap_s >= model.tail_s:
            time_s = min(time_s + model.ramp_s, end_s)
            self.spent_j += (time_s - begin_s) * model.ramp_w
        base_w, slope = (model.up_base_w, model.up_w_per_bps) if uplink else (model.down_base_w, model.down_w_per_bps)
        most, holds = (model.up_most_bps, model.up_holds_bps) if uplink else (model.down_most_bps, model.down_holds_bps)
        rate_bps = min(rate_bps, most)
        air_s, greet_s = 8 * size / rate_bps, HANDSHAKES.get(self.name, 3) * rtt_s
        whole_j = air_s * (base_w + slope * min(rate_bps, holds)) + greet_s * model.down_base_w
        part = min(1.0, (end_s - time_s) / (air_s + greet_s))
        self.spent_j += part * whole_j
        self.last_s = time_s + part * (air_s + greet_s)
        return self.last_s

    def sleep(self):
        """Let the last tail run out."""
        if self.last_s > -np.inf:
            self._doze(self.model.tail_s)

    def _doze(self, time_s):
        if self.last_s > -np.inf:
            self.spent_j += time_s * self.model.tail_w
            self.tail_j += time_s * self.model.tail_w


def one_by_one(profile, jobs, *, access=None, turn_s=np.inf):
    """Let one device do jobs of (pause before, bytes down, seconds of training, bytes up, seconds until it is stopped).

    Returns the ledger's columns and the device's radios by name, walked through the same transfers.
    """
    people = population.draw([load_profile(profile)], [1.0], 1, seed=4, access=access)
    fleet = Fleet(people, Roaming(turn_s), Rules(), Budgets(), seed=4)
    ledger, walks, only, now_s = Ledger(), {}, np.array([0]), START_S
    for pause_s, down, train_s, up, stop_s in jobs:
        now_s += pause_s
        asked = Demands(*(np.array([float(value)]) for value in (down, up, 0.0, 0.0, 0.0, train_s)))
        priced = demands.price(fleet, only, now_s, asked)
        phases = replace(priced.phases, interrupted_s=np.array([stop_s]))
        events = timeline.run(phases)
        fleet.reserve(only)
        book(
            fleet,
            ledger,
            Jobs(
                1, "train", only, now_s, priced.charge_j, priced.plugged, events, priced.connected.links, asked, FACTS
            ),
        )
        name, rates = str(priced.connected.links.access[0]), priced.connected.rates
        walk = walks.setdefault(name, Walk(name, people.profiles[0].radio_generation))
        time_s, end_s = now_s, now_s + stop_s
        if down and time_s < end_s:
            time_s = walk.move(time_s, end_s, down, rates.down_bps[0], rates.rtt_s[0], uplink=False)
        time_s += train_s
        if up and time_s < end_s:
            time_s = walk.move(time_s, end_s, up, rates.up_bps[0], rates.rtt_s[0], uplink=True)
        now_s = float(now_s + events.total_s[0])
        assert now_s == pytest.approx(min(time_s, end_s), abs=1e-6)
    for walk in walks.values():
        walk.sleep()
    return ledger.columns(), walks


_NONE = np.zeros(1, dtype=np.int64)
FACTS = Facts(
    np.array(["full"]), _NONE, _NONE, _NONE, _NONE, np.zeros(1), np.array([""], dtype=object), np.ones(1), np.ones(1),
    np.zeros(1, dtype=bool),
)  # fmt: skip

KB = 1e3
FOR_EVER = np.inf
LTE = radio("lte", "s20-2021")
FULL_TAIL_J = 11.576 * 1.06
RAMP_J = 0.2601 * 1.2107


@pytest.mark.parametrize(
    ("jobs", "ramps", "tails_s"),
    [
        # A small job: one ramp, the pause between its transfers, one tail.
        ([(0, 30 * KB, 0.05, 30 * KB, FOR_EVER)], [1], [0.05 + 11.576]),
        ([(0, 30 * KB, 60.0, 30 * KB, FOR_EVER)], [2], [2 * 11.576]),
        # The next job cuts the tail, or not.
        ([(0, KB, 1.0, KB, FOR_EVER), (3.0, KB, 2.0, KB, FOR_EVER)], [1, 0], [1 + 11.576, -8.576 + 2.0 + 11.576]),
        ([(0, KB, 1.0, KB, FOR_EVER), (12.0, KB, 2.0, KB, FOR_EVER)], [1, 1], [1 + 11.576, 2 + 11.576]),
        # Nothing to send or nothing to receive wakes nobody; the tail of before goes on meanwhile.
        ([(0, 0, 5.0, 0, FOR_EVER)], [0], [0.0]),
        ([(0, KB, 5.0, 0, FOR_EVER), (1.0, 0, 4.0, KB, FOR_EVER)], [1, 0], [11.576, -1.576 + 11.576]),
        ([(0, KB, 5.0, 0, FOR_EVER), (1.0, 0, 9.0, KB, FOR_EVER)], [1, 1], [11.576, 11.576]),
        # Stopped at once, in training, and with the next job on its heels.
        ([(0, KB, 1.0, KB, 0.0)], [0], [0.0]),
        ([(0, KB, 50.0, KB, 20.0), (0.5, KB, 50.0, KB, 20.0)], [1, 1], [11.576, 11.576]),
        ([(0, KB, 50.0, KB, 5.0), (0.0, KB, 1.0, KB, FOR_EVER)], [1, 0], None),
    ],
)
def test_a_job_pays_for_the_ramps_and_the_tails_that_it_causes(jobs, ramps, tails_s):
    rows, walks = one_by_one("pixel-8", jobs, access="lte")
    assert rows["radio_j"].sum() == pytest.approx(walks["lte"].spent_j)
    assert rows["tail_j"].sum() == pytest.approx(walks["lte"].tail_j)
    if tails_s is not None:
        assert rows["tail_j"].tolist() == pytest.approx([1.06 * seconds for seconds in tails_s])
    moving_j = (rows["radio_j"] - rows["tail_j"]).tolist()
    for spent_j, count in zip(moving_j, ramps, strict=True):
        # Greetings and a few bytes take less than a joule more than the ramps.
        assert count * RAMP_J <= spent_j < count * RAMP_J + 1.0


def test_a_radio_that_is_stopped_in_its_ramp_pays_for_that_much_of_it_and_for_the_tail():
    rows, _ = one_by_one("pixel-8", [(0, 30 * KB, 1.0, KB, 0.1)], access="lte")
    assert rows["radio_j"][0] == pytest.approx(0.1 * 1.2107 + FULL_TAIL_J)
    assert rows["down_bytes"][0] == 0


# Never within a rounding error of a tail's length, where either of two states may be the right one.
SPANS = st.one_of(st.just(0.0), st.integers(0, 20_000).map(lambda number: (number + 0.37) / 1000))
SIZES = st.sampled_from([0, 1, 20 * KB, 300 * KB])
JOBS = st.lists(st.tuples(SPANS, SIZES, SPANS, SIZES, st.one_of(st.just(FOR_EVER), SPANS)), min_size=1, max_size=6)


@given(JOBS, st.floats(1.0, 60.0), st.sampled_from(["pixel-8", "nexus-5", "watch-wear-4100", "esp32-s3", "nrf52840"]))
@settings(max_examples=80, deadline=None)
def test_what_jobs_pay_is_what_the_radios_of_their_device_drew(jobs, turn_s, profile):
    rows, walks = one_by_one(profile, jobs, turn_s=turn_s)
    spent_j, tail_j = (sum(getattr(walk, name) for walk in walks.values()) for name in ("spent_j", "tail_j"))
    assert rows["radio_j"].sum() == pytest.approx(spent_j, rel=1e-9, abs=1e-9)
    assert rows["tail_j"].sum() == pytest.approx(tail_j, rel=1e-9, abs=1e-9)
    assert (rows["tail_j"] >= 0).all()
    assert (rows["radio_j"] >= rows["tail_j"] * (1 - 1e-12)).all()


@pytest.mark.parametrize("profile", sorted(profile_names()))
def test_no_radio_of_a_shipped_profile_draws_more_than_radios_do(profile):
    device = load_profile(profile)
    for name in {*device.radios, "wifi", "lte", "lte-2012", "5g-low", "3g"}:
        channels = Channels([(name, device.radio_generation)])
        kind = network.ACCESS[name]
        for uplink, spread in ((True, kind.up_bps), (False, kind.down_bps)):
            # The best place, and four times its own mean on a good day; a country's lines are faster still.
            rate_bps = spread.at(np.linspace(0, 1, 9))[:, None] * np.array([0.2, 1.0, 4.0, 20.0])
            rate_bps = rate_bps.ravel()
            only, size, none = np.zeros(rate_bps.size, np.int64), np.full(rate_bps.size, 1e9), np.zeros(rate_bps.size)
            done = channels.transfers(only, size, rate_bps, none, awake_s=none + 1.0, uplink=uplink)
            most_w = 9.0 if name == "5g-mmwave" else 6.0
            assert (done.active_j <= most_w * done.active_s).all(), (name, uplink)


@pytest.mark.parametrize("profile", ["nexus-5", "nexus-6", "redmi-note-4", "wileyfox-swift"])
def test_a_radio_of_2012_gets_the_rates_that_its_slopes_were_measured_at(profile):
    channels, only = Channels([("lte", load_profile(profile).radio_generation)]), np.zeros(2, np.int64)
    rates, none = np.array([8e6, 31e6]), np.zeros(2)
    up = channels.transfers(only, np.full(2, 1e7), rates, none, awake_s=none, uplink=True)
    assert up.active_s.tolist() == pytest.approx([10.0, 8.0])
    assert (up.active_j / up.active_s).tolist() == pytest.approx([1.28804 + 0.43839 * 8, 1.28804 + 0.43839 * 10])
    modern = Channels([("lte", "s20-2021")]).transfers(only, np.full(2, 1e7), rates, none, awake_s=none, uplink=True)
    assert modern.active_s.tolist() == pytest.approx([10.0, 80 / 31])


def test_a_microcontroller_s_wi_fi_is_no_faster_than_its_chip():
    channels, only = Channels([("wifi", "module")]), np.zeros(1, np.int64)
    fast, none = np.array([200e6]), np.zeros(1)
    up = channels.transfers(only, np.array([1e7]), fast, none, awake_s=none, uplink=True)
    assert up.active_s[0] == pytest.approx(8e7 / 20e6)
    assert channels.least_s(only, np.array([1e7]))[0] == pytest.approx(8e7 / 20e6)
