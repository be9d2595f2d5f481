"""Measure both execution modes of the trainer on every model: the evidence behind `fedlite/learning/training/modes.py`.

    python benchmarks/speed/trainer_modes.py            # all models
    python benchmarks/speed/trainer_modes.py lenet5 mlp
    python benchmarks/speed/trainer_modes.py --accelerator cuda --clients 100

One thread, 12 clients of 20 samples, batch 10, one epoch; clients per second of processor time, on an accelerator of
time.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import numpy as np

from fedlite.learning.models import build
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.learning.training.accelerator import find
from fedlite.learning.training.modes import capability_of, tile_clients
from fedlite.learning.training.place import Place
from fedlite.learning.training.template import Template

SHAPES = {
    "mlp": (64,),
    "lenet5": (1, 28, 28),
    "cnn": (1, 28, 28),
    "cnn1d": (6, 100),
    "ds-cnn": (1, 49, 10),
    "resnet8": (3, 32, 32),
    "squeezenet1.1": (3, 32, 32),
    "mobilenet-v2": (3, 32, 32),
    "resnet18": (3, 32, 32),
}


def best_s(run, clock, repeats=3):
    """Return the time of the shortest of some runs, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        begin = clock()
        run()
        times.append(clock() - begin)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(SHAPES))
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--accelerator", choices=["none", "cuda", "mps"], default="none")
    options = parser.parse_args()
    place = Place(find(options.accelerator).device())
    # Neighbours disturb processor time less, but it does not hold what an accelerator takes.
    clock = time.process_time if place.is_host else time.perf_counter
    draw = np.random.default_rng(0)
    print(f"{'model':15} {'parameters':>10} {'tile':>4} {'sequential':>11} {'batched':>9} {'ratio':>6}  clients/s")
    for name in options.models:
        model = build(name, input_shape=SHAPES[name], num_classes=10, seed=1)
        x = draw.normal(size=(200, *SHAPES[name])).astype(np.float32)
        y = draw.integers(0, 10, 200)
        arrays = [tensor.numpy() for tensor in model.state_dict().values()]
        jobs = [ClientJob(draw.choice(200, options.samples, replace=False), seed=k) for k in range(options.clients)]
        config = LocalConfig(batch_size=10, lr=0.01)
        capability = capability_of(Template(model, place), SHAPES[name])
        if capability.program is None:
            print(f"{name:15} not side by side: {capability.reason}")
            continue
        speed = {}
        for mode in ("sequential", "batched"):
            trainer = Trainer(model, mode=mode, place=place)
            run = partial(trainer.train, arrays, jobs, trainer.table(x), trainer.table(y), config)
            speed[mode] = options.clients / best_s(run, clock)
        parameters = sum(array.size for array in arrays)
        ratio = speed["batched"] / speed["sequential"]
        print(
            f"{name:15} {parameters:10} {tile_clients(capability, 10):4} {speed['sequential']:11.1f} "
            f"{speed['batched']:9.1f} {ratio:6.2f}"
        )


if __name__ == "__main__":
    main()
