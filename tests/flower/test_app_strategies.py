"""Every stock strategy of Flower that takes arrays, and the four wrappers, unmodified with a ClientApp on the grid."""

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.serverapp import strategy as flower

from fedlite.flower import compat
from fedlite.flower.app_prices import Declared
from fedlite.flower.app_worker import seeded
from fedlite.flower.grid import RoundPolicy

CLIENT = """
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
{imports}

app = ClientApp(mods=[{mods}])
TARGET = np.linspace(-1, 1, 6).reshape(2, 3)

@app.train()
def train(msg, context):
    [weights] = msg.content["arrays"].to_numpy_ndarrays()
    shift = 0.01 * context.node_config["partition-id"]
    gap = TARGET + shift - weights
    arrays = ArrayRecord([(weights + 0.5 * gap).astype(np.float32)])
    examples = 10 + context.node_config["partition-id"]
    metrics = MetricRecord({{"num-examples": examples, "train_loss": float((gap**2).mean())}})
    return Message(RecordDict({{"arrays": arrays, "metrics": metrics}}), reply_to=msg)

@app.evaluate()
def evaluate(msg, context):
    [weights] = msg.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({{"num-examples": 10, "eval_loss": float(((TARGET - weights) ** 2).mean())}})
    return Message(RecordDict({{"metrics": metrics}}), reply_to=msg)
"""
SAMPLING = {"fraction_train": 1.0, "fraction_evaluate": 0.5, "min_train_nodes": 7, "min_available_nodes": 7}
STOCK = {
    "FedAvg": {},
    "FedAvgM": {"server_momentum": 0.5},
    "FedProx": {"proximal_mu": 0.1},
    "FedAdam": {"eta": 0.1},
    "FedAdagrad": {"eta": 0.1},
    "FedYogi": {"eta": 0.1},
    "QFedAvg": {"client_learning_rate": 0.5},
    "FedMedian": {},
    "FedTrimmedAvg": {},
    "Krum": {"num_malicious_nodes": 1},
    "MultiKrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 3},
    "Bulyan": {"num_malicious_nodes": 1},
}


def run(lab, strategy, rounds=4):
    start = ArrayRecord([np.zeros((2, 3), dtype=np.float32)])
    with seeded(1), compat.virtual_sleep(lab.grid.wait), compat.cheap_collections():
        result = strategy.start(lab.grid, start, num_rounds=rounds)
    return result, next(iter(result.arrays.to_numpy_ndarrays()))


def off(weights):
    return float(((np.linspace(-1, 1, 6).reshape(2, 3) - weights) ** 2).mean())


@pytest.mark.parametrize("name", STOCK)
def test_a_stock_strategy_learns_on_the_grid_and_twice_the_same(app_grid, name):
    seen = []
    for _ in range(2):
        lab = app_grid(CLIENT.format(imports="", mods=""), devices=8, declared=Declared.working(1e6))
        result, weights = run(lab, getattr(flower, name)(**SAMPLING, **STOCK[name]))
        assert len(result.evaluate_metrics_clientapp) == 4
        seen.append((weights.tobytes(), lab.ledger.digest(), lab.grid.clock.now_s))
    assert off(weights) < 0.5 * off(np.zeros((2, 3)))
    assert seen[0] == seen[1]


WRAPPERS = {
    "DifferentialPrivacyServerSideFixedClipping": ("", {"clipping_norm": 5.0}),
    "DifferentialPrivacyServerSideAdaptiveClipping": ("", {"initial_clipping_norm": 5.0}),
    "DifferentialPrivacyClientSideFixedClipping": ("fixedclipping_mod", {"clipping_norm": 5.0}),
    "DifferentialPrivacyClientSideAdaptiveClipping": ("adaptiveclipping_mod", {"initial_clipping_norm": 5.0}),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_privacy_wrapper_works_with_its_mod(app_grid, name):
    mod, options = WRAPPERS[name]
    imports = f"from flwr.clientapp.mod import {mod}" if mod else ""
    lab = app_grid(CLIENT.format(imports=imports, mods=mod), devices=8, declared=Declared.working(1e6))
    wrapped = getattr(flower, name)(flower.FedAvg(**SAMPLING), 1e-3, num_sampled_clients=8, **options)
    result, weights = run(lab, wrapped)
    assert len(result.train_metrics_clientapp) == 4
    assert off(weights) < 0.5 * off(np.zeros((2, 3)))


def test_one_dead_phone_does_not_void_a_private_round_if_it_stays_silent(app_grid):
    source = CLIENT.format(imports="", mods="").replace(
        "gap = TARGET", "assert context.node_config['partition-id']\n    gap = TARGET"
    )
    lab = app_grid(source, devices=8, declared=Declared.working(1e6), policy=RoundPolicy(failures="missing"))
    guarded = flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(**SAMPLING), 1e-3, 5.0, 8)
    result, _ = run(lab, guarded, rounds=1)
    assert len(result.train_metrics_clientapp) == 1


def test_local_privacy_adds_noise_on_the_client(app_grid):
    told = {}
    for mods in ("", "LocalDpMod(1.0, 0.5, 1.0, 1e-5)"):
        source = CLIENT.format(imports="from flwr.clientapp.mod import LocalDpMod", mods=mods)
        lab = app_grid(source, devices=8, declared=Declared.working(1e6))
        told[mods], weights = run(lab, flower.FedAvg(**SAMPLING), rounds=1)
        told[mods] = weights
    assert not np.allclose(*told.values(), atol=1e-3)
