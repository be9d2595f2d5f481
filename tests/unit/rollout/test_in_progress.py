"""A device gives up so long after its first attempt began, however long it waited for that."""

from __future__ import annotations

import numpy as np

from fedlite.rollout.delivery import Policy
from fedlite.rollout.rehearsal import play
from fedlite.rollout.states import State
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S, HOUR_S
from tests.unit.rollout.conftest import MODEL_BYTES, fleet_of, world_of

GOOD = world_of()


def test_a_transfer_that_would_take_longer_breaks_off_then_and_is_not_repeated(with_, fleet):
    usual = play(with_(), fleet, GOOD, 0).delivery
    most_s = float(np.median(usual.done_s))
    cut = play(with_(policy=Policy(in_progress_s=most_s)), fleet, GOOD, 0).delivery
    slow = usual.done_s > most_s
    assert 0 < slow.sum() < len(slow)
    assert np.array_equal(cut.done_s[~slow], usual.done_s[~slow])
    assert (cut.state[slow] == State.DOWNLOAD_FAILED.code).all()
    assert (cut.attempts[slow] == 1).all()
    crossed = (cut.metered_bytes + cut.unmetered_bytes)[slow]
    assert (crossed < MODEL_BYTES).all()
    assert crossed.sum() > 0


def test_who_is_offline_for_days_still_has_all_of_its_time(with_):
    fleet = fleet_of(2000, availability=Diurnal(4))
    wanted = Policy(frozenset({"plugged", "unmetered", "idle"}), failure=0.5, in_progress_s=0.5 * HOUR_S)
    new = play(with_(policy=wanted), fleet, GOOD, 0).delivery
    updated = new.state == State.UPDATED.code
    assert (updated & (new.begun_s > 12 * HOUR_S)).sum() > 100
    assert (new.arrived_s[updated] <= (new.begun_s + 0.5 * HOUR_S)[updated]).all()
    tried = np.isfinite(new.begun_s)
    assert (new.last_begun_s[tried] < (new.begun_s + 0.5 * HOUR_S)[tried]).all()
    # Some gave up with attempts left, and are told as failed although their conditions came back.
    early = (new.state == State.DOWNLOAD_FAILED.code) & (new.attempts < wanted.attempts)
    assert early.sum() > 50


def test_who_would_give_up_after_the_horizon_is_still_under_way(with_):
    fleet = fleet_of(500)
    plan = with_(policy=Policy(failure=0.9, attempts=9, retry_s=DAY_S, in_progress_s=20 * DAY_S), horizon_s=2 * DAY_S)
    state = play(plan, fleet, GOOD, 0).delivery.state
    assert (state == State.UNDER_WAY.code).sum() > 200
    assert not (state == State.DOWNLOAD_FAILED.code).any()
