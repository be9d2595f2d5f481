"""(b) Flower's own simulation: run_simulation on Ray, two workers of one core, FedAvg without client evaluation."""

from __future__ import annotations

import logging
import os
from pathlib import Path

os.environ["RAY_DEDUP_LOGS"] = "0"
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import flwr
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch_nets import accuracy, build, local_epoch
from work import SAMPLES, Stopwatch, arguments, data

HERE = str(Path(__file__).resolve().parent)
GUESS = {"mlp": 120, "cnn": 60}


def client_app(work):
    """Return the client; each worker process loads the data once."""
    app = ClientApp()
    cache = {}

    @app.train()
    def train(message, context):
        if not cache:
            torch.set_num_threads(1)
            x, y, rows = data(work)
            x, y = torch.from_numpy(x).to(work.device), torch.from_numpy(y).to(work.device)
            cache.update(x=x, y=y, rows=rows, net=build(work.model).to(work.device))
        net = cache["net"]
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        own = torch.from_numpy(cache["rows"][context.node_config["partition-id"]]).to(work.device)
        local_epoch(net, cache["x"][own], cache["y"][own], work.lr)
        state = {name: value.cpu() for name, value in net.state_dict().items()}
        content = {"arrays": ArrayRecord(state), "metrics": MetricRecord({"num-examples": SAMPLES})}
        return Message(content=RecordDict(content), reply_to=message)

    return app


def main():
    logging.getLogger("flwr").setLevel(logging.ERROR)
    work = arguments()
    x, y, _ = data(work)
    net = build(work.model)
    watch = Stopwatch(work, "Flower simulation")
    rounds = watch.planned_rounds(GUESS[work.model])
    server = ServerApp()

    @server.main()
    def serve(grid, _context):
        watch.restart()

        def after_round(number, arrays):
            if number:
                watch.lap()
            net.load_state_dict(arrays.to_torch_state_dict())

        strategy = FedAvg(fraction_train=work.cohort / work.fleet, fraction_evaluate=0.0, min_train_nodes=work.cohort)
        strategy.start(grid, ArrayRecord(net.state_dict()), num_rounds=rounds, evaluate_fn=after_round)

    share = 0.5 if work.accelerator == "cuda" else 0.0
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": share}, "init_args": {"num_cpus": 2}}
    run_simulation(server, client_app(work), num_supernodes=work.fleet, backend_config=resources)
    watch.report(
        accuracy(net, torch.from_numpy(x), torch.from_numpy(y)),
        processes=2,
        torch=torch.__version__,
        flwr=flwr.__version__,
    )


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = HERE + os.pathsep + os.environ.get("PYTHONPATH", "")
    main()
