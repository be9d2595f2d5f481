"""What the server does: federated averaging, with the global model tested after every round."""

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits_app.task import Net, test, test_data

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    config = context.run_config
    strategy = FedAvg(fraction_train=config["fraction-train"], fraction_evaluate=0.0)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(Net().state_dict()),
        num_rounds=config["num-server-rounds"],
        evaluate_fn=global_test,
    )


def global_test(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Test the global model on rows that no client has."""
    del server_round
    net = Net()
    net.load_state_dict(arrays.to_torch_state_dict())
    loss, accuracy = test(net, *test_data())
    return MetricRecord({"accuracy": accuracy, "loss": loss})
