"""The server asks for the mean of each column."""

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    for column in ("length", "width"):
        content = RecordDict({"config": ConfigRecord({"column": column})})
        answers = [
            reply.content["answer"]
            for reply in grid.send_and_receive([Message(content, node, "query") for node in grid.get_node_ids()])
        ]
        print(column, sum(a["sum"] for a in answers) / sum(a["count"] for a in answers))
