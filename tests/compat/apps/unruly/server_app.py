"""A server that reads its clock, and raises in the end if a file that it waits for is not there."""

import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    began = time.monotonic()
    config = context.run_config
    strategy = FedAvg(fraction_evaluate=config["fraction-evaluate"], min_available_nodes=2)
    strategy.start(grid, ArrayRecord([np.eye(4, dtype=np.float32)]), num_rounds=2, timeout=5000)
    if config["waits-for"] and not Path(config["waits-for"]).exists():
        raise RuntimeError(f"nothing to read after {time.monotonic() - began:.1f} s")
