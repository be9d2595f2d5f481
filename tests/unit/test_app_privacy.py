"""The epsilon of an app's wrapper: from the weights of what FedAvg averaged, for FedAvg and fixed clipping only."""

import math

import numpy as np
import pytest
from dp_accounting import gaussian_mechanism
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from fedlite.compose.app_privacy import DELTA, Start, app_privacy
from fedlite.flower import compat
from fedlite.flower.post import FIRST_NODE_ID


def replies(weights, key="num-examples", shape=(3,)):
    """Return replies of devices 0, 1, 2 ... with these weights."""
    compat.become_server(1)
    for device, weight in enumerate(weights):
        asked = Message(RecordDict(), FIRST_NODE_ID + device, "train")
        record = ArrayRecord({"w": Array(np.ones(shape, np.float32))})
        yield Message(RecordDict({"arrays": record, "metrics": MetricRecord({key: weight})}), reply_to=asked)


def wrapped(inner=None, kind=flower.DifferentialPrivacyServerSideFixedClipping, noise=2.0, sampled=4):
    return kind(inner or flower.FedAvg(), noise, 1.0, sampled)


def told(strategy, rounds, partitions=100, key="num-examples", shape=(3,), starts=1):
    begun = [Start.watched(strategy) for _ in range(starts)]
    strategy.current_arrays = ArrayRecord({"w": Array(np.zeros(shape, np.float32))})
    for round_, weights in enumerate(rounds):
        strategy.aggregate_train(round_ + 1, list(replies(weights, key, shape)))
    return app_privacy(begun, partitions)


def test_equal_updates_spend_what_the_gaussian_mechanism_says():
    found = told(wrapped(), [[10] * 4] * 2)
    # Two releases of noise multiplier 2 are one of 2 / sqrt(2) (Gaussian differential privacy composes so).
    wanted = gaussian_mechanism.get_epsilon_gaussian(2.0 / math.sqrt(2), DELTA)
    assert found["epsilon"] == pytest.approx(wanted)
    assert found["delta"] == DELTA
    assert "all 2 released rounds" in found["statement"]


def test_who_weighs_more_is_less_private():
    wanted = gaussian_mechanism.get_epsilon_gaussian(2.0 / (4 * 0.7), DELTA)
    found = told(wrapped(), [[70, 10, 10, 10]])
    assert found["epsilon"] == pytest.approx(wanted)
    assert "up to 70.0% of a mean" in found["statement"]


def test_weights_are_those_that_fedavg_takes_and_need_not_be_whole():
    found = told(wrapped(flower.FedAvg(weighted_by_key="trust")), [[1.99, 1.0, 1.0, 1.0]], key="trust")
    assert found["epsilon"] == pytest.approx(gaussian_mechanism.get_epsilon_gaussian(2.0 / (4 * 1.99 / 4.99), DELTA))


def test_an_owner_on_two_devices_weighs_what_both_do():
    assert told(wrapped(), [[10] * 4], partitions=2)["epsilon"] == pytest.approx(
        gaussian_mechanism.get_epsilon_gaussian(2.0 / (4 * 0.5), DELTA)
    )


def test_a_mean_of_nothing_is_no_release():
    assert told(wrapped(), [[]])["epsilon"] == 0.0


class Own(flower.DifferentialPrivacyServerSideFixedClipping):
    pass


@pytest.mark.parametrize(
    ("strategy", "starts", "why"),
    [
        (wrapped(flower.FedAdam()), 1, "after FedAdam's own step"),
        (wrapped(flower.FedMedian()), 1, "after FedMedian's own step"),
        (flower.DifferentialPrivacyServerSideAdaptiveClipping(flower.FedAvg(), 0.1, 40), 1, "adaptive clipping"),
        (wrapped(kind=Own), 1, "Own is a class of its own"),
        (wrapped(), 2, "several strategies"),
    ],
)
def test_what_cannot_be_stated_is_not(strategy, starts, why):
    found = told(strategy, [], starts=starts)
    assert found["epsilon"] is None
    assert why in found["statement"]


def test_arrays_without_a_dimension_escape_the_wrapper_and_any_epsilon():
    found = told(wrapped(), [[10] * 4], shape=())
    assert found["epsilon"] is None
    assert "arrays without a dimension" in found["statement"]


def test_a_wrapper_that_leaves_clipping_to_clients_says_so_and_others_guard_nothing():
    inner = flower.FedAvg()
    client_side = wrapped(inner, flower.DifferentialPrivacyClientSideFixedClipping)
    assert "if the clients clip" in told(client_side, [])["statement"]
    assert app_privacy([Start.watched(inner)], 4) is None


def test_the_older_wrapper_is_known_too():
    older = pytest.importorskip("flwr.server.strategy")
    common = pytest.importorskip("flwr.common")
    strategy = older.DifferentialPrivacyServerSideFixedClipping(older.FedAvg(), 2.0, 1.0, 4)
    begun = Start.watched(strategy)
    strategy.current_round_params = [np.zeros(3, np.float32)]
    parameters = common.ndarrays_to_parameters([np.ones(3, np.float32)])
    status = common.Status(common.Code.OK, "")
    clients = [type("Client", (), {"cid": str(FIRST_NODE_ID + device)})() for device in range(4)]
    results = [(client, common.FitRes(status, parameters, 10 + 30 * (client is clients[0]), {})) for client in clients]
    strategy.aggregate_fit(1, results, [])
    wanted = gaussian_mechanism.get_epsilon_gaussian(2.0 / (4 * 40 / 70), DELTA)
    assert app_privacy([begun], 4)["epsilon"] == pytest.approx(wanted)
    assert (
        "leaves noise or clipping"
        in app_privacy([Start.watched(older.DPFedAvgFixed(older.FedAvg(), 4, 1.0))], 4)["statement"]
    )
