"""Where devices stand over time: whole at every moment, the states of the end at the end, and turns where they fall."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.rollout.audience import Adoption, Audience, Members
from fedlite.rollout.course import NOT_ASKED, POINTS, STANDS, WAITING, course
from fedlite.rollout.delivery import Delivery, Policy
from fedlite.rollout.gates import METHODS
from fedlite.rollout.monitor import Trip, Watch
from fedlite.rollout.rehearsal import Played, play
from fedlite.rollout.states import STATES, State
from fedlite.rollout.strategy import Ramp, Stage
from fedlite.rollout.tally import tally
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S, HOUR_S
from tests.unit.rollout.conftest import fleet_of, world_of

WATCH = Watch("installs", "install_failure", METHODS["sequential"](0.01), on_fail="rollback", every_s=HOUR_S)
NEVER = np.inf


def hours(*values):
    return np.array(values, dtype=float) * HOUR_S


def delivery(states, begun, last, done, attempts):
    made = Delivery.none(len(states))
    made.state[:] = [state.code for state in states]
    made.begun_s, made.last_begun_s, made.done_s = hours(*begun), hours(*last), hours(*done)
    made.attempts[:] = attempts
    return made


WAYS = {
    # name: (state of the end, let in, lag, begun, last begun, done, attempts, leaves, back), where it stands since when
    "updated": ((State.UPDATED, 1, 2, 5, 5, 7, 1, NEVER, NEVER),
                {0: State.NOT_REACHED, 1: NOT_ASKED, 3: WAITING, 5: State.UNDER_WAY, 7: State.UPDATED}),
    "taken back": ((State.ROLLED_BACK, 1, 0, 1, 1, 2, 1, NEVER, 9),
                   {0: State.NOT_REACHED, 1: State.UNDER_WAY, 2: State.UPDATED, 9: State.ROLLED_BACK}),
    "does not install": ((State.INSTALL_FAILED, 0, 1, 2, 2, 4, 1, NEVER, NEVER),
                         {0: NOT_ASKED, 1: WAITING, 2: State.UNDER_WAY, 4: State.INSTALL_FAILED}),
    "tried in vain": ((State.DOWNLOAD_FAILED, 0, 0, 1, 6, NEVER, 4, NEVER, NEVER),
                      {0: WAITING, 1: State.UNDER_WAY, 6: State.DOWNLOAD_FAILED}),
    "timed out": ((State.DOWNLOAD_FAILED, 0, 3, 4, 5, NEVER, 2, NEVER, NEVER),
                  {0: NOT_ASKED, 3: WAITING, 4: State.UNDER_WAY, 51: State.DOWNLOAD_FAILED}),
    "stopped": ((State.STOPPED, 2, 1, NEVER, NEVER, NEVER, 0, NEVER, NEVER),
                {0: State.NOT_REACHED, 2: NOT_ASKED, 3: WAITING, 8: State.STOPPED}),
    "never fit to download": ((State.POLICY, 2, 4, NEVER, NEVER, NEVER, 0, NEVER, NEVER),
                              {0: State.NOT_REACHED, 2: NOT_ASKED, 6: State.POLICY}),
    "never asks": ((State.OFFLINE, 2, NEVER, NEVER, NEVER, NEVER, 0, NEVER, NEVER),
                   {0: State.NOT_REACHED, 2: State.OFFLINE}),
    "left": ((State.LEFT, 2, 4, NEVER, NEVER, NEVER, 0, 5, NEVER), {0: State.NOT_REACHED, 2: NOT_ASKED, 5: State.LEFT}),
    "left before": ((State.LEFT, 5, 4, NEVER, NEVER, NEVER, 0, 3, NEVER), {0: State.NOT_REACHED, 3: State.LEFT}),
    "not reached": ((State.NOT_REACHED, NEVER, 4, NEVER, NEVER, NEVER, 0, 3, NEVER), {0: State.NOT_REACHED}),
    "under way": ((State.UNDER_WAY, 1, 1, 3, 3, NEVER, 1, NEVER, NEVER),
                  {0: State.NOT_REACHED, 1: NOT_ASKED, 2: WAITING, 3: State.UNDER_WAY}),
    "held out": ((State.HELD_OUT, 1, 1, NEVER, NEVER, NEVER, 0, NEVER, NEVER), {0: State.HELD_OUT}),
    "too small": ((State.NO_MEMORY, NEVER, 1, NEVER, NEVER, NEVER, 0, NEVER, NEVER), {0: State.NO_MEMORY}),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_each_turn_of_a_device_falls_where_it_happened(with_, name):
    """Points are an hour apart: what happens at an hour counts from its point on."""
    (state, let_in, lag, begun, last, done, attempts, leaves, back), way = WAYS[name]
    plan = with_(horizon_s=(POINTS - 1) * HOUR_S, policy=Policy(attempts=4, timeout_s=48 * HOUR_S))
    no, zero = np.zeros(1, bool), np.zeros(1)
    members = Members(no, no, no, hours(leaves), zero, hours(lag), zero)
    new = delivery([state], [begun], [last], [done], [attempts])
    gone_back = delivery([State.UPDATED], [NEVER], [NEVER], [back], [0])
    trip = Trip(WATCH, 8 * HOUR_S, -1, 1)
    played = Played(members, new, gone_back, hours(let_in), trip, ())
    found = course(plan, played)
    assert found.sum(axis=0).tolist() == [1] * POINTS
    where = [STANDS[at] for at in found.argmax(axis=0)]
    turns = {i: where[i] for i in range(POINTS) if i == 0 or where[i] != where[i - 1]}
    assert turns == {hour: str(stand) for hour, stand in way.items()}


@pytest.mark.parametrize("on_fail", ["abort", "rollback", "pause", None])
@pytest.mark.parametrize("rate", [False, True])
def test_every_device_is_somewhere_at_every_moment_and_ends_in_its_state(with_, on_fail, rate):
    audience = Audience(opted_out=0.1, by_hand=0.5, adoption=Adoption((0.7,), (DAY_S,)), held_out=0.05,
                        full_storage=0.05, leave_per_month=0.3, every_s=HOUR_S)  # fmt: skip
    fleet = fleet_of(1500, availability=Diurnal(4))
    stages = (Stage("5 %", 1, 0.05, DAY_S), Stage("all", 2, 1.0, 0.0))
    watch = Watch("installs", "install_failure", METHODS["sequential"](0.01), on_fail=on_fail, every_s=HOUR_S)
    plan = with_(
        audience=audience,
        policy=Policy(frozenset({"plugged"}), failure=0.4, attempts=3, timeout_s=5 * DAY_S),
        strategy=Ramp(0.02, 0.02) if rate else stages,
        watches=() if on_fail is None else (watch,),
        horizon_s=8 * DAY_S,
    )
    world = world_of((True, False), install_failure=[0.1, 0.01])
    played = play(plan, fleet, world, 1)
    assert (played.trip is None) == (on_fail is None)
    told = tally(plan, fleet, world, played)
    assert (told.course >= 0).all()
    assert told.course.sum(axis=0).tolist() == [len(fleet)] * POINTS
    at_end = dict(zip(STANDS, told.course[:, -1].tolist(), strict=True))
    at_end[State.UNDER_WAY.value] += at_end.pop(NOT_ASKED) + at_end.pop(WAITING)
    assert list(at_end.values()) == told.states.sum(axis=0).tolist()
    assert len([count for count in at_end.values() if count]) > 6
    # Nobody leaves a plan that was paused or went through while it runs the model, but those whose owners do.
    if on_fail != "rollback":
        stays = told.coverage.sum(axis=0) <= told.course[STATES.index(State.UPDATED)]
        assert stays.all()


def test_the_layer_of_the_updated_is_the_curve_of_coverage_where_nobody_leaves(with_, fleet):
    plan = with_(strategy=(Stage("5 %", 1, 0.05, DAY_S), Stage("all", 2, 1.0, 0.0)), watches=(WATCH,))
    for world in (world_of(), world_of((True, True), install_failure=0.2)):
        told = tally(plan, fleet, world, play(plan, fleet, world, 0))
        assert told.course[State.UPDATED.code].tolist() == told.coverage.sum(axis=0).tolist()
