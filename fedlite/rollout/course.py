"""Where the devices of one rehearsal stand at each point of time: every device in exactly one place, up to its end.

A device's way has a few turns, each later than the one before, so that how many stand somewhere is how many have come
less how many have gone: counted where the turns fall, with no loop over time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.rollout.states import STATES, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.plan import Plan
    from fedlite.rollout.rehearsal import Played

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int32]

POINTS: Final = 241
"""Of the curves over time: every three hours of thirty days."""
NOT_ASKED: Final = "not_asked"
WAITING: Final = "waiting"
STANDS: Final = (*(state.value for state in STATES), NOT_ASKED, WAITING)
"""Where a device may stand: the states of its end, of which `under_way` is from the first byte on; before that let in
and not asking yet, or waiting for the conditions of the download."""
_UNTURNED: Final = [State.NOT_REACHED.code, State.UNDER_WAY.code]
"""States to which nothing led but what had come before."""


def points(times_s: Floats, plan: Plan) -> NDArray[np.int64]:
    """Return the first point of time at which what happened then counts, `POINTS` for what comes after the horizon."""
    step_s = (plan.horizon_s - plan.start_s) / (POINTS - 1)
    return np.minimum(np.ceil(np.round((times_s - plan.start_s) / step_s, 9)), POINTS).astype(np.int64)


def course(plan: Plan, played: Played) -> Counts:
    """Return how many devices stand where at each point of time, (len(STANDS), POINTS).

    The last column is the states of the end, of which `under_way` is told as three. Who never gets what it waits for
    stands so from the begin of its wait: owners who never ask from when they are let in, conditions that are not met,
    or too late, from when they are asked for. Who gives up does so at its timeout, else as its last attempt begins.
    """
    new, at_end = played.delivery, played.delivery.state
    asks_s = played.let_in_s + played.members.lag_s
    ended = np.minimum(points(_ended_s(plan, played, asks_s), plan), POINTS - 1)
    ended[np.isin(at_end, _UNTURNED)] = POINTS
    changes = np.zeros((len(STANDS), POINTS + 1), dtype=np.int64)
    came = np.zeros(len(at_end), dtype=np.int64)
    for stand, until_s in (
        (State.NOT_REACHED.code, played.let_in_s), (STANDS.index(NOT_ASKED), asks_s),
        (STANDS.index(WAITING), new.begun_s), (State.UNDER_WAY.code, new.done_s), (State.UPDATED.code, None),
    ):  # fmt: skip
        gone = ended if until_s is None else np.minimum(points(until_s, plan), ended)
        changes[stand] += _counts(came) - _counts(gone)
        came = gone
    of_end = np.bincount(at_end * (POINTS + 1) + ended, minlength=len(STATES) * (POINTS + 1))
    changes[: len(STATES)] += of_end.reshape(len(STATES), POINTS + 1)
    return np.cumsum(changes[:, :POINTS], axis=1).astype(np.int32)


def _ended_s(plan: Plan, played: Played, asks_s: Floats) -> Floats:
    """Return since when each device has the state of its end; the start for those that could not be let in at all."""
    new, policy = played.delivery, plan.policy
    ended_s = np.full(len(asks_s), plan.start_s)
    last_s = np.where(new.attempts > 0, new.last_begun_s, asks_s)
    gives_up_s = np.minimum(asks_s + policy.jitter_s + policy.timeout_s, new.begun_s + policy.in_progress_s)
    for state, since_s in (
        (State.UPDATED, new.done_s),
        (State.INSTALL_FAILED, new.done_s),
        (State.ROLLED_BACK, played.back.done_s),
        (State.DOWNLOAD_FAILED, np.where(new.attempts < policy.attempts, gives_up_s, last_s)),
        (State.STOPPED, np.full(len(asks_s), np.inf if played.trip is None else played.trip.when_s)),
        (State.POLICY, last_s),
        (State.OFFLINE, played.let_in_s),
        (State.LEFT, played.members.leaves_s),
        (State.LEFT_UPDATED, played.members.leaves_s),
    ):
        own = new.state == state.code
        ended_s[own] = since_s[own]
    return ended_s


def _counts(at: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(at, minlength=POINTS + 1)
