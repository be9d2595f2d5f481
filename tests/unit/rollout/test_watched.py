"""What gates saw over time: the reports of the very rehearsal, up to the stop, and bounds that explain the stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.compose.rollout_watched import median_stop
from fedlite.rollout.audience import Audience
from fedlite.rollout.gates import METHODS
from fedlite.rollout.monitor import Watch
from fedlite.rollout.rehearsal import play
from fedlite.rollout.states import State
from fedlite.rollout.strategy import Stage
from fedlite.rollout.watched import watched
from fedlite.units import DAY_S, HOUR_S
from tests.unit.rollout.conftest import fleet_of, world_of

STAGES = (Stage("5 %", 1, 0.05, DAY_S), Stage("all", 2, 1.0, 0.0))
BY_CLASS = Watch("installs", "install_failure", METHODS["sequential"](0.01), by_class=True, on_fail="rollback",
                 every_s=HOUR_S)  # fmt: skip
ACCURACY = Watch("accuracy", "accuracy", METHODS["msprt"](direction="decrease"), every_s=6 * HOUR_S)
RAW = Watch("raw", "install_failure", METHODS["threshold"](0.5), every_s=HOUR_S)


def test_a_gate_that_trips_is_told_up_to_its_stop_of_the_class_that_was_bad(with_):
    fleet, world = fleet_of(3000), world_of((False, True), install_failure=[0.01, 0.4])
    plan = with_(strategy=STAGES, watches=(RAW, BY_CLASS))
    played = play(plan, fleet, world, 2)
    (one,) = watched(plan, fleet, world, 2)
    assert one.watch is BY_CLASS
    assert one.profile == played.trip.profile == 1
    assert one.stop_s == played.trip.when_s == one.times_s[-1]
    assert one.evidence.n[-1] == played.trip.devices
    observed, low, high = one.bounds()
    assert low[-1] > 0.01
    assert (low <= high).all()
    assert observed[-1] == pytest.approx(0.4, abs=0.2)
    assert (np.diff(one.times_s) > 0).all()
    assert (np.diff(one.evidence.n) >= 0).all()
    assert one.strength >= -np.log(BY_CLASS.gate.alpha)


def test_a_gate_that_does_not_trip_is_told_to_the_last_report(with_, fleet):
    plan = with_(strategy=STAGES, watches=(BY_CLASS, ACCURACY), audience=Audience(held_out=0.2))
    one, other = watched(plan, fleet, world_of(), 0)
    played = play(plan, fleet, world_of(), 0)
    assert played.trip is None
    assert one.stop_s == other.stop_s == np.inf
    assert one.evidence.total[-1] == 0
    assert other.profile == -1
    assert other.evidence.n[-1] == (played.delivery.state == State.UPDATED.code).sum()
    observed, low, high = other.bounds()
    # The old model has 85 %, the new one 90 %.
    assert observed[-1] == pytest.approx(0.05, abs=0.02)
    assert 0.0 < low[-1] < observed[-1] < high[-1] < 0.1


def test_reports_of_those_who_were_taken_back_count(with_):
    fleet, world = fleet_of(3000), world_of((True, True), drop=0.2)
    back = replace(ACCURACY, on_fail="rollback")
    plan = with_(strategy=STAGES, audience=Audience(held_out=0.2), watches=(back,))
    played = play(plan, fleet, world, 0)
    assert (played.delivery.state == State.ROLLED_BACK.code).any()
    (one,) = watched(plan, fleet, world, 0)
    assert one.evidence.n[-1] == played.trip.devices > 0
    assert one.bounds()[2][-1] < 0.0


def test_plans_without_such_gates_have_nothing_to_tell(with_, fleet):
    assert list(watched(with_(watches=(RAW,)), fleet, world_of(), 0)) == []


def test_the_rehearsal_that_is_shown_stopped_when_the_median_one_did():
    assert median_stop(np.array([9.0, 3.0, 5.0])) == 2
    assert median_stop(np.array([np.inf, 3.0, np.inf])) == 0
