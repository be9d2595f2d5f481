"""What a ledger's rows spend: only what arrived, only by training, and by owner of the data."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.compose.privacy_spent import planned_noise, privacy_spent
from fedlite.fleet.ledger import COLUMNS, Ledger
from fedlite.privacy import accounting
from fedlite.privacy.accounting import Release
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: owners
fleet: {devices: DEVICES, mix: {pixel-8: 1}}
task: {data: digits, model: mlp}
training: {rounds: 3, clients_per_round: 20}
privacy: {PRIVACY}
"""
FIXED = "mechanism: client-fixed-clipping, clipping_norm: 1.0, noise_multiplier: 2.0, delta: 0.001"
TARGET = "mechanism: client-fixed-clipping, clipping_norm: 1.0, target_epsilon: 5, delta: 0.001"
LOCAL = "mechanism: local-dp, clipping_norm: 1.0, epsilon: 1.0, delta: 0.001"
NONE = "mechanism: none"


def scenario(privacy, devices=60):
    return parse_scenario(SCENARIO.replace("PRIVACY", privacy).replace("DEVICES", str(devices)))


def ledger(*jobs, **same):
    """Rows of (round, device) that arrived from training unless told otherwise."""
    told = {"kind": "train", "outcome": "arrived", "up_bytes": 10, **same}
    if jobs:
        told |= {"round": np.array([job[0] for job in jobs]), "device": np.array([job[1] for job in jobs])}
    filled = Ledger()
    filled.append({name: told.get(name, "" if kind is np.str_ else np.zeros(1)) for name, kind in COLUMNS.items()})
    return filled


def both(first, second):
    for name in COLUMNS:
        assert first.columns()[name].dtype.kind == second.columns()[name].dtype.kind
    first.append(second.columns())
    return first


def test_noise_is_planned_only_where_the_server_adds_it():
    assert planned_noise(scenario(NONE), 20) is None
    assert planned_noise(scenario(LOCAL), 20) is None
    assert planned_noise(scenario(FIXED), 20) == 2.0


@pytest.mark.parametrize(
    ("devices", "clients", "shares"), [(20, 20, 1), (40, 20, 2), (41, 20, 3), (60, 20, 3), (60, 2, 20)]
)
def test_noise_for_a_target_counts_every_device_of_one_owner_up_to_the_cohort(devices, clients, shares):
    wanted = accounting.noise_for(5.0, 0.001, 3, shares)
    assert planned_noise(scenario(TARGET, devices), clients) == pytest.approx(wanted, rel=1e-12)


def test_nothing_is_stated_where_nothing_can_be():
    rows = ledger((1, 0))
    assert privacy_spent(scenario(NONE), rows, 20, 2.0) is None
    assert privacy_spent(scenario(FIXED.replace(", delta: 0.001", "")), rows, 20, 2.0) is None
    assert privacy_spent(scenario(FIXED), rows, 20, None) is None


def test_rounds_are_releases_and_devices_are_their_owners():
    rows = ledger((1, 0), (1, 20), (1, 5), (2, 7), (4, 1), (4, 2))
    found = privacy_spent(scenario(FIXED), rows, 20, 2.0)
    wanted = accounting.spent(2.0, 20, [Release(3, 2), Release(1), Release(2)], 0.001)
    assert found == {"epsilon": wanted.epsilon, "delta": 0.001, "statement": wanted.statement}


@pytest.mark.parametrize("other", [{"kind": "evaluate"}, {"outcome": "late"}])
def test_what_did_not_arrive_from_training_is_not_released(other):
    rows = both(ledger((1, 0), (2, 1)), ledger((1, 3), (3, 4), **other))
    assert privacy_spent(scenario(FIXED), rows, 20, 2.0) == (
        privacy_spent(scenario(FIXED), ledger((1, 0), (2, 1)), 20, 2.0)
    )


def test_a_run_that_released_nothing_has_spent_nothing():
    found = privacy_spent(scenario(FIXED), ledger((1, 0), outcome="late"), 20, 2.0)
    assert (found["epsilon"], found["statement"]) == (0.0, "Nothing was released.")


def test_adaptive_clipping_is_not_stated():
    adaptive = "mechanism: server-adaptive-clipping, noise_multiplier: 1.0, delta: 0.001"
    found = privacy_spent(scenario(adaptive), ledger((1, 0)), 20, 2.0)
    assert (found["epsilon"], found["delta"]) == (None, 0.001)
    assert found["statement"].startswith("Not stated: Flower's adaptive clipping has no accountant")


def test_local_updates_count_once_they_were_sent_whether_or_not_they_arrived_in_time():
    rows = both(ledger((1, 0), (1, 1), (2, 20), (3, 40), outcome="late"), ledger((4, 0), (5, 60), up_bytes=0))
    rows = both(rows, ledger((6, 0), kind="evaluate"))
    found = privacy_spent(scenario(LOCAL), rows, 20, None)
    wanted = accounting.spent_locally(1.0, 0.001, 3)
    assert found == {"epsilon": wanted.epsilon, "delta": 0.001, "statement": wanted.statement}


def test_local_privacy_of_a_run_that_sent_nothing():
    assert privacy_spent(scenario(LOCAL), ledger((1, 0), up_bytes=0), 20, None)["epsilon"] == 0.0
