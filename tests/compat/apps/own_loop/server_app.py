"""A loop of the app's own: it pushes, pulls until all have answered, and averages; no message names its round."""

import time

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


def replies_to(grid, messages):
    waiting, replies = set(grid.push_messages(messages)), []
    while waiting:
        for reply in grid.pull_messages(waiting):
            waiting.remove(reply.metadata.reply_to_message_id)
            replies.append(reply)
        time.sleep(1)
    return replies


@app.main()
def main(grid, context):
    weights = np.zeros(3, dtype=np.float32)
    for _ in range(context.run_config["num-server-rounds"]):
        content = RecordDict({"arrays": ArrayRecord({"w": Array(weights)})})
        replies = replies_to(grid, [Message(content, node, "train") for node in grid.get_node_ids()])
        examples = [reply.content["metrics"]["num-examples"] for reply in replies]
        weights = np.average(
            [reply.content["arrays"]["w"].numpy() for reply in replies], axis=0, weights=examples
        ).astype(np.float32)
    content = RecordDict({"arrays": ArrayRecord({"w": Array(weights)})})
    losses = [
        reply.content["metrics"]["loss"]
        for reply in replies_to(grid, [Message(content, node, "evaluate") for node in grid.get_node_ids()])
    ]
    print(f"tested by {len(losses)} nodes: {np.mean(losses):.6f}")
