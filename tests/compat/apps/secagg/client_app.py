"""Linear regression behind the mod that masks what a client sends."""

import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import secaggplus_mod


def data(partition):
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(8 + 4 * partition, 3)).astype(np.float32)
    return x, (x @ [1.0, -2.0, 3.0] + rng.normal(size=len(x))).astype(np.float32)


class Regression(NumPyClient):
    def __init__(self, partition, lr):
        self.x, self.y = (torch.from_numpy(part) for part in data(partition))
        self.lr = lr

    def get_parameters(self, config):
        return [np.zeros(3, dtype=np.float32)]

    def fit(self, parameters, config):
        weights = torch.tensor(parameters[0], dtype=torch.float32, requires_grad=True)
        loss = torch.mean((self.x @ weights - self.y) ** 2)
        loss.backward()
        trained = (weights - self.lr * weights.grad).detach().numpy()
        return [trained], len(self.y), {"train_loss": float(loss.detach())}

    def evaluate(self, parameters, config):
        error = self.x @ torch.tensor(parameters[0], dtype=torch.float32) - self.y
        return float(torch.mean(error**2)), len(self.y), {"mae": float(error.abs().mean())}


def client_fn(context):
    return Regression(int(context.node_config["partition-id"]), context.run_config["lr"]).to_client()


app = ClientApp(client_fn=client_fn, mods=[secaggplus_mod])
