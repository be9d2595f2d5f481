"""The message API: FedAvg trains and evaluates."""

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    FedAvg(min_available_nodes=4).start(
        grid,
        ArrayRecord({"w": Array(np.zeros(3, dtype=np.float32))}),
        num_rounds=context.run_config["num-server-rounds"],
    )
