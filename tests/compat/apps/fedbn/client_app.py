"""FedBN: what normalises stays with its client, in context.state; the rest is averaged."""

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from flwr.client import ClientApp, NumPyClient

HELD = "batch norm"


def data(partition):
    rng = np.random.default_rng(partition)
    x = (rng.normal(size=(8 + 4 * partition, 3)) * (1 + partition) + partition).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(x.sum(axis=1, keepdims=True))


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))


class Normalised(NumPyClient):
    def __init__(self, partition, lr, state):
        self.x, self.y = data(partition)
        self.lr, self.state, self.net = lr, state, net()

    def load(self, parameters):
        self.net[1].load_state_dict({k: torch.tensor(v) for k, v in zip(("weight", "bias"), parameters, strict=True)})
        if HELD in self.state.array_records:
            self.net[0].load_state_dict(self.state.array_records[HELD].to_torch_state_dict())

    def fit(self, parameters, config):
        self.load(parameters)
        optimiser = torch.optim.SGD(self.net.parameters(), lr=self.lr)
        loss = torch.nn.functional.mse_loss(self.net(self.x), self.y)
        loss.backward()
        optimiser.step()
        held = {name: Array(value.numpy()) for name, value in self.net[0].state_dict().items()}
        self.state.array_records[HELD] = ArrayRecord(held)
        return [value.numpy() for value in self.net[1].state_dict().values()], len(self.y), {}

    def evaluate(self, parameters, config):
        self.load(parameters)
        seen = int(self.net[0].num_batches_tracked)
        self.net.eval()
        with torch.no_grad():
            loss = torch.nn.functional.mse_loss(self.net(self.x), self.y)
        return float(loss), len(self.y), {"batches_seen": seen, "mean_seen": float(self.net[0].running_mean[0])}


app = ClientApp(
    client_fn=lambda context: Normalised(
        int(context.node_config["partition-id"]), context.run_config["lr"], context.state
    ).to_client()
)
