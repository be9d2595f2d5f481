"""A client in numpy alone: its work cannot be counted and is declared (--macs)."""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def data(partition):
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(8 + 4 * partition, 3))
    return x, x @ [1.0, -2.0, 3.0] + rng.normal(size=len(x))


@app.train()
def train(msg, context):
    x, y = data(context.node_config["partition-id"])
    weights = msg.content["arrays"]["w"].numpy()
    weights = weights - context.run_config["lr"] * 2 / len(y) * x.T @ (x @ weights - y)
    metrics = MetricRecord({"num-examples": len(y)})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(weights)}), "metrics": metrics}), reply_to=msg)
