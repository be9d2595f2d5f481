"""FedBN: FedAvg over what clients send; how many batches each client's normaliser has seen is their metric."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


def seen(metrics):
    return {"batches_seen": float(np.mean([told["batches_seen"] for _, told in metrics]))}


def server_fn(context):
    start = [np.zeros((1, 3), dtype=np.float32), np.zeros(1, dtype=np.float32)]
    strategy = FedAvg(
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters(start),
        evaluate_metrics_aggregation_fn=seen,
    )
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
