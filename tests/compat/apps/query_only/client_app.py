"""Federated analytics: nodes count their data and train nothing."""

import numpy as np
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def count(msg, context):
    values = np.random.default_rng(context.node_config["partition-id"]).normal(size=100)
    counts, _ = np.histogram(values, bins=msg.content["config"]["edges"])
    return Message(RecordDict({"counts": MetricRecord({"counts": counts.tolist()})}), reply_to=msg)
