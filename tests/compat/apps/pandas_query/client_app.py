"""Nodes answer questions about a pandas frame."""

import numpy as np
import pandas as pd
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def frame(partition):
    rng = np.random.default_rng(partition)
    return pd.DataFrame({"length": rng.normal(5, 1, 50), "width": rng.normal(3, 1, 50)})


@app.query()
def moments(msg, context):
    told = frame(context.node_config["partition-id"])[msg.content["config"]["column"]]
    answer = MetricRecord({"count": int(told.count()), "sum": float(told.sum())})
    return Message(RecordDict({"answer": answer}), reply_to=msg)
