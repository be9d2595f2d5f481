"""FedAvg over logistic regressions."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


def accuracy(metrics):
    return {"accuracy": float(np.average([told["accuracy"] for _, told in metrics], weights=[n for n, _ in metrics]))}


def server_fn(context):
    strategy = FedAvg(
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters([np.zeros((1, 3)), np.zeros(1)]),
        evaluate_metrics_aggregation_fn=accuracy,
    )
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
