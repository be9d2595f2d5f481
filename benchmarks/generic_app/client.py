"""The app that is measured on both: FedAvg over clients that train an MLP 64-32-10 on 64 samples, or only echo it."""

import os
import time

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from torch.nn import functional as F

FLEET = int(os.environ.get("BENCH_FLEET", "1000"))
COHORT = int(os.environ.get("BENCH_COHORT", "100"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "6"))
TRAINS = os.environ.get("BENCH_WORK", "train") == "train"

app = ClientApp()
server = ServerApp()
MOMENTS = []


def net():
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


@app.train()
def train(msg, _context):
    state = msg.content["arrays"].to_torch_state_dict()
    if TRAINS:
        torch.set_num_threads(1)
        model = net()
        model.load_state_dict(state)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, y = torch.rand(64, 64), torch.randint(10, (64,))
        for rows in torch.arange(64).split(16):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        state = model.state_dict()
    content = RecordDict({"arrays": ArrayRecord(state), "metrics": MetricRecord({"num-examples": 64})})
    return Message(content, reply_to=msg)


def tick(_round, _arrays):
    MOMENTS.append(time.perf_counter())


@server.main()
def main(grid, _context):
    strategy = FedAvg(fraction_train=COHORT / FLEET, fraction_evaluate=0.0)
    strategy.start(grid, ArrayRecord(net().state_dict()), num_rounds=ROUNDS, timeout=1e9, evaluate_fn=tick)
