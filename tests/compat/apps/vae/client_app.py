"""A variational autoencoder: a model whose training draws noise."""

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.nn import functional

app = ClientApp()


class Autoencoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(6, 4), torch.nn.Linear(2, 6)

    def forward(self, x, noise):
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return self.decoder(mean + noise * torch.exp(log_var / 2)), mean, log_var


def trained(state, partition, round_, lr):
    """Return the state after two steps, and the last loss; what is drawn depends on the arguments alone."""
    net = Autoencoder()
    net.load_state_dict(state)
    rng = np.random.default_rng([partition, round_])
    x = torch.from_numpy(np.random.default_rng(partition).normal(size=(20 + partition, 6)).astype(np.float32))
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(2):
        noise = torch.from_numpy(rng.normal(size=(len(x), 2)).astype(np.float32))
        out, mean, log_var = net(x, noise)
        divergence = -0.5 * torch.mean(1 + log_var - mean**2 - log_var.exp())
        loss = functional.mse_loss(out, x) + divergence
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.state_dict(), loss.item()


@app.train()
def train(msg, context):
    partition = context.node_config["partition-id"]
    state, loss = trained(
        msg.content["arrays"].to_torch_state_dict(),
        partition,
        msg.content["config"]["server-round"],
        context.run_config["lr"],
    )
    metrics = MetricRecord({"num-examples": 20 + partition, "train_loss": loss})
    return Message(RecordDict({"arrays": ArrayRecord(state), "metrics": metrics}), reply_to=msg)
