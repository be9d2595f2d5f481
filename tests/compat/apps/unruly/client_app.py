"""Clients that sleep, raise, end their program, lack a library or do nothing; which does what, their partition says."""

import sys
import time

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg, context):
    if context.run_config["nobody-trains"]:
        raise RuntimeError(f"nothing on {context.node_id}")
    kind = context.node_config["partition-id"]
    if kind == 1:
        time.sleep(100)
    if kind == 2:
        raise ValueError(f"no data in {object()}")
    if kind == 3:
        sys.exit(3)
    if kind == 4:
        import a_library_that_is_not_there  # noqa: F401
    arrays = msg.content["arrays"]
    if kind != 5:
        weights = torch.from_numpy(arrays.to_numpy_ndarrays()[0])
        arrays = ArrayRecord([(weights @ weights.T @ weights * 0.01 + kind).numpy()])
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}), reply_to=msg)


@app.evaluate()
def evaluate(msg, context):
    if context.run_config["nobody-evaluates"]:
        raise KeyError("test set")
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 2, "accuracy": 0.5})}), reply_to=msg)
