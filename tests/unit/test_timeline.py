import numpy as np
import pytest

from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.timeline import Phases, run


def phases(**changes):
    """One job: 10 s down at 1 W, 100 s training at 2 W, 20 s up at 3 W, and no limit unless changed."""
    base = {
        "refused": Outcome.ARRIVED.code,
        "down_s": 10.0,
        "train_s": 100.0,
        "up_s": 20.0,
        "down_j": 10.0,
        "train_j": 200.0,
        "up_j": 60.0,
        "cpu_limit_s": np.inf,
        "energy_limit_j": np.inf,
        "battery_limit_j": np.inf,
        "idle_w": 0.0,
        "unplugged_s": np.inf,
        "offline_s": np.inf,
        "interrupted_s": np.inf,
    }
    values = {name: np.array([value], dtype=np.float64) for name, value in (base | changes).items()}
    values["refused"] = values["refused"].astype(np.int8)
    return Phases(**values)


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


def test_every_outcome_has_advice_and_a_code_that_leads_back():
    for outcome in Outcome:
        assert outcome.advice.endswith(".")
        assert Outcome.of_code(outcome.code) is outcome
