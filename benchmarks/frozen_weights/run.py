"""How much faster a training step is with frozen weights, in torch on this machine and as the device model prices it.

OMP_NUM_THREADS=1 python benchmarks/frozen_weights/run.py        writes results.md beside this file

The nets take turns within each of the measured rounds, so that what else the machine does meets all of them alike.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from fedlite.devices.training import per_sample_terms, step_model
from fedlite.learning.models.layers.lora import Lora
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.scenario.profiles import load_profile

ROUNDS, BATCH = 20, 16
PLAIN = spec_of("char-transformer", (80,), 68, 1, features=256, heads=4, hidden=1024, layers=4)
NETS = {
    "all trained": PLAIN,
    "lora, rank 4": replace(PLAIN, layers=Lora(rank=4)),
    "lora, rank 4, query and value": replace(PLAIN, layers=Lora(rank=4, targets=("query", "value"))),
    "lora on the last block": replace(PLAIN, layers=Lora(rank=4, targets=("blocks.3",))),
    "classifier alone": replace(PLAIN, layers=Lora(targets=("blocks.3.mlp.2",), train=("classifier",))),
}


def stepper(net):
    """Return a function that takes one step of gradient descent."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.randint(68, (BATCH, 80)).float(), torch.randint(68, (BATCH,))

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure, and write the table."""
    torch.set_num_threads(1)
    nets = {name: spec.build().train() for name, spec in NETS.items()}
    steps = {name: stepper(net) for name, net in nets.items()}
    seconds = {name: [] for name in nets}
    for turn in range(ROUNDS + 3):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if turn >= 3:  # the first ones warm up
                seconds[name].append(time.perf_counter() - began)
    rows = [
        "| net | trained | frozen | passes | priced products | priced step | measured step |",
        "|---|---|---|---|---|---|---|",
    ]
    whole = median(seconds["all trained"])
    work = {name: trace(net, (80,), name=name) for name, net in nets.items()}
    terms = {name: per_sample_terms(each)[:6].sum() for name, each in work.items()}
    priced = {name: step_model(load_profile("pixel-8"), each).seconds(BATCH) for name, each in work.items()}
    for name, each in work.items():
        passes = sum(layer.macs * (1 + layer.backward) for layer in each.layers) / each.macs
        rows.append(
            f"| {name} | {each.params:,} | {each.frozen:,} | {passes:.2f} | "
            f"{terms[name] / terms['all trained']:.2f} | {priced[name] / priced['all trained']:.2f} | "
            f"{median(seconds[name]) / whole:.2f} |"
        )
    head = (
        "`OMP_NUM_THREADS=1 python benchmarks/frozen_weights/run.py`: char-transformer, 4 blocks of 256 features,"
        f" batch {BATCH}, one thread,\ntorch {torch.__version__}, median of {ROUNDS} steps taken in turn, as a share of"
        f" the step that trains all ({1e3 * whole:.0f} ms here). Passes are\nproducts per multiply-accumulate, the"
        " forward one included; the priced step is that of a Pixel 8.\n"
    )
    Path(__file__).with_name("results.md").write_text(head + "\n" + "\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
