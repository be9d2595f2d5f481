"""What a client does: it keeps its net, and sends what that says of the public rows."""

from __future__ import annotations

import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn
from torch.nn import functional as F

from fedmd_app.task import client_data, learn, net_of, public_data, test_data

app = ClientApp()
NET = "net"
"""Where a node's state keeps its own net between rounds."""


@app.train()
def teach(msg: Message, context: Context) -> Message:
    """Digest what all said of the public rows, revisit one's own, and say what one thinks of the public ones now."""
    config, mine = context.run_config, int(context.node_config["partition-id"])
    net, fresh = _own(context, mine)
    public, labels = public_data(config["public-rows"])
    x, y = client_data(mine, int(context.node_config["num-partitions"]), config["public-rows"])
    size, lr = config["batch-size"], config["lr"]
    if fresh:
        learn(net, public, labels, config["first-epochs"], size, lr)
        learn(net, x, y, config["first-epochs"], size, lr)
    if msg.content["config"]["server-round"] > 1:
        together = torch.tensor(msg.content["arrays"]["scores"].numpy())
        learn(net, public, together, config["digest-epochs"], size, lr)
    loss = learn(net, x, y, config["revisit-epochs"], size, lr)
    context.state[NET] = ArrayRecord(net.state_dict())
    with torch.no_grad():
        scores = net(public).numpy()
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(y), "equal": 1.0})
    return Message(RecordDict({"arrays": ArrayRecord({"scores": Array(scores)}), "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test one's own net on rows that nobody trains on."""
    net, _ = _own(context, int(context.node_config["partition-id"]))
    x, y = test_data()
    with torch.no_grad():
        scores = net(x)
    told = {"eval_loss": F.cross_entropy(scores, y).item(), "eval_acc": (scores.argmax(1) == y).float().mean().item()}
    return Message(RecordDict({"metrics": MetricRecord({**told, "num-examples": len(y), "equal": 1.0})}), reply_to=msg)


def _own(context: Context, partition: int) -> tuple[nn.Module, bool]:
    """Return the net that this node keeps, and whether it is a new one."""
    net = net_of(partition)
    if NET not in context.state:
        return net, True
    net.load_state_dict(context.state[NET].to_torch_state_dict())
    return net, False
