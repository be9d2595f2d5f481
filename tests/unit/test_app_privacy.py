"""The epsilon of an app's wrapper: from the ledger's weights, for FedAvg and fixed clipping only."""

import math

import numpy as np
import pytest
from dp_accounting import gaussian_mechanism
from flwr.serverapp import strategy as flower

from fedlite.compose.app_privacy import DELTA, Start, app_privacy


def ledger(rounds, devices, examples, outcome="arrived"):
    n = len(rounds)
    return {
        "kind": np.full(n, "train"),
        "outcome": np.full(n, outcome),
        "round": np.array(rounds),
        "device": np.array(devices),
        "examples": np.array(examples),
    }


def wrapped(inner=None, kind=flower.DifferentialPrivacyServerSideFixedClipping, noise=2.0, sampled=4):
    return kind(inner or flower.FedAvg(), noise, 1.0, sampled)


def told(strategy, rows, partitions=100, starts=1):
    n = len(rows["round"])
    return app_privacy([Start(strategy, 0, n)] * starts, rows, partitions)


def test_equal_updates_spend_what_the_gaussian_mechanism_says():
    rows = ledger([1] * 4 + [2] * 4, [0, 1, 2, 3] * 2, [10] * 8)
    found = told(wrapped(), rows)
    # Two releases of noise multiplier 2 are one of 2 / sqrt(2) (Gaussian differential privacy composes so).
    wanted = gaussian_mechanism.get_epsilon_gaussian(2.0 / math.sqrt(2), DELTA)
    assert found["epsilon"] == pytest.approx(wanted)
    assert found["delta"] == DELTA
    assert "all 2 released rounds" in found["statement"]


def test_who_weighs_more_is_less_private():
    rows = ledger([1] * 4, [0, 1, 2, 3], [70, 10, 10, 10])
    wanted = gaussian_mechanism.get_epsilon_gaussian(2.0 / (4 * 0.7), DELTA)
    found = told(wrapped(), rows)
    assert found["epsilon"] == pytest.approx(wanted)
    assert "up to 70.0% of a mean" in found["statement"]


def test_an_owner_on_two_devices_weighs_what_both_do():
    rows = ledger([1] * 4, [0, 1, 2, 3], [10] * 4)
    assert told(wrapped(), rows, partitions=2)["epsilon"] == pytest.approx(
        gaussian_mechanism.get_epsilon_gaussian(2.0 / (4 * 0.5), DELTA)
    )


def test_nobody_arrived_means_nothing_was_released():
    assert told(wrapped(), ledger([1] * 4, [0, 1, 2, 3], [10] * 4, "late"))["epsilon"] == 0.0


@pytest.mark.parametrize(
    ("strategy", "starts", "why"),
    [
        (wrapped(flower.FedAdam()), 1, "after FedAdam's own step"),
        (wrapped(flower.FedMedian()), 1, "after FedMedian's own step"),
        (flower.DifferentialPrivacyServerSideAdaptiveClipping(flower.FedAvg(), 0.1, 40), 1, "adaptive clipping"),
        (wrapped(), 2, "several strategies"),
    ],
)
def test_what_cannot_be_stated_is_not(strategy, starts, why):
    found = told(strategy, ledger([1], [0], [10]), starts=starts)
    assert found["epsilon"] is None
    assert why in found["statement"]


def test_a_wrapper_that_leaves_clipping_to_clients_says_so_and_others_guard_nothing():
    rows = ledger([1], [0], [10])
    inner = flower.FedAvg()
    client_side = wrapped(inner, flower.DifferentialPrivacyClientSideFixedClipping)
    assert "if the clients clip" in told(client_side, rows)["statement"]
    assert told(inner, rows) is None


def test_the_older_wrapper_is_known_too():
    older = pytest.importorskip("flwr.server.strategy")
    inner = older.FedAvg()
    strategy = older.DifferentialPrivacyServerSideFixedClipping(inner, 2.0, 1.0, 4)
    rows = ledger([1] * 4, [0, 1, 2, 3], [10] * 4)
    assert told(strategy, rows)["epsilon"] == pytest.approx(gaussian_mechanism.get_epsilon_gaussian(2.0, DELTA))
