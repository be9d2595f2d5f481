"""FedProx: several local steps, pulled back to the global model by what the server's config says."""

import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient

STEPS = 4


def data(partition):
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(8 + 4 * partition, 3)).astype(np.float32)
    return x, (x @ [1.0, -2.0, 3.0] + rng.normal(size=len(x))).astype(np.float32)


class Proximal(NumPyClient):
    def __init__(self, partition, lr):
        self.x, self.y = (torch.from_numpy(part) for part in data(partition))
        self.lr = lr

    def fit(self, parameters, config):
        start = torch.tensor(parameters[0])
        weights = start.clone().requires_grad_()
        optimiser = torch.optim.SGD([weights], lr=self.lr)
        for _ in range(STEPS):
            optimiser.zero_grad()
            near = config["proximal_mu"] / 2 * torch.sum((weights - start) ** 2)
            loss = torch.mean((self.x @ weights - self.y) ** 2) + near
            loss.backward()
            optimiser.step()
        return [weights.detach().numpy()], len(self.y), {}


app = ClientApp(
    client_fn=lambda context: Proximal(int(context.node_config["partition-id"]), context.run_config["lr"]).to_client()
)
