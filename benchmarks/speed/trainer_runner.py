"""fedlite's native trainer alone, in one process on one thread: the most that fedlite can reach per core."""

from __future__ import annotations

import numpy as np
import torch
from torch_nets import build
from work import BATCH, SAMPLES, Stopwatch, arguments, data

from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.learning.training.accelerator import find
from fedlite.learning.training.place import Place


def main():
    torch.set_num_threads(1)
    work = arguments()
    x, y, rows = data(work)
    model = build(work.model)
    central = [tensor.detach().numpy().copy() for tensor in model.state_dict().values()]
    trainer = Trainer(model, place=Place(find(work.accelerator).device()))
    resident = trainer.table(x), trainer.table(y)
    config = LocalConfig(batch_size=BATCH, lr=work.lr)
    draw = np.random.default_rng(0)
    watch = Stopwatch(work, "fedlite trainer, one core")
    more, number, mode = True, 0, ""
    while more:
        cohort = draw.choice(work.fleet, work.cohort, replace=False)
        jobs = [ClientJob(rows[client], seed=number * work.fleet + int(client)) for client in cohort]
        result = trainer.train(central, jobs, *resident, config)
        weights = np.full(work.cohort, SAMPLES) / (SAMPLES * work.cohort)
        central = [np.tensordot(weights, array, axes=1).astype(np.float32) for array in result.arrays]
        number, mode = number + 1, result.mode
        more = watch.lap()
    watch.report(trainer.evaluate(central, x, y).metrics["accuracy"], processes=1, torch=torch.__version__, mode=mode)


if __name__ == "__main__":
    main()
