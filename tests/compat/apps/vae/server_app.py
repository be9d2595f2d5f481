"""FedAvg over autoencoders."""

import torch
from client_app import Autoencoder
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    torch.manual_seed(0)
    FedAvg(fraction_evaluate=0.0, min_available_nodes=4).start(
        grid, ArrayRecord(Autoencoder().state_dict()), num_rounds=context.run_config["num-server-rounds"]
    )
