"""Apps of old on Flower's own simulation, with its threads, its Ray and its clock: the model must be the same."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, run_app
from fedlite.scenario.loader import load_fleet

APPS = Path(__file__).parent / "apps"
DEVICES = 5
SIMULATED = """
from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

import client_app, server_app

CONFIG = {"num-server-rounds": 3, "lr": 0.1}
found = []


def told(context):
    # run_simulation has no way to give an app its config.
    return Context(context.run_id, context.node_id, context.node_config, context.state, CONFIG)


class Told(ClientApp):
    def __call__(self, message, context):
        return client_app.app(message, told(context))


client = Told()


def watched(strategy):
    # Nodes of a simulation come one after the other: a strategy that may begin with few does.
    strategy.min_available_clients = strategy.min_fit_clients = 5
    aggregate = strategy.aggregate_fit

    def noted(*args):
        result = aggregate(*args)
        found.append(result[0])
        return result

    strategy.aggregate_fit = noted
    return strategy


def server_fn(context):
    components = server_app.server_fn(told(context))
    watched(components.strategy or components.server.strategy)
    return components


if server_app.app._main is None:
    server = ServerApp(server_fn=server_fn)
else:
    fedavg = server_app.FedAvg
    server_app.FedAvg = lambda **settings: watched(fedavg(**settings))
    server = ServerApp()
    server.main()(lambda grid, context: server_app.app._main(grid, told(context)))
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("server_fn", 1e-5), ("fedbn", 1e-5), ("statavg", 1e-5), ("secagg", 0.05)]
)
def test_the_model_is_that_of_flowers_own_simulation(kind, tolerance, tmp_path, monkeypatch):
    import ray
    from flwr.common import parameters_to_ndarrays
    from flwr.simulation import run_simulation

    from fedlite.flower.app_dir import load_component

    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(f"name: simulated\nseed: 5\nfleet: {{devices: {DEVICES}, mix: iot-gateway}}\n", encoding="utf-8")
    ours = run_app(APPS / kind, load_fleet(fleet), settings=Settings("local"), out=tmp_path / "run")
    (tmp_path / "simulated.py").write_text(SIMULATED, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{APPS / kind}:{tmp_path}", prepend=":")
    monkeypatch.syspath_prepend(str(APPS / kind))
    server, client, theirs = (load_component(f"simulated:{name}", tmp_path) for name in ("server", "client", "found"))
    try:
        run_simulation(server, client, num_supernodes=DEVICES, backend_config={"client_resources": {"num_cpus": 1}})
    finally:
        ray.shutdown()
        for name in ("simulated", "client_app", "server_app"):
            sys.modules.pop(name, None)
    expected = parameters_to_ndarrays([parameters for parameters in theirs if parameters is not None][-1])
    model = list(RunDirectory(ours.path).read_model().values())
    assert len(model) == len(expected)
    for values, reference in zip(model, expected, strict=True):
        assert values.shape == reference.shape
        assert np.abs(reference).max() > 0.01
        assert values == pytest.approx(reference, abs=tolerance)
