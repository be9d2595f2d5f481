"""What a client does when it is asked to train or to evaluate."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_app.task import Net, client_data, test, train

app = ClientApp()


@app.train()
def fit(msg: Message, context: Context) -> Message:
    """Train the model that came on this client's rows."""
    net = Net()
    net.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    x, y = client_data(context.node_config["partition-id"], context.node_config["num-partitions"])
    config = context.run_config
    loss = train(net, x, y, config["local-epochs"], config["batch-size"], config["lr"])
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(y)})
    return Message(RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test the model that came on this client's rows."""
    net = Net()
    net.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    x, y = client_data(context.node_config["partition-id"], context.node_config["num-partitions"])
    loss, accuracy = test(net, x, y)
    metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(y)})
    return Message(RecordDict({"metrics": metrics}), reply_to=msg)
