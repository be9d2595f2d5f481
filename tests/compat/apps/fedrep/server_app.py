"""A strategy that asks each client for its properties before a round, and gives each a config of its own."""

import numpy as np
from flwr.common import FitIns, GetPropertiesIns, ndarray_to_bytes, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


class PersonalHeads(FedAvg):
    def configure_fit(self, server_round, parameters, client_manager):
        asked = super().configure_fit(server_round, parameters, client_manager)
        found = []
        for client, _ in asked:
            told = client.get_properties(GetPropertiesIns({}), timeout=30, group_id=server_round)
            scale = np.array([1 / (1 + told.properties["partition-id"])])
            found.append((client, FitIns(parameters, {"scale": ndarray_to_bytes(scale)})))
        return found


def heads(metrics):
    return {"largest_head": max(told["head"] for _, told in metrics)}


def server_fn(context):
    strategy = PersonalHeads(
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters([np.zeros(3, dtype=np.float32)]),
        evaluate_metrics_aggregation_fn=heads,
    )
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
