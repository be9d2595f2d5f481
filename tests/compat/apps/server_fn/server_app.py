"""A server_fn with Flower's FedAvg of old; the model comes from a client."""

from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


def weighted(metrics):
    examples = sum(count for count, _ in metrics)
    return {name: sum(count * told[name] for count, told in metrics) / examples for name in metrics[0][1]}


def server_fn(context):
    strategy = FedAvg(
        fit_metrics_aggregation_fn=weighted,
        evaluate_metrics_aggregation_fn=weighted,
        min_available_clients=4,
    )
    return ServerAppComponents(
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]), strategy=strategy
    )


app = ServerApp(server_fn=server_fn)
