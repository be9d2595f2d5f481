"""A ServerApp that is given its config and strategy: older than server_fn."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerConfig
from flwr.server.strategy import FedAvg

app = ServerApp(
    config=ServerConfig(num_rounds=3),
    strategy=FedAvg(initial_parameters=ndarrays_to_parameters([np.zeros(3, dtype=np.float32)])),
)
