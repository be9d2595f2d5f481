"""Differential privacy in the message API: the server clips and adds noise."""

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    strategy = DifferentialPrivacyServerSideFixedClipping(
        FedAvg(fraction_evaluate=0.0, min_available_nodes=4),
        noise_multiplier=context.run_config["noise"],
        clipping_norm=0.25,
        num_sampled_clients=5,
    )
    strategy.start(
        grid,
        ArrayRecord({"w": Array(np.zeros(3, dtype=np.float32))}),
        num_rounds=context.run_config["num-server-rounds"],
    )
