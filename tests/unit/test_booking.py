"""Booking: what the timeline says is what the devices pay and the ledger keeps."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.fleet import population
from fedlite.fleet.booking import Facts, Jobs, book
from fedlite.fleet.connections import Links
from fedlite.fleet.demands import Demands
from fedlite.fleet.ledger import Ledger
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.fleet.timeline import Timeline
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always

START_S = 1000.0
OUTCOMES = (Outcome.ARRIVED, Outcome.BATTERY_EMPTY, Outcome.OUT_OF_MEMORY, Outcome.LATE)


class Unplugged(Always):
    """Everything holds but the charger."""

    def eligible(self, ids, t_s, conditions):
        return np.broadcast_to("plugged" not in conditions, np.broadcast_shapes(np.shape(ids), np.shape(t_s)))


def make_fleet(profile="pixel-4", availability=None):
    people = population.draw([load_profile(profile)], [1.0], 4, seed=3)
    return Fleet(people, availability or Unplugged(), Rules(), Budgets(metered_bytes_per_month=1e9), seed=3)


def jobs(fleet, radio=(1.0, 1.0)):
    """Four jobs: one arrives, one is stopped half-way up, one is refused, one comes too late."""
    events = Timeline(
        outcome=np.array([outcome.code for outcome in OUTCOMES], np.int8),
        down_s=np.array([1.0, 2.0, 0.0, 3.0]),
        train_s=np.array([10.0, 20.0, 0.0, 30.0]),
        up_s=np.array([4.0, 5.0, 0.0, 6.0]),
        radio_j=np.array([0.5, 0.25, 0.0, 1.0]),
        tail_j=np.array([0.25, 0.125, 0.0, 0.5]),
        compute_j=np.array([8.0, 16.0, 0.0, 24.0]),
        down_share=np.array([1.0, 1.0, 0.0, 1.0]),
        up_share=np.array([1.0, 0.5, 0.0, 1.0]),
        awake_s=np.array([20.0, 27.5, -np.inf, 40.0]),
    )
    counts = np.array([40, 50, 60, 70])
    facts = Facts(
        plan=np.array(["full", "half", "full", "full"]),
        down_raw_bytes=counts * 100,
        up_raw_bytes=counts * 10,
        examples=counts,
        steps=counts // 10,
        loss=np.array([0.1, 0.2, 0.3, 0.4]),
        reason=np.full(4, "", dtype=object),
        energy_low=np.array([0.5, 0.5, 0.5, 0.25]),
        energy_high=np.array([2.0, 2.0, 2.0, 4.0]),
        diverged=np.zeros(4, bool),
    )
    asked = Demands(
        np.full(4, 2001.0), np.full(4, 1001.0), events.train_s, np.array([1e6, 2e6, 3e6, 4e6]), np.zeros(4), np.zeros(4)
    )
    low, high = (np.full(4, factor) for factor in radio)
    metered = np.array([False, True, False, True])
    links = Links(np.array(["wifi", "lte", "wifi", "lte"]), metered, ~metered, low, high)
    devices = np.array([2, 0, 3, 1])
    before_j = fleet.charge_at(devices, START_S)
    plugged = fleet.plugged(devices, START_S)
    return Jobs(7, "train", devices, START_S, before_j, plugged, events, links, asked, facts)


def booked(profile="pixel-4", availability=None, index=None, **options):
    fleet, ledger = make_fleet(profile, availability), Ledger()
    batch = jobs(fleet, **options)
    fleet.reserve(batch.devices)
    book(fleet, ledger, batch if index is None else batch.take(np.asarray(index)))
    return fleet, batch, ledger.columns()


def test_rows_hold_what_the_timeline_says():
    _, _, rows = booked()
    assert rows["device"].tolist() == [2, 0, 3, 1]
    assert rows["outcome"].tolist() == [str(outcome) for outcome in OUTCOMES]
    assert rows["round"].tolist() == [7] * 4
    assert rows["plan"].tolist() == ["full", "half", "full", "full"]
    assert rows["end_s"].tolist() == [1015.0, 1027.0, 1000.0, 1039.0]
    assert rows["energy_j"].tolist() == [8.5, 16.25, 0.0, 25.0]
    assert rows["down_bytes"].tolist() == [2001, 2001, 0, 2001]
    assert rows["up_bytes"].tolist() == [1001, 500, 0, 1001]
    assert rows["down_raw_bytes"].tolist() == [4000, 5000, 0, 7000]
    assert rows["up_raw_bytes"].tolist() == [400, 250, 0, 700]
    assert rows["peak_bytes"].tolist() == [1e6, 2e6, 3e6, 4e6]


def test_the_band_is_around_the_computing_by_each_jobs_own_factors():
    _, _, rows = booked()
    assert rows["energy_low_j"].tolist() == [4.5, 8.25, 0.0, 7.0]
    assert rows["energy_high_j"].tolist() == [16.5, 32.25, 0.0, 97.0]


def test_errors_of_computing_and_of_the_radio_add_in_quadrature():
    _, _, rows = booked(radio=(0.6, 1.6))
    # Of 24 J of computing 18 J may be missing or 72 J be too little, of 1 J of radio 0.4 J or 0.6 J.
    assert rows["energy_low_j"][3] == pytest.approx(25.0 - (18.0**2 + 0.4**2) ** 0.5)
    assert rows["energy_high_j"][3] == pytest.approx(25.0 + (72.0**2 + 0.6**2) ** 0.5)
    assert rows["energy_low_j"][2] == rows["energy_high_j"][2] == 0.0


def test_tails_are_told_and_radios_stay_awake_until_their_end():
    fleet, batch, rows = booked()
    assert rows["tail_j"].tolist() == [0.25, 0.125, 0.0, 0.5]
    for home, awake_s in ((True, [20.0, -np.inf, -np.inf, -np.inf]), (False, [-np.inf, 27.5, -np.inf, 40.0])):
        assert fleet.radio_awake_s(batch.devices, np.full(4, home), START_S).tolist() == awake_s


def test_work_counts_where_it_was_done_and_a_loss_where_it_arrived():
    _, _, rows = booked()
    assert rows["examples"].tolist() == [40, 50, 0, 70]
    assert rows["steps"].tolist() == [4, 5, 0, 7]
    assert rows["loss"][0] == 0.1
    assert np.isnan(rows["loss"][1:]).all()


def test_the_battery_pays_where_there_is_no_charger():
    fleet, batch, rows = booked()
    assert rows["battery_j"].tolist() == [8.5, 16.25, 0.0, 25.0]
    assert not rows["mains_j"].any()
    assert rows["battery_before_j"].tolist() == batch.battery_before_j.tolist()
    np.testing.assert_allclose(rows["battery_before_j"] - rows["battery_after_j"], rows["battery_j"])
    assert fleet.busy_until_s[batch.devices].tolist() == rows["end_s"].tolist()


def test_the_charger_pays_where_there_is_one():
    _, _, rows = booked(availability=Always())
    assert rows["mains_j"].tolist() == [8.5, 16.25, 0.0, 25.0]
    assert not rows["battery_j"].any()
    assert np.isfinite(rows["battery_before_j"]).all()
    assert rows["battery_after_j"].tolist() == rows["battery_before_j"].tolist()


def test_a_device_without_a_battery_has_no_charge_to_tell():
    _, _, rows = booked("pi-4b")
    assert rows["mains_j"].tolist() == [8.5, 16.25, 0.0, 25.0]
    assert np.isnan(rows["battery_before_j"]).all()
    assert np.isnan(rows["battery_after_j"]).all()


def test_what_is_paid_by_the_byte_is_counted_up_to_where_it_went():
    fleet, batch, rows = booked()
    assert rows["metered"].tolist() == [False, True, False, True]
    left = fleet.metered_left_bytes(batch.devices, START_S)
    assert left.tolist() == [1e9, 1e9 - 2501, 1e9, 1e9 - 3002]


def test_only_the_jobs_that_were_named_are_booked_in_their_order():
    fleet, batch, rows = booked(index=[3, 1])
    assert rows["device"].tolist() == [1, 0]
    assert rows["energy_j"].tolist() == [25.0, 16.25]
    assert rows["energy_low_j"].tolist() == [7.0, 8.25]
    assert rows["examples"].tolist() == [70, 50]
    assert rows["battery_before_j"].tolist() == pytest.approx(batch.battery_before_j[[3, 1]].tolist())
    assert np.isinf(fleet.busy_until_s[batch.devices[[0, 2]]]).all()
