"""Linear regression, one full-batch step; the server has a loop of its own."""

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def data(partition):
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(8 + 4 * partition, 3)).astype(np.float32)
    return x, (x @ [1.0, -2.0, 3.0] + rng.normal(size=len(x))).astype(np.float32)


def loss_of(msg, context):
    x, y = (torch.from_numpy(part) for part in data(context.node_config["partition-id"]))
    weights = msg.content["arrays"].to_torch_state_dict()["w"].requires_grad_()
    return torch.mean((x @ weights - y) ** 2), weights, len(y)


@app.train()
def train(msg, context):
    loss, weights, examples = loss_of(msg, context)
    loss.backward()
    trained = (weights - context.run_config["lr"] * weights.grad).detach()
    metrics = MetricRecord({"num-examples": examples, "train_loss": loss.item()})
    return Message(RecordDict({"arrays": ArrayRecord({"w": trained}), "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg, context):
    loss, _, examples = loss_of(msg, context)
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": examples, "loss": loss.item()})}), reply_to=msg)
