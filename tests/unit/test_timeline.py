from dataclasses import fields

import numpy as np
import pytest

from fedlite.devices.channels import Transfer
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.timeline import Phases, run


def moved(**values):
    """One transfer; what is not told is nothing."""
    parts = dict.fromkeys((field.name for field in fields(Transfer)), 0.0) | values
    return Transfer(**{name: np.array([value], dtype=np.float64) for name, value in parts.items()})


def phases(*, down_s=10.0, down_j=10.0, up_s=20.0, up_j=60.0, down=None, up=None, **changes):
    """One job: 10 s down at 1 W, 100 s training at 2 W, 20 s up at 3 W, without ramps, tails and limits by default."""
    base = {
        "refused": Outcome.ARRIVED.code,
        "train_s": 100.0,
        "train_j": 200.0,
        "tail_s": 0.0,
        "cpu_limit_s": np.inf,
        "energy_limit_j": np.inf,
        "battery_limit_j": np.inf,
        "idle_w": 0.0,
        "unplugged_s": np.inf,
        "offline_s": np.inf,
        "interrupted_s": np.inf,
        "cap_s": np.inf,
    }
    values = {name: np.array([value], dtype=np.float64) for name, value in (base | changes).items()}
    values["refused"] = values["refused"].astype(np.int8)
    down = down or moved(active_s=down_s, active_j=down_j)
    return Phases(**values, down=down, up=up or moved(active_s=up_s, active_j=up_j))


def one(**changes):
    events = run(phases(**changes))
    return (
        Outcome.of_code(int(events.outcome[0])),
        float(events.total_s[0]),
        float(events.compute_j[0]),
        float(events.radio_j[0]),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (Outcome.ARRIVED, 130.0, 200.0, 70.0)),
        ({"cpu_limit_s": 50.0}, (Outcome.CPU_BUDGET, 60.0, 100.0, 10.0)),
        ({"energy_limit_j": 110.0}, (Outcome.ENERGY_BUDGET, 60.0, 100.0, 10.0)),
        ({"battery_limit_j": 5.0}, (Outcome.BATTERY_EMPTY, 5.0, 0.0, 5.0)),
        ({"battery_limit_j": 240.0}, (Outcome.BATTERY_EMPTY, 120.0, 200.0, 40.0)),
        ({"battery_limit_j": 240.0, "idle_w": 1.0}, (Outcome.BATTERY_EMPTY, 10 + 220 / 3, 440 / 3, 10.0)),
        ({"energy_limit_j": 270.0, "idle_w": 1.0}, (Outcome.ARRIVED, 130.0, 200.0, 70.0)),
        ({"unplugged_s": 35.0}, (Outcome.UNPLUGGED, 35.0, 50.0, 10.0)),
        ({"offline_s": 120.0}, (Outcome.LOST_NETWORK, 120.0, 200.0, 40.0)),
        ({"cap_s": 40.0}, (Outcome.TIMED_OUT, 40.0, 60.0, 10.0)),
        ({"interrupted_s": 0.0}, (Outcome.INTERRUPTED, 0.0, 0.0, 0.0)),
        ({"unplugged_s": 130.0}, (Outcome.ARRIVED, 130.0, 200.0, 70.0)),
        ({"unplugged_s": 35.0, "offline_s": 35.0}, (Outcome.UNPLUGGED, 35.0, 50.0, 10.0)),
        ({"refused": Outcome.OUT_OF_MEMORY.code}, (Outcome.OUT_OF_MEMORY, 0.0, 0.0, 0.0)),
        ({"refused": Outcome.DATA_CAP.code, "unplugged_s": 1.0}, (Outcome.DATA_CAP, 0.0, 0.0, 0.0)),
    ],
)
def test_a_job_is_charged_up_to_what_stops_it(changes, expected):
    outcome, total_s, compute_j, radio_j = one(**changes)
    assert outcome is expected[0]
    assert (total_s, compute_j, radio_j) == pytest.approx(expected[1:])


def test_shares_of_transfers_tell_how_much_went_through():
    events = run(phases(offline_s=115.0))
    assert events.down_share[0] == 1.0
    assert events.up_share[0] == pytest.approx(0.25)


def test_a_phase_without_duration_is_done_only_if_it_is_reached():
    assert run(phases(up_s=0.0, up_j=0.0, unplugged_s=50.0)).up_share[0] == 0.0
    assert run(phases(up_s=0.0, up_j=0.0)).up_share[0] == 1.0


def test_phases_without_duration_count_once_the_one_before_them_is_whole():
    nothing = {"train_s": 0.0, "train_j": 5.0, "up_s": 0.0, "up_j": 7.0}
    whole, cut = run(phases(**nothing)), run(phases(**nothing, offline_s=5.0))
    assert (whole.compute_j[0], whole.radio_j[0], whole.up_share[0]) == (5.0, 17.0, 1.0)
    assert (cut.compute_j[0], cut.radio_j[0], cut.up_share[0]) == (0.0, 5.0, 0.0)
    assert (cut.down_share[0], cut.down_s[0], cut.train_s[0], cut.up_s[0]) == (0.5, 5.0, 0.0, 0.0)


def test_a_refused_job_has_no_shares():
    events = run(phases(refused=Outcome.STORAGE_FULL.code))
    assert (events.down_share[0], events.up_share[0]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("limit", "enough"), [("cpu_limit_s", 100.0), ("energy_limit_j", 270.0), ("battery_limit_j", 270.0)]
)
def test_a_limit_that_is_just_enough_stops_nothing(limit, enough):
    assert one(**{limit: enough})[0] is Outcome.ARRIVED
    assert one(**{limit: enough - 1e-6})[0] is not Outcome.ARRIVED


def test_nothing_left_stops_a_job_at_once():
    for limit in ("energy_limit_j", "battery_limit_j"):
        assert one(**{limit: 0.0})[1:] == (0.0, 0.0, 0.0)
    assert one(cpu_limit_s=0.0)[1:] == (10.0, 0.0, 10.0)


def test_of_two_limits_in_one_instant_the_first_named_wins():
    order = [
        ("cpu_limit_s", 50.0, Outcome.CPU_BUDGET),
        ("energy_limit_j", 110.0, Outcome.ENERGY_BUDGET),
        ("battery_limit_j", 110.0, Outcome.BATTERY_EMPTY),
        ("unplugged_s", 60.0, Outcome.UNPLUGGED),
        ("offline_s", 60.0, Outcome.LOST_NETWORK),
        ("interrupted_s", 60.0, Outcome.INTERRUPTED),
    ]
    for first in range(len(order)):
        limits = {name: value for name, value, _ in order[first:]}
        assert one(**limits) == (order[first][2], 60.0, 100.0, 10.0)


def joined(parts):
    """Arrays, or transfers, one after the other."""
    if not isinstance(parts[0], Transfer):
        return np.concatenate(parts)
    return Transfer(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Transfer)))


def test_jobs_of_one_batch_do_not_touch_each_other():
    alone = [phases(offline_s=5.0), phases(), phases(refused=Outcome.DATA_CAP.code)]
    names = [field.name for field in fields(Phases)]
    together = run(Phases(**{name: joined([getattr(job, name) for job in alone]) for name in names}))
    for place, job in enumerate(alone):
        for field in fields(together):
            assert getattr(together, field.name)[place] == getattr(run(job), field.name)


def test_every_outcome_has_advice_and_a_code_that_leads_back():
    for outcome in Outcome:
        assert outcome.advice.endswith(".")
        assert Outcome.of_code(outcome.code) is outcome


WAKING = {
    "down": moved(ramp_s=1.0, ramp_j=2.0, active_s=9.0, active_j=9.0, tail_j=5.0),
    "up": moved(ramp_s=2.0, ramp_j=6.0, active_s=18.0, active_j=54.0, tail_j=3.0),
    "tail_s": 4.0,
}
"""A radio that ramps up twice: 10 s down, 100 s training, 20 s up."""


@pytest.mark.parametrize(
    ("stop_s", "radio_j", "tail_j", "awake_s", "shares"),
    [
        (0.0, 0.0, 0.0, -np.inf, (0.0, 0.0)),
        (0.5, 1.0 + 5.0, 5.0, 4.5, (0.0, 0.0)),
        (1.0, 2.0 + 5.0, 5.0, 5.0, (0.0, 0.0)),
        (4.0, 2.0 + 3.0 + 5.0, 5.0, 8.0, (1 / 3, 0.0)),
        (10.0, 11.0 + 5.0, 5.0, 14.0, (1.0, 0.0)),
        (60.0, 11.0 + 5.0, 5.0, 14.0, (1.0, 0.0)),
        (110.0, 11.0 + 5.0, 5.0, 14.0, (1.0, 0.0)),
        (111.0, 11.0 + 5.0 + 3.0 + 3.0, 8.0, 115.0, (1.0, 0.0)),
        (112.0, 11.0 + 5.0 + 6.0 + 3.0, 8.0, 116.0, (1.0, 0.0)),
        (121.0, 11.0 + 5.0 + 6.0 + 27.0 + 3.0, 8.0, 125.0, (1.0, 0.5)),
        (np.inf, 11.0 + 5.0 + 60.0 + 3.0, 8.0, 134.0, (1.0, 1.0)),
    ],
)
def test_a_stopped_radio_pays_for_its_states_and_for_the_tail_after_them(stop_s, radio_j, tail_j, awake_s, shares):
    events = run(phases(**WAKING, interrupted_s=stop_s))
    assert (events.radio_j[0], events.tail_j[0]) == pytest.approx((radio_j, tail_j))
    assert events.awake_s[0] == awake_s
    assert (events.down_share[0], events.up_share[0]) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("limit_j", "end_s"),
    [(4.9, 0.0), (5.0, 0.0), (7.0, 1.0), (8.0, 2.0), (216.0, 110.0), (218.9, 110.0), (222.0, 111.0), (279.0, 130.0)],
)
def test_no_transfer_begins_whose_tail_cannot_be_paid(limit_j, end_s):
    for limit in ("energy_limit_j", "battery_limit_j"):
        outcome, total_s, compute_j, radio_j = one(**WAKING, **{limit: limit_j})
        assert total_s == pytest.approx(end_s)
        assert compute_j + radio_j <= limit_j
        assert (outcome is Outcome.ARRIVED) == (limit_j == 279.0)
