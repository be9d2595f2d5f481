"""Statistics first: the strategy pools what the clients tell and sends it with the second round."""

import json

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import Server, ServerApp, ServerAppComponents, ServerConfig, SimpleClientManager
from flwr.server.strategy import FedAvg


class Statistics(FedAvg):
    pooled = None

    def configure_fit(self, server_round, parameters, client_manager):
        self.on_fit_config_fn = lambda round_: {
            "current_round": round_,
            **({"statistics": self.pooled} if round_ == 2 else {}),
        }
        return super().configure_fit(server_round, parameters, client_manager)

    def aggregate_fit(self, server_round, results, failures):
        if server_round == 1:
            told = [(result.num_examples, json.loads(result.metrics["statistics"])) for _, result in results]
            counts = [count for count, _ in told]
            means, variances = (np.array([each[name] for _, each in told]) for name in ("mean", "var"))
            mean = np.average(means, axis=0, weights=counts)
            var = np.average(variances + (means - mean) ** 2, axis=0, weights=counts)
            self.pooled = json.dumps({"mean": mean.tolist(), "var": var.tolist()})
            return None, {"pooled_mean": float(mean[0])}
        return super().aggregate_fit(server_round, results, failures)


class Saving(Server):
    """Keeps the history when the run is over, as the servers of some baselines do."""

    saved = None

    def fit(self, num_rounds, timeout):
        history, elapsed = super().fit(num_rounds, timeout)
        Saving.saved = history
        return history, elapsed


def server_fn(context):
    strategy = Statistics(
        fraction_evaluate=0.0,
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters([np.zeros(3, dtype=np.float32)]),
    )
    server = Saving(client_manager=SimpleClientManager(), strategy=strategy)
    return ServerAppComponents(config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), server=server)


app = ServerApp(server_fn=server_fn)
