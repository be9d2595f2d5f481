"""Bagging of trees: every round adds a tree per client to the model."""

from flwr.common import Parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedXgbBagging


def server_fn(context):
    strategy = FedXgbBagging(fraction_evaluate=0.0, min_available_clients=4, initial_parameters=Parameters([], ""))
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
