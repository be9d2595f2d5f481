"""FedProx of old: proximal_mu reaches the clients through their config; only fits are asked for."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedProx


def server_fn(context):
    strategy = FedProx(
        proximal_mu=2.0,
        fraction_evaluate=0.0,
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters([np.zeros(3, dtype=np.float32)]),
    )
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
