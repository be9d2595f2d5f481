"""Differential privacy of old: clients clip in a mod, the server's wrapper adds noise."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg


def server_fn(context):
    average = FedAvg(
        fraction_evaluate=0.0,
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters([np.zeros(3, dtype=np.float32)]),
    )
    strategy = DifferentialPrivacyClientSideFixedClipping(
        average, noise_multiplier=context.run_config["noise"], clipping_norm=0.25, num_sampled_clients=5
    )
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
