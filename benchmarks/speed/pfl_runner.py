"""(c) Apple's pfl, PyTorch, its simulated back end in one process (its default)."""

from __future__ import annotations

import logging
from importlib.metadata import version

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import nn
from torch_nets import accuracy, build
from work import BATCH, Stopwatch, arguments, data

GUESS = {"mlp": 600, "cnn": 120}


class Net(nn.Module):
    """The net with the two methods that pfl asks for."""

    def __init__(self, model):
        super().__init__()
        self.net = build(model)

    def forward(self, x):
        return self.net(x)

    def loss(self, x, y, **_):
        return nn.functional.cross_entropy(self.net(x), y)

    def metrics(self, x, y, **_):
        with torch.no_grad():
            return {"loss": Weighted(nn.functional.cross_entropy(self.net(x), y, reduction="sum").item(), len(y))}


class Laps(TrainingProcessCallback):
    """One lap of the stopwatch per central iteration."""

    def __init__(self, watch):
        self.watch = watch

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        more = self.watch.lap()
        return not more, Metrics()


def main():
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    work = arguments()
    x, y, rows = data(work)
    inputs, labels = torch.from_numpy(x).to(work.device), torch.from_numpy(y).to(work.device)
    draw = np.random.default_rng(0)
    users = {
        k: Dataset((inputs[r], labels[r]), user_id=str(k)) for k, r in enumerate(torch.from_numpy(rows).to(work.device))
    }
    federation = FederatedDataset(users.__getitem__, lambda: int(draw.integers(work.fleet)))
    backend = SimulatedBackend(training_data=federation, val_data=None)
    net = Net(work.model).to(work.device)
    model = PyTorchModel(net, torch.optim.SGD, torch.optim.SGD(net.parameters(), lr=1.0))
    parameters = NNAlgorithmParams(
        central_num_iterations=1000, evaluation_frequency=10**9, train_cohort_size=work.cohort, val_cohort_size=None
    )
    local = NNTrainHyperParams(local_num_epochs=1, local_learning_rate=work.lr, local_batch_size=BATCH)
    watch = Stopwatch(work, "pfl")
    FederatedAveraging().run(
        algorithm_params=parameters,
        backend=backend,
        model=model,
        model_train_params=local,
        model_eval_params=None,
        callbacks=[Laps(watch)],
    )
    watch.report(accuracy(net, inputs, labels), processes=1, torch=torch.__version__, pfl=version("pfl"))


if __name__ == "__main__":
    main()
