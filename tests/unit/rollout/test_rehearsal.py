"""Rehearsals: closed forms, what is conserved, and who is let in, served, stopped and taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.rollout.audience import Adoption, Audience
from fedlite.rollout.builds import assign
from fedlite.rollout.charges import Charges
from fedlite.rollout.delivery import Policy
from fedlite.rollout.gates import METHODS
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.heat import Heat
from fedlite.rollout.monitor import Watch
from fedlite.rollout.rehearsal import play
from fedlite.rollout.states import STATES, State
from fedlite.rollout.strategy import Ramp, Stage
from fedlite.rollout.summary import band, of_world, stacked
from fedlite.rollout.tally import tally
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S, HOUR_S
from tests.unit.rollout.conftest import COLD, MODEL_BYTES, NAMES, fleet_of, variant, world_of

GOOD = world_of()
NOON_S = 12 * HOUR_S


def counted(plan, fleet, world=GOOD, replication=0):
    return tally(plan, fleet, world, play(plan, fleet, world, replication))


def stages(*shares, hold_s=DAY_S, **more):
    return tuple(Stage(f"{share:.0%}", i + 1, share, hold_s, **more) for i, share in enumerate(shares))


def installs(method="sequential", on_fail="abort", **parameters):
    told = {"baseline": 0.01} if method in ("sequential", "exact") else {}
    gate = METHODS[method](
        **(told | {k: v for k, v in parameters.items() if k in METHODS[method].__dataclass_fields__})
    )
    others = {key: value for key, value in parameters.items() if key in Watch.__dataclass_fields__}
    return Watch("installs", "install_failure", gate, on_fail=on_fail, **({"every_s": HOUR_S} | others))


# -- closed forms -----------------------------------------------------------------------------------------------------


def test_everybody_is_there_and_is_let_in_at_once(plan, fleet):
    """One wave, nothing in the way: each device has the model when its own link has carried it, and no byte is lost."""
    played = play(plan, fleet, GOOD, 0)
    on = fleet.connections.of(fleet.ids, np.ones(len(fleet), bool), np.zeros(len(fleet), np.int32))
    moved = fleet.connections.channels.transfers(
        on.channel_of, np.full(len(fleet), MODEL_BYTES), on.rates.down_bps, on.rates.rtt_s,
        awake_s=np.zeros(len(fleet)), uplink=False,
    )  # fmt: skip
    assert np.array_equal(played.delivery.done_s, moved.time_s)
    assert played.delivery.radio_j == pytest.approx(moved.energy_j)
    told = tally(plan, fleet, GOOD, played)
    assert told.time_to_s.tolist() == np.sort(moved.time_s)[[999, 1799, 1899, 1979]].tolist()
    assert float(told.unmetered_bytes + told.metered_bytes) == MODEL_BYTES * len(fleet)
    days = (plan.horizon_s - moved.time_s) / DAY_S
    assert float(told.inference_j) == pytest.approx(0.05 * 20.0 * days.sum())


CURVES = {
    "android 2015": (Adoption((0.353, 0.329), (1.62 * DAY_S, 28.3 * DAY_S)),
                     {1: 15.5, 2: 28.9, 3: 33.7, 4: 36.4, 5: 38.9, 6: 40.0, 7: 42.1, 14: 48.4, 21: 52.6, 28: 55.9}),
    "ios 2012": (Adoption((0.246, 0.754), (0.58 * DAY_S, 4.75 * DAY_S)),
                 {1: 35, 2: 51, 3: 61, 4: 69, 5: 76, 6: 81, 7: 85, 8: 88.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_published_adoption_curves_come_out_within_three_points(with_, name):
    """neurons.dk 2015 and giacomoballi.com 2012: share updated by day, with the fitted two exponentials."""
    adoption, published = CURVES[name]
    fleet = fleet_of(20_000)
    done_s = play(with_(audience=Audience(by_hand=1.0, adoption=adoption)), fleet, GOOD, 0).delivery.done_s
    found = {day: 100 * float((done_s <= day * DAY_S).mean()) for day in published}
    assert max(abs(found[day] - published[day]) for day in published) <= 3.0


def test_apples_phases_reach_what_the_adoption_curve_makes_of_them(with_):
    """1, 2, 5, 10, 20, 50, 100 % by day with the iOS curve: at the end of each day 0.4, 0.9, 2.2, 9, 46, 74, 91 %."""
    audience = Audience(by_hand=1.0, adoption=CURVES["ios 2012"][0])
    fleet = fleet_of(20_000)
    phases = stages(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    done_s = play(with_(audience=audience, strategy=phases), fleet, GOOD, 0).delivery.done_s
    wanted = {1: 0.4, 2: 0.9, 3: 2.2, 5: 9.0, 7: 46.0, 10: 74.0, 14: 91.0}
    found = {day: 100 * float((done_s <= day * DAY_S).mean()) for day in wanted}
    assert {day: found[day] for day in wanted} == pytest.approx(wanted, rel=0.12, abs=0.25)


def test_the_download_takes_its_joules_from_the_batteries_of_its_class(plan, fleet):
    played = play(plan, fleet, GOOD, 0)
    told = tally(plan, fleet, GOOD, played)
    for index in range(len(NAMES)):
        mine = np.flatnonzero(fleet.population.profile_of == index)
        charge = np.sort(played.delivery.radio_j[mine] / fleet.capacity_of(mine))
        assert told.update_charge[index] == pytest.approx(np.quantile(charge, (0.05, 0.5, 0.95)))
        assert 0.0 < told.update_charge[index, 0] < told.update_charge[index, 2] < 0.1
    nobody = replace(plan, audience=Audience(opted_out=1.0))
    assert np.isnan(counted(nobody, fleet).update_charge).all()


# -- what is conserved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_fail", ["abort", "rollback", "pause"])
def test_every_device_is_in_one_state_and_every_byte_and_joule_is_counted(with_, on_fail):
    audience = Audience(opted_out=0.1, by_hand=0.5, adoption=Adoption((0.7,), (DAY_S,)), held_out=0.05,
                        full_storage=0.05, leave_per_month=0.2, every_s=HOUR_S)  # fmt: skip
    fleet = fleet_of(3000, availability=Diurnal(4))
    policy = Policy(frozenset({"plugged"}), failure=0.1, attempts=3, timeout_s=5 * DAY_S)
    made = with_(
        audience=audience, policy=policy, strategy=stages(0.05, 0.3, 1.0), watches=(installs(on_fail=on_fail),)
    )
    world = world_of((True, False), install_failure=[0.3, 0.01])
    played = play(made, fleet, world, 1)
    told = tally(made, fleet, world, played)
    assert played.trip is not None
    assert told.states.sum() == len(fleet)
    assert told.states.sum(axis=1).tolist() == np.bincount(fleet.population.profile_of).tolist()
    new, back = played.delivery, played.back
    assert float(told.metered_bytes + told.unmetered_bytes) == pytest.approx(
        sum(part.metered_bytes.sum() + part.unmetered_bytes.sum() for part in (new, back))
    )
    assert float(told.delivery_j + told.rollback_j) == pytest.approx(new.radio_j.sum() + back.radio_j.sum())
    never_begun = np.isinf(new.begun_s)
    assert new.radio_j[never_begun].sum() == new.unmetered_bytes[never_begun].sum() == 0.0
    assert (
        float(told.failed_attempts)
        == float(told.attempts) - np.isfinite(new.arrived_s).sum() - np.isfinite(back.arrived_s).sum()
    )
    at_end = told.coverage[:, -1].sum()
    assert at_end == told.variants.sum() <= told.states[:, State.UPDATED.code].sum()
    assert (np.isin(new.state, [state.code for state in STATES])).all()


def test_whoever_is_updated_runs_it_and_nothing_is_installed_too_late(with_):
    fleet = fleet_of(2000, availability=Diurnal(4))
    slow = Audience(by_hand=1.0, adoption=Adoption((1.0,), (DAY_S,)))
    made = with_(audience=slow, policy=Policy(flash_bps=2000.0), horizon_s=2 * DAY_S)
    told = counted(made, fleet)
    assert told.states[:, State.UNDER_WAY.code].sum() > 100
    assert told.coverage[:, -1].sum() == told.variants.sum() == told.states[:, State.UPDATED.code].sum() > 100
    leaving = counted(with_(audience=replace(slow, leave_per_month=0.9), policy=Policy(flash_bps=2000.0)), fleet)
    played = play(with_(audience=replace(slow, leave_per_month=0.9), policy=Policy(flash_bps=2000.0)), fleet, GOOD, 0)
    updated = played.delivery.state == State.UPDATED.code
    assert (played.delivery.done_s[updated] < played.members.leaves_s[updated]).all()
    assert leaving.states[:, State.LEFT.code].sum() > 50


def test_a_replication_does_not_depend_on_which_others_are_made(plan, fleet):
    some = [counted(plan, fleet, GOOD, r).arrays() for r in (0, 1, 2)]
    alone = counted(plan, fleet, GOOD, 2).arrays()
    assert all(np.array_equal(some[2][name], alone[name], equal_nan=True) for name in alone)
    assert any(not np.array_equal(some[0][name], alone[name], equal_nan=True) for name in alone)


# -- who is let in ----------------------------------------------------------------------------------------------------


def test_stages_let_in_shares_of_those_that_can_be_let_in(with_, fleet):
    made = with_(strategy=stages(0.01, 0.1, 1.0), audience=Audience(opted_out=0.2, held_out=0.1))
    played = play(made, fleet, GOOD, 0)
    can = ~played.members.opted_out
    counts = [int((played.let_in_s <= day * DAY_S).sum()) for day in range(3)]
    assert counts == [int(np.ceil(round(share * can.sum(), 9))) for share in (0.01, 0.1, 1.0)]
    first = played.let_in_s == 0.0
    assert played.members.rank[first].max() < played.members.rank[can & ~first].min()
    assert (played.delivery.state[played.members.held_out & can] == State.HELD_OUT.code).all()


def test_a_stage_is_for_its_profiles_and_may_be_a_count(with_, fleet):
    first = Stage("few pixels", 1, 0.0, DAY_S, count=25, profiles=np.array([False, True]))
    played = play(with_(strategy=(first, Stage("rest", 2, 1.0, 0.0))), fleet, GOOD, 0)
    early = played.let_in_s == 0.0
    assert early.sum() == 25
    assert set(fleet.population.profile_of[early]) == {1}
    assert (played.let_in_s[~early] == DAY_S).all()


def test_a_stage_may_wait_until_enough_are_installed_and_a_person_has_said_so(with_, fleet):
    slow = Audience(by_hand=1.0, adoption=Adoption((1.0,), (DAY_S,)))
    first = Stage("first", 1, 0.2, HOUR_S, installed=0.5, waits_s=HOUR_S)
    played = play(with_(audience=slow, strategy=(first, Stage("rest", 2, 1.0, 0.0))), fleet, GOOD, 0)
    done_s = np.sort(played.delivery.done_s[played.let_in_s == 0.0])
    second_s = played.let_in_s[played.let_in_s > 0].min()
    assert second_s == done_s[len(done_s) // 2 - 1] + HOUR_S


def test_a_rate_grows_with_those_it_let_in(with_, fleet):
    """AWS IoT's exponential rate: 60 a minute, doubled after each 500, at most 200."""
    ramp = Ramp(1.0, 200 / 60, 2.0, 500)
    played = play(with_(strategy=ramp), fleet, GOOD, 0)
    let_in_s = np.sort(played.let_in_s)
    assert let_in_s[:500].tolist() == pytest.approx(np.arange(500.0).tolist())
    assert np.diff(let_in_s[500:1000]) == pytest.approx(0.5)
    assert np.diff(let_in_s[1001:]) == pytest.approx(0.3)
    assert let_in_s[500] == pytest.approx(500.0)


def test_a_rate_may_grow_with_those_that_have_the_model(with_, fleet):
    by_hand = Audience(by_hand=1.0, adoption=Adoption((1.0,), (600.0,)))
    ramp = Ramp(1.0, 10.0, 2.0, 200, of_succeeded=True)
    played = play(with_(strategy=ramp, audience=by_hand), fleet, GOOD, 0)
    order = np.argsort(played.let_in_s)
    gaps = np.diff(played.let_in_s[order])
    done_s = np.sort(played.delivery.done_s)
    fast = np.flatnonzero(gaps < 0.75)[0]
    # The first gap of half a second follows the two hundredth device that has the model.
    assert abs(played.let_in_s[order][fast] - done_s[199]) <= 1.0
    assert np.isfinite(played.let_in_s).all()


# -- who is served ----------------------------------------------------------------------------------------------------


def test_a_device_never_gets_a_variant_whose_requirement_it_misses():
    rng = np.random.default_rng(5)
    for _ in range(200):
        memory, storage = rng.uniform(1e5, 1e8, 6), rng.uniform(1e5, 1e8, 6)
        kinds = [
            replace(
                variant(f"v{i}"), peak_bytes=rng.uniform(1e5, 1e8, 6), full_bytes=float(rng.uniform(1e5, 1e8)),
                latency_s=rng.uniform(0.01, 1.0, 6), inference_j=np.ones(6), accuracy=rng.uniform(0.5, 1.0, 6),
                meant_for=rng.random(6) < 0.8, most_latency_s=float(rng.uniform(0.1, 1.0)),
                least_memory_bytes=float(rng.uniform(0, 1e7)), least_storage_bytes=float(rng.uniform(0, 1e7)),
            )
            for i in range(3)
        ]  # fmt: skip
        heat = Heat(3, rng.uniform(0.1, 3.0, 6), rng.uniform(0.3, 1.0, 6))
        for best in (True, False):
            given = assign(kinds, memory, storage, heat, best_accuracy=best)
            fits = np.array([
                one.meant_for & (one.peak_bytes <= memory) & (memory >= one.least_memory_bytes)
                & (one.full_bytes <= storage) & (storage >= one.least_storage_bytes)
                & (np.where(3 * one.latency_s > heat.onset_s, one.latency_s / heat.sustained, one.latency_s)
                   <= one.most_latency_s) for one in kinds
            ])  # fmt: skip
            for profile, chosen in enumerate(given.variant_of):
                if chosen < 0:
                    assert not fits[:, profile].any()
                    assert given.why[profile] != State.UPDATED.code
                    continue
                assert fits[chosen, profile]
                best_of = [one.accuracy[profile] for one, fit in zip(kinds, fits[:, profile], strict=True) if fit]
                expected = max(best_of) if best else best_of[0]
                assert given.accuracy[profile] == expected


def test_downloads_keep_to_their_conditions_hours_and_charge(with_):
    fleet = fleet_of(1500, availability=Diurnal(4))
    policy = Policy(frozenset({"plugged", "unmetered"}), min_battery=0.6, hours=(22 * HOUR_S, 6 * HOUR_S), failure=0.0)
    made = with_(policy=policy)
    charges = Charges(fleet_of(1500, availability=Diurnal(4)), 0.0, made.horizon_s)
    played = play(made, fleet, GOOD, 0, charges)
    begun_s = played.delivery.last_begun_s
    began = np.flatnonzero(np.isfinite(begun_s))
    assert len(began) > 1300
    assert fleet.presence.holds(policy.conditions, began, begun_s[began]).all()
    clock_s = begun_s[began] % DAY_S
    assert ((clock_s >= 22 * HOUR_S) | (clock_s < 6 * HOUR_S)).all()
    assert (charges.next_s(began, begun_s[began], 0.6) == begun_s[began]).all()


def test_large_downloads_wait_for_a_network_that_costs_nothing(with_):
    fleet = fleet_of(1500, availability=Diurnal(4))
    played = {
        most: play(with_(policy=Policy(most_metered_bytes=most), start_s=NOON_S), fleet, GOOD, 0).delivery
        for most in (MODEL_BYTES - 1, MODEL_BYTES)
    }
    assert played[MODEL_BYTES - 1].metered_bytes.sum() == 0.0
    assert played[MODEL_BYTES].metered_bytes.sum() > 0.0
    assert played[MODEL_BYTES].begun_s.max() == NOON_S < played[MODEL_BYTES - 1].begun_s.max()


def test_downloads_that_break_off_are_paid_for_and_tried_again(with_, fleet):
    made = with_(policy=Policy(failure=0.5, attempts=3, retry_s=600.0))
    new = play(made, fleet, GOOD, 0).delivery
    failed = new.state == State.DOWNLOAD_FAILED.code
    assert failed.mean() == pytest.approx(0.125, abs=0.03)
    assert (new.attempts[failed] == 3).all()
    assert np.isin(new.attempts[~failed], (1, 2, 3)).all()
    again = new.attempts > 1
    assert (new.last_begun_s[again] - new.begun_s[again] >= 600.0).all()
    assert new.unmetered_bytes[~failed & ~again] == pytest.approx(MODEL_BYTES)
    # Some broke off before the first byte.
    assert (new.unmetered_bytes[again & ~failed] >= MODEL_BYTES).all()
    assert new.unmetered_bytes[again & ~failed].mean() > 1.4 * MODEL_BYTES


def test_a_download_that_loses_a_condition_begins_anew(with_, plan):
    fleet = fleet_of(800, availability=Diurnal(4))
    large = replace(plan.assigned, download_bytes=np.full(2, 500e6))
    needed = frozenset({"unmetered", "idle"})
    made = with_(assigned=large, policy=Policy(needed, attempts=20), start_s=NOON_S)
    new = play(made, fleet, GOOD, 0).delivery
    got = np.flatnonzero(np.isfinite(new.arrived_s))
    assert len(got) > 400
    assert (fleet.presence.ends_s(needed, got, new.last_begun_s[got]) >= new.arrived_s[got]).all()
    assert new.attempts[got].max() > 1
    assert new.unmetered_bytes[got[new.attempts[got] > 1]].min() > 500e6


def test_writing_takes_the_time_of_the_flash(with_, fleet):
    new = play(with_(policy=Policy(flash_bps=8e6)), fleet, GOOD, 0).delivery
    assert new.done_s - new.arrived_s == pytest.approx(MODEL_BYTES / 1e6)


def test_the_server_sends_at_most_what_all_get_at_once_and_differences_save_bytes(with_, plan, fleet):
    played = play(plan, fleet, GOOD, 0)
    told = tally(plan, fleet, GOOD, played)
    # All begin at the same moment, so the most is at the begin.
    assert float(told.peak_bps) == pytest.approx(played.delivery.rate_bps.sum())
    assert float(told.saved_bytes) == 0.0
    slow = play(with_(strategy=Ramp(0.02, 0.02)), fleet, GOOD, 0)
    one_by_one = tally(with_(strategy=Ramp(0.02, 0.02)), fleet, GOOD, slow)
    assert float(one_by_one.peak_bps) < 0.05 * float(told.peak_bps)
    less = with_(assigned=replace(plan.assigned, download_bytes=np.full(2, 1e6)))
    assert float(counted(less, fleet).saved_bytes) == 3e6 * len(fleet)


def test_who_may_not_in_time_and_who_leaves_never_gets_it(with_):
    fleet = fleet_of(1500, availability=Diurnal(4))
    made = with_(
        policy=Policy(frozenset({"plugged", "unmetered", "idle"}), timeout_s=6 * HOUR_S),
        audience=Audience(leave_per_month=0.5, by_hand=0.5, adoption=Adoption((0.8,), (10 * DAY_S,))),
    )
    new = play(made, fleet, GOOD, 0).delivery
    found = {state: int((new.state == state.code).sum()) for state in (State.POLICY, State.LEFT, State.OFFLINE)}
    assert min(found.values()) > 50
    assert found[State.OFFLINE] == pytest.approx(0.5 * 0.2 * 1500, rel=0.3)


def test_who_has_no_room_is_not_let_in_and_jitter_spreads_the_rest(with_, fleet):
    made = with_(audience=Audience(full_storage=0.3), policy=Policy(jitter_s=HOUR_S))
    played = play(made, fleet, GOOD, 0)
    full = played.delivery.state == State.STORAGE_FULL.code
    assert full.mean() == pytest.approx(0.3, abs=0.03)
    assert np.isinf(played.let_in_s[full]).all()
    begun_s = played.delivery.begun_s[~full]
    assert 0.4 * HOUR_S < begun_s.mean() < 0.6 * HOUR_S
    assert begun_s.max() < HOUR_S


# -- gates at work ----------------------------------------------------------------------------------------------------


def test_an_abort_stops_downloads_that_have_not_begun_and_a_rollback_takes_the_rest_back(with_, fleet):
    world = world_of((True, True), install_failure=0.3)
    slow = Audience(every_s=DAY_S)
    for on_fail in ("abort", "rollback", "pause"):
        made = with_(audience=slow, strategy=stages(0.2, 1.0), watches=(installs(on_fail=on_fail),))
        played = play(made, fleet, world, 0)
        stop_s, new = played.trip.when_s, played.delivery
        assert stop_s < DAY_S
        assert np.isinf(played.let_in_s).sum() == 1600
        after = np.isfinite(new.begun_s) & (new.begun_s > stop_s)
        assert after.any() == (on_fail == "pause")
        assert (new.state == State.STOPPED.code).any() == (on_fail != "pause")
        gone_back = new.state == State.ROLLED_BACK.code
        assert gone_back.any() == (on_fail == "rollback")
        if on_fail == "rollback":
            assert not (new.state == State.UPDATED.code).any()
            assert (played.back.done_s[gone_back] > stop_s).all()
        told = tally(made, fleet, world, played)
        assert float(told.blast_devices) == (new.done_s <= stop_s).sum()
        ran_s = np.where(new.state != State.INSTALL_FAILED.code, np.clip(stop_s - new.done_s, 0.0, None), 0.0)
        assert float(told.blast_device_s) == pytest.approx(ran_s.sum())
        assert float(told.blast_all) == np.isfinite(new.done_s).sum()
        assert (float(told.blast_all) > float(told.blast_devices)) == (on_fail == "pause")
        assert float(told.blast_left) == (new.state == State.UPDATED.code).sum()


@pytest.mark.parametrize("on_fail", ["abort", "pause"])
def test_a_rate_lets_in_nobody_after_the_stop(with_, fleet, on_fail):
    world = world_of((True, True), install_failure=0.5)
    watch = installs(on_fail=on_fail, every_s=60.0)
    made = with_(strategy=Ramp(0.5, 0.5, 1.0, 300), watches=(watch,), audience=Audience(held_out=0.1))
    played = play(made, fleet, world, 0)
    let_in = np.isfinite(played.let_in_s)
    assert 0 < let_in.sum() < 200
    assert played.let_in_s[let_in].max() <= played.trip.when_s
    told = tally(made, fleet, world, played).states.sum(axis=0)
    assert told[State.HELD_OUT.code] == played.members.held_out.sum()
    assert told[State.NOT_REACHED.code] > 1500


def test_a_gate_trips_at_the_look_at_which_its_threshold_is_reached(with_, fleet):
    world = world_of((True, True), install_failure=0.2)
    watch = installs("threshold", threshold=0.1, min_executed=50, every_s=600.0)
    played = play(with_(audience=Audience(every_s=DAY_S), watches=(watch,)), fleet, world, 0)
    done_s = np.sort(played.delivery.done_s)
    fiftieth_s = done_s[np.isfinite(done_s)][49]
    assert played.trip.when_s == np.ceil(fiftieth_s / 600.0) * 600.0
    assert played.trip.devices == (played.delivery.done_s <= played.trip.when_s).sum()


def test_gates_by_class_find_the_class_that_is_bad_and_divide_their_level(with_):
    fleet = fleet_of(4000)
    world = world_of((False, True), install_failure=[0.0, 0.3])
    watch = replace(installs(), by_class=True)
    trip = play(with_(audience=Audience(every_s=DAY_S), watches=(watch,)), fleet, world, 0).trip
    assert trip.profile == 1


def test_the_control_arm_reports_beside_the_treated_one(with_):
    fleet = fleet_of(6000)
    gates = {
        "crash": METHODS["sequential"](), "accuracy": METHODS["msprt"](direction="decrease"),
        "latency_p95": METHODS["mann-whitney"](),
    }  # fmt: skip
    worse = world_of((True, True), crashes=0.2, drop=0.1, factor=2.0)
    for metric, gate in gates.items():
        watch = Watch(metric, metric, gate, every_s=6 * HOUR_S)
        made = with_(audience=Audience(held_out=0.3, every_s=2 * DAY_S), watches=(watch,))
        assert play(made, fleet, worse, 0).trip is not None, metric
        if metric != "latency_p95":
            assert play(made, fleet, GOOD, 0).trip is None, metric


def test_gates_look_from_their_stage_on_and_forgive_as_often_as_they_are_told(with_, fleet):
    world = world_of((True, True), install_failure=0.4)
    plain = {"audience": Audience(every_s=DAY_S), "strategy": stages(0.3, 1.0)}
    at_once = play(with_(**plain, watches=(installs(),)), fleet, world, 0).trip
    late = play(with_(**plain, watches=(installs(from_stage=2),)), fleet, world, 0).trip
    mild = play(with_(**plain, watches=(installs(failure_limit=3),)), fleet, world, 0).trip
    assert at_once.when_s < DAY_S < late.when_s
    assert mild.when_s == at_once.when_s + 3 * HOUR_S


def test_crashes_that_come_later_than_the_report_are_not_seen(with_):
    fleet = fleet_of(4000)
    watch = Watch("crash", "crash", METHODS["exact"](baseline=0.01), every_s=HOUR_S)
    made = with_(watches=(watch,))
    soon, late = (world_of((True, True), crashes=1.0, after_s=days * DAY_S) for days in (0, 2))
    assert play(made, fleet, soon, 0).trip is not None
    assert play(made, fleet, late, 0).trip is None


# -- what it comes to -------------------------------------------------------------------------------------------------


def test_bands_are_values_that_occurred_and_never_is_none():
    values = np.array([1.0, 2.0, 3.0, np.inf])
    assert band(values) == {"p5": 1.0, "p50": 2.0, "p95": None}


def test_a_world_is_told_with_everything_that_a_plan_is_judged_by(with_, fleet):
    made = with_(strategy=stages(0.1, 1.0), watches=(installs(),), audience=Audience(every_s=HOUR_S))
    bad = world_of((True, False), install_failure=[0.4, 0.0])
    devices = np.bincount(fleet.population.profile_of)
    for world in (GOOD, bad):
        runs = stacked([counted(made, fleet, world, r) for r in range(5)])
        told = of_world(world, made.watches, runs, NAMES, devices, made.assigned.names)
        assert told["p_abort"] == (1.0 if world is bad else 0.0)
        assert (told["p_detect"], told["p_false_abort"]) == ((1.0, None) if world is bad else (None, 0.0))
        assert (told["detect_time_s"] is None) == (world is GOOD)
        assert (told["blast_radius"]["devices"]["p50"] > 0) == (world is bad)
        assert sum(one["p50"] for one in told["coverage"].values()) > (1.9 if world is GOOD else -1)
    assert told["bad_classes"] == ["galaxy-a52"]


def test_a_paid_link_is_paid_for_whatever_its_owner_does(with_):
    paid = fleet_of(300, access="lte")
    free_only = with_(policy=Policy(conditions=frozenset({"unmetered"})))
    played = play(free_only, paid, GOOD, 0)
    assert (played.delivery.state == State.POLICY.code).all()
    small = with_(policy=Policy(most_metered_bytes=1e6))
    assert not play(small, paid, GOOD, 0).delivery.metered_bytes.any()
    assert play(with_(), paid, GOOD, 0).delivery.metered_bytes.all()
    home = fleet_of(300, access="wifi")
    assert (play(free_only, home, GOOD, 0).delivery.state == State.UPDATED.code).all()


def test_jitter_is_drawn_from_when_a_device_could_so_that_a_window_does_not_let_all_in_at_once(with_, fleet):
    night = (HOUR_S, 5 * HOUR_S)
    for jitter_s, last_s in ((2 * HOUR_S, 3 * HOUR_S), (10 * HOUR_S, 5 * HOUR_S)):
        made = with_(policy=Policy(hours=night, jitter_s=jitter_s), start_s=12 * HOUR_S)
        begun_s = play(made, fleet, GOOD, 0).delivery.begun_s - DAY_S
        assert night[0] <= begun_s.min() < night[0] + 60.0
        assert begun_s.mean() == pytest.approx((night[0] + last_s) / 2.0, rel=0.02)
        assert last_s - 60.0 < begun_s.max() <= last_s
    spread, rush = (
        float(tally(made, fleet, GOOD, play(made, fleet, GOOD, 0)).peak_bps)
        for made in (with_(policy=Policy(hours=night, jitter_s=x), start_s=12 * HOUR_S) for x in (4 * HOUR_S, 0.0))
    )
    assert rush > 20 * spread


def test_the_control_arm_is_made_of_devices_that_would_have_it_by_then(with_):
    # One class is on a paid link in a plan that waits for a free one; it is also the less accurate one.
    mixed = fleet_of(2000, names=("galaxy-a52", "nucleo-u575zi"))
    both = np.ones(2)
    assigned = assign(
        [variant(accuracy=np.array([0.9, 0.6]), peak_bytes=1e3 * both, download_bytes=1e3, full_bytes=1e3)],
        mixed.hardware.job_ram_bytes, mixed.hardware.storage_bytes, COLD, best_accuracy=True,
    )  # fmt: skip
    made = with_(
        assigned=assigned, audience=Audience(held_out=0.3), policy=Policy(conditions=frozenset({"unmetered"})),
        watches=(Watch("accuracy", "accuracy", Msprt(direction="decrease"), every_s=6 * HOUR_S),),
    )  # fmt: skip
    made = replace(made, old=replace(made.old, accuracy=np.array([0.9, 0.6])))
    trips = [play(made, mixed, GOOD, number) for number in range(40)]
    assert sum(one.trip is not None for one in trips) <= 4
    control = np.isfinite(trips[0].delivery.stands_by_s)
    assert 0.2 < control[mixed.population.profile_of == 0].mean() < 0.4
    assert not control[mixed.population.profile_of == 1].any()
    # They stand by as others have it, at the same times.
    runs_s = trips[0].delivery.runs_s
    assert np.median(trips[0].delivery.stands_by_s[control]) == pytest.approx(
        np.median(runs_s[np.isfinite(runs_s)]), rel=0.1
    )


def test_fitted_shares_of_more_than_everybody_end_at_everybody(fleet):
    adoption = Adoption((0.246, 0.785), (0.58 * DAY_S, 4.75 * DAY_S))
    chance = (np.arange(100_000) + 0.5) / 100_000
    delay_s = adoption.delay_s(chance)
    for day in (1, 2, 5, 8, 14, 16):
        published = min(0.246 * -np.expm1(-day / 0.58) + 0.785 * -np.expm1(-day / 4.75), 1.0)
        assert (delay_s <= day * DAY_S).mean() == pytest.approx(published, abs=2e-5)
    assert np.isfinite(delay_s).all()


def test_states_are_whole_also_where_updated_devices_leave_and_who_left_is_in_no_mean(with_, fleet):
    made = with_(audience=Audience(leave_per_month=0.4), old=replace(with_().old, accuracy=np.full(2, 0.5)))
    runs = stacked([counted(made, fleet, replication=number) for number in range(3)])
    told = of_world(GOOD, (), runs, NAMES, np.bincount(fleet.population.profile_of, minlength=2), ("int8",))
    assert sum(share["p50"] for share in told["states"].values()) == pytest.approx(1.0, abs=0.01)
    assert told["states"]["left_updated"]["p50"] == pytest.approx(0.4, abs=0.03)
    assert told["covered"] == told["states"]["updated"]
    assert told["never"] == {}
    # Whoever is still there has the new model, of 90 %.
    assert told["accuracy"]["mean"]["p50"] == pytest.approx(0.9)


def test_a_board_has_the_link_that_it_was_put_on(with_):
    free_only = with_(policy=Policy(conditions=frozenset({"unmetered"})))
    for name, access, state in (
        ("pi-4b", "lte", State.POLICY),
        ("pi-4b", None, State.UPDATED),
        ("nucleo-u575zi", None, State.POLICY),
        ("nucleo-u575zi", "wifi", State.UPDATED),
    ):
        boards = fleet_of(50, names=(name, name), access=access)
        assert (play(free_only, boards, GOOD, 0).delivery.state == state.code).all(), (name, access)


def test_who_has_no_room_is_in_no_control_arm(with_, fleet):
    made = with_(audience=Audience(full_storage=0.6, held_out=0.3))
    states = counted(made, fleet).states.sum(axis=0) / len(fleet)
    assert states[State.STORAGE_FULL.code] == pytest.approx(0.6, abs=0.03)
    assert states[State.HELD_OUT.code] == pytest.approx(0.4 * 0.3, abs=0.02)


def test_jitter_does_not_use_up_the_time_of_a_download(with_, fleet):
    made = with_(policy=Policy(jitter_s=HOUR_S, timeout_s=300.0))
    assert (play(made, fleet, GOOD, 0).delivery.state == State.UPDATED.code).all()
