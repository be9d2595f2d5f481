"""Personal heads on a common body: the head stays in context.state, and evaluation uses the personal model."""

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from flwr.client import ClientApp, NumPyClient
from flwr.common import bytes_to_ndarray

HEAD = "head"


def data(partition):
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(8 + 4 * partition, 3)).astype(np.float32)
    return x, (x @ [1.0, -2.0, 3.0] + 10 * partition).astype(np.float32)


class Personal(NumPyClient):
    def __init__(self, partition, lr, state):
        self.partition, self.lr, self.state = partition, lr, state
        self.x, self.y = (torch.from_numpy(part) for part in data(partition))
        held = state.array_records.get(HEAD)
        self.head = torch.zeros(1) if held is None else held.to_torch_state_dict()["bias"]

    def get_properties(self, config):
        return {"partition-id": self.partition}

    def loss(self, body, head):
        return torch.mean((self.x @ body + head - self.y) ** 2)

    def fit(self, parameters, config):
        body = torch.tensor(parameters[0], requires_grad=True)
        head = self.head.clone().requires_grad_()
        self.loss(body, head).backward()
        self.state.array_records[HEAD] = ArrayRecord({"bias": Array((head - self.lr * head.grad).detach().numpy())})
        scale = float(bytes_to_ndarray(config["scale"])[0])
        return [(body - scale * self.lr * body.grad).detach().numpy()], len(self.y), {}

    def evaluate(self, parameters, config):
        with torch.no_grad():
            loss = self.loss(torch.tensor(parameters[0]), self.head)
        return float(loss), len(self.y), {"head": float(self.head)}


app = ClientApp(
    client_fn=lambda context: Personal(
        int(context.node_config["partition-id"]), context.run_config["lr"], context.state
    ).to_client()
)
