"""What the server does: it averages scores, and never sees a net."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedmd_app.task import CLASSES

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    config = context.run_config
    scores = np.zeros((config["public-rows"], CLASSES), dtype=np.float32)
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=1.0, weighted_by_key="equal")
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({"scores": Array(scores)}),
        num_rounds=config["num-server-rounds"],
    )
