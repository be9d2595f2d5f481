"""When devices check in, what that costs them, and when they come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.fleet.check_in_cost import ANSWER_BYTES, REQUEST_BYTES
from fedlite.fleet.check_ins import CheckIns
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.protocol import StartUp
from fedlite.fleet.rules import Rules
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S, HOUR_S

KEYBOARD = Rules(charging=True, unmetered=True, idle=True)


def coming(fleet):
    return np.array([fleet.check_ins.comes_s(device) for device in range(len(fleet))])


def ended(fleet, outcome, end_s=1000.0):
    """Let every device have worked until then, and return when it comes back."""
    fleet.reserve(fleet.ids)
    assert np.isinf(coming(fleet)).all()
    n = len(fleet)
    fleet.check_ins.end_work(fleet.ids, np.full(n, outcome.code), 900.0, np.full(n, end_s))
    return coming(fleet) - end_s


def test_every_device_first_comes_at_a_time_of_its_own_within_the_first_window(checking_in):
    first = coming(checking_in(start_s=50.0))
    assert (first >= 50.0).all()
    assert (first < 350.0).all()
    assert len(np.unique(first)) == len(first)
    assert abs(first.mean() - 200.0) < 20.0


def test_who_comes_waits_and_is_told_to_come_back_when_nobody_asks(checking_in):
    fleet = checking_in(n=1)
    came_s = float(coming(fleet)[0])
    assert fleet.eligible(came_s - 0.1).tolist() == []
    assert fleet.eligible(came_s).tolist() == [0]
    assert fleet.eligible(came_s + 119.9).tolist() == [0]
    assert fleet.eligible(came_s + 120.1).tolist() == []
    assert fleet.check_ins.visits.in_vain.tolist() == [1]
    again_s = fleet.check_ins.comes_s(0) - (came_s + 120.0)
    assert 600.0 <= again_s <= 900.0


@pytest.mark.parametrize(
    ("outcome", "least_s", "most_s"),
    [
        (Outcome.ARRIVED, DAY_S, DAY_S),
        (Outcome.LATE, DAY_S, DAY_S),
        (Outcome.ABANDONED, DAY_S, DAY_S),
        (Outcome.INTERRUPTED, 720.0, 1080.0),
        (Outcome.BATTERY_EMPTY, 720.0, 1080.0),
        (Outcome.CLIENT_ERROR, 11_520.0, 17_280.0),
        (Outcome.OUT_OF_MEMORY, 11_520.0, 17_280.0),
    ],
)
def test_how_a_job_ended_decides_when_the_device_comes_back(checking_in, outcome, least_s, most_s):
    back = ended(checking_in(), outcome)
    assert (back >= least_s).all()
    assert (back <= most_s).all()


def test_a_shorter_gap_leaves_the_window_to_the_server(protocol, checking_in):
    back = ended(checking_in(protocol=replace(protocol, min_gap_s=0.0)), Outcome.ARRIVED)
    assert (back >= 600.0).all()
    assert (back <= 900.0).all()


def test_a_devices_own_period_holds_where_it_is_longer(protocol, checking_in):
    slow = replace(protocol, min_gap_s=0.0, check_in=replace(protocol.check_in, every_s=7200.0))
    assert (ended(checking_in(protocol=slow), Outcome.ARRIVED) >= 7200.0).all()


def test_who_waits_meets_the_rules_and_goes_when_it_no_longer_does(checking_in):
    fleet = checking_in(n=400, availability=Diurnal(4), rules=KEYBOARD)
    seen = 0
    for now_s in np.arange(0.0, 8 * HOUR_S, 317.0):
        waiting = fleet.eligible(float(now_s))
        assert fleet.presence.holds(KEYBOARD.conditions, waiting, float(now_s)).all()
        seen += len(waiting)
    assert seen > 100


def test_who_has_to_wait_for_the_rules_starts_some_time_after_they_hold(checking_in):
    noon = 12 * HOUR_S
    fleet = checking_in(n=400, availability=Diurnal(4), rules=KEYBOARD, start_s=noon)
    late = coming(fleet)
    late = np.flatnonzero((late > noon + 300.0) & np.isfinite(late))
    holds_s = fleet.presence.next_start_s(KEYBOARD.conditions, late, coming(fleet)[late] - 300.0)
    # With up to five minutes of slop, some time lies between what made it possible and the check-in.
    assert (coming(fleet)[late] - holds_s > 30.0).mean() > 0.5


def test_nothing_changes_by_asking_more_often(checking_in):
    often, seldom = (checking_in(n=300, availability=Diurnal(4), rules=KEYBOARD) for _ in range(2))
    for now_s in np.arange(0.0, DAY_S, 601.0):
        often.advance(float(now_s))
        often.eligible(float(now_s))
    often.advance(DAY_S)
    seldom.advance(DAY_S)
    assert often.check_ins.visits.digest == seldom.check_ins.visits.digest
    assert coming(often).tobytes() == coming(seldom).tobytes()
    assert often.check_ins.visits.count.sum() > 1000


def test_refused_devices_pay_and_never_wait(protocol, checking_in):
    fleet = checking_in(n=1000, protocol=replace(protocol, check_in=replace(protocol.check_in, refused=0.3)))
    seen = set()
    for now_s in np.arange(0.0, 3600.0, 60.0):
        seen.update(fleet.eligible(float(now_s)).tolist())
    assert (fleet.check_ins.visits.count > 0).all()
    assert 650 < len(seen) < 750
    refused = np.setdiff1d(fleet.ids, sorted(seen))
    assert (fleet.check_ins.visits.count[refused] == 1).all()
    assert (fleet.check_ins.visits.in_vain[refused] == 1).all()


def test_who_loses_a_condition_while_it_waits_came_in_vain(checking_in):
    fleet = checking_in(n=2000, rules=KEYBOARD, availability=Diurnal(4))
    when_s, came = coming(fleet).copy(), fleet.ids
    lost_s = fleet.presence.ends_s(KEYBOARD.conditions, came, when_s)
    soon = (lost_s < when_s + 119.0) & (lost_s < 1800.0)
    fleet.advance(1800.0)
    assert soon.sum() > 10
    assert (fleet.check_ins.visits.in_vain[soon] > 0).all()


def test_a_device_with_too_little_charge_does_not_come_and_pays_nothing(checking_in):
    fleet = checking_in(n=300, rules=Rules(min_battery=0.6), availability=Diurnal(4))
    low = ~fleet.charged(fleet.ids, coming(fleet))
    fleet.advance(310.0)
    assert 50 < low.sum() < 250
    assert (fleet.check_ins.visits.count > 0).tolist() == (~low).tolist()


def test_a_check_in_costs_the_same_whatever_jobs_may_take_of_the_processor(protocol, checking_in):
    costs = []
    for share in (1.0, 0.1):
        fleet = checking_in(protocol=replace(protocol, start_up=StartUp(3.0, 3.0, 3.0)))
        fleet.budgets = replace(fleet.budgets, cpu_share=share)
        fleet.advance(400.0)
        costs.append(fleet.check_ins.visits.sums["energy_j"])
    assert costs[0] == costs[1] > 0


def test_excluded_devices_never_come(protocol, checking_in):
    fleet = checking_in()
    fleet.excluded[:50] = True
    fleet.check_ins = CheckIns(fleet, protocol, fleet.check_ins.pace, seed=4, start_s=0.0)
    assert np.isinf(coming(fleet)[:50]).all()
    assert np.isfinite(coming(fleet)[50:]).all()


def test_starting_takes_a_lognormal_time_that_is_cut_off():
    taken = StartUp(2.0, 6.0, 10.0).draw_s(4, np.arange(4000), np.zeros(4000, dtype=np.int32))
    assert abs(np.median(taken) - 2.0) < 0.1
    assert abs(np.percentile(taken, 95) - 6.0) < 0.5
    assert taken.max() == 10.0


def test_a_check_in_comes_later_by_the_time_that_starting_takes(protocol, checking_in):
    slow = checking_in(protocol=replace(protocol, start_up=StartUp(2.0, 6.0, 10.0)))
    begun = coming(slow) - coming(checking_in())
    assert begun.tolist() == pytest.approx(StartUp(2.0, 6.0, 10.0).draw_s(4, slow.ids, slow.check_ins.visits.count))


def test_a_check_in_costs_a_start_a_request_and_an_answer(protocol, checking_in):
    fleet = checking_in(
        n=1, protocol=replace(protocol, start_up=StartUp(3.0, 3.0, 3.0)), access="lte", availability=Diurnal(4)
    )
    when_s = fleet.check_ins.comes_s(0)
    before_j = fleet.charge_at(fleet.ids, when_s)[0]
    fleet.advance(when_s)
    visits, profile = fleet.check_ins.visits, load_profile("pixel-4")
    start_j = 3.0 * (profile.active_w.value - profile.idle_w.value) / profile.threads
    on = fleet.connections.of(fleet.ids, np.array([True]), np.zeros(1, dtype=np.int32))
    channels, rates = fleet.connections.channels, on.rates
    size, none = np.array([1.0]), np.zeros(1)
    up = channels.transfers(
        on.channel_of, size * REQUEST_BYTES, rates.up_bps, rates.rtt_s, awake_s=none - 1.0, uplink=True
    )
    tail_s = channels.tail_s[on.channel_of]
    down = channels.transfers(on.channel_of, size * ANSWER_BYTES, rates.down_bps, none, awake_s=tail_s, uplink=False)
    expected_j = start_j + float(up.energy_j[0] + down.energy_j[0])
    assert visits.sums["energy_j"] == pytest.approx(expected_j, rel=1e-12)
    assert visits.sums["energy_low_j"] < expected_j < visits.sums["energy_high_j"]
    assert (visits.sums["up_bytes"], visits.sums["down_bytes"]) == (REQUEST_BYTES, ANSWER_BYTES)
    assert visits.metered_bytes.tolist() == [REQUEST_BYTES + ANSWER_BYTES]
    assert visits.battery_j[0] == pytest.approx(expected_j)
    assert fleet.charge_at(fleet.ids, when_s)[0] == pytest.approx(before_j - expected_j)
    # The radio is awake when the model comes, a moment later.
    assert fleet.radio_awake_s(fleet.ids, np.array([True]), when_s)[0] > 0


def test_a_charger_pays_for_the_check_in_of_a_device_that_is_plugged_in(checking_in):
    fleet = checking_in(n=50)
    fleet.advance(310.0)
    visits = fleet.check_ins.visits
    assert visits.sums["energy_j"] > 0
    assert visits.battery_j.sum() == 0


def test_the_next_arrivals_are_told_without_waiting_for_them(checking_in):
    fleet = checking_in()
    order = np.sort(coming(fleet))
    assert fleet.check_ins.next_arrival_s(0.0) == order[0]
    assert fleet.check_ins.next_arrival_s(0.0, 17) == order[16]
    assert fleet.check_ins.next_arrival_s(0.0, 201) == np.inf
    assert fleet.check_ins.next_arrival_s(0.0, 17, within_s=1.0) == np.inf
