"""Vertical learning: every node holds one feature of the same rows, and a bottom model for it."""

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp

ROWS = 20
app = ClientApp()


def column(partition):
    return np.random.default_rng(partition).normal(size=ROWS).astype(np.float32)


def weight(context):
    held = context.state.array_records.get("bottom")
    return torch.ones(1) if held is None else held.to_torch_state_dict()["w"]


@app.query("embed")
def embed(msg, context):
    x = torch.from_numpy(column(context.node_config["partition-id"]))
    embedding = torch.outer(x, weight(context))
    return Message(RecordDict({"arrays": ArrayRecord({"e": Array(embedding.numpy())})}), reply_to=msg)


@app.train("apply")
def apply(msg, context):
    x = torch.from_numpy(column(context.node_config["partition-id"]))
    gradient = torch.from_numpy(msg.content["arrays"]["g"].numpy())
    w = weight(context) - context.run_config["lr"] * (x[None] @ gradient)[0]
    context.state.array_records["bottom"] = ArrayRecord({"w": Array(w.numpy())})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(w.numpy())})}), reply_to=msg)
