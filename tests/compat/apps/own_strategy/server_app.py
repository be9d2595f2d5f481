"""A strategy written against Flower's older base class: the median of all clients, tested by the server."""

import numpy as np
from flwr.common import FitIns, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import Strategy


class Median(Strategy):
    def initialize_parameters(self, client_manager):
        return ndarrays_to_parameters([np.zeros(3, dtype=np.float32)])

    def configure_fit(self, server_round, parameters, client_manager):
        client_manager.wait_for(4)
        return [
            (client, FitIns(parameters, {"server_round": server_round})) for client in client_manager.all().values()
        ]

    def aggregate_fit(self, server_round, results, failures):
        arrays = [parameters_to_ndarrays(result.parameters)[0] for _, result in results]
        return ndarrays_to_parameters([np.median(arrays, axis=0)]), {"answers": len(results)}

    def configure_evaluate(self, server_round, parameters, client_manager):
        return []

    def aggregate_evaluate(self, server_round, results, failures):
        return None, {}

    def evaluate(self, server_round, parameters):
        [weights] = parameters_to_ndarrays(parameters)
        return float(np.mean((weights - [1.0, -2.0, 3.0]) ** 2)), {"norm": float(np.linalg.norm(weights))}


app = ServerApp(
    server_fn=lambda context: ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=Median()
    )
)
