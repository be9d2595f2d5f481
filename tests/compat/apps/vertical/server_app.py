"""Vertical learning: the server joins embeddings and returns gradients.

It pushes the next request for embeddings to a node before that node has answered what it was pushed before.
"""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

ROWS = 20
app = ServerApp()


def label():
    return sum(np.random.default_rng(partition).normal(size=ROWS) * (1 + partition) for partition in range(3))


def pulled(grid, ids):
    waiting, found = set(ids), {}
    while waiting:
        for reply in grid.pull_messages(waiting):
            waiting.remove(reply.metadata.reply_to_message_id)
            found[reply.metadata.src_node_id] = reply.content["arrays"]
    return found


@app.main()
def main(grid, context):
    nodes = list(grid.get_node_ids())[:3]
    asked = grid.push_messages([Message(RecordDict(), node, "query.embed") for node in nodes])
    for round_ in range(context.run_config["num-server-rounds"]):
        embeddings = pulled(grid, asked)
        error = sum(record["e"].numpy()[:, 0] for record in embeddings.values()) - label()
        print(f"round {round_ + 1}: error {np.mean(error**2):.6f}")
        gradient = RecordDict({"arrays": ArrayRecord({"g": Array((2 / ROWS * error[:, None]).astype(np.float32))})})
        applied = grid.push_messages([Message(gradient, node, "train.apply") for node in nodes])
        asked = grid.push_messages([Message(RecordDict(), node, "query.embed") for node in nodes])
        pulled(grid, applied)
    error = sum(record["e"].numpy()[:, 0] for record in pulled(grid, asked).values()) - label()
    print(f"end: error {np.mean(error**2):.6f}")
