"""Federated analytics: the server sums histograms of growing detail."""

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    for detail in range(1, context.run_config["num-server-rounds"] + 1):
        edges = np.linspace(-5, 5, 2**detail + 1).tolist()
        content = RecordDict({"config": ConfigRecord({"edges": edges})})
        replies = grid.send_and_receive([Message(content, node, "query") for node in grid.get_node_ids()])
        total = np.sum([reply.content["counts"]["counts"] for reply in replies], axis=0)
        print("histogram", total.tolist())
